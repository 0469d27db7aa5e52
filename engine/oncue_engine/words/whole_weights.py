"""A language model's weights as small whole numbers: each row of a matrix has one float16 scale.

    <name>         [rows, columns] int8        values of -127..127; or
    <name>.half    [rows, columns / 2] uint8   values of -7..7 plus 8, two a byte, the even column in the low half
    <name>.scale   [rows] float16

What is no matrix is float16 as it is. Word vectors stand four bits, the matrices that they pass through do not.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from ..tensor_file import load_tensor_file

__all__ = ["read_whole", "snap_rows", "write_whole"]

_SCALE, _HALF = ".scale", ".half"
_LARGEST, _LARGEST_HALF, _OFFSET = 127, 7, 8


def _whole(value: Tensor, largest: int) -> tuple[Tensor, Tensor]:
    # The scale is rounded before it divides, so that rounding it does not add to the error.
    scale = (value.abs().amax(dim=1) / largest).clamp_min(1e-6).to(torch.float16)
    return (value / scale.to(torch.float32)[:, None]).round().clamp(-largest, largest), scale


def snap_rows(matrix: Tensor) -> Tensor:
    """`matrix` [rows, columns] as it will be read again after it was written in four bits."""
    whole, scale = _whole(matrix.to(torch.float32), _LARGEST_HALF)
    return (whole * scale.to(torch.float32)[:, None]).to(matrix.dtype)


def write_whole(state: Mapping[str, Tensor], path: Path, four_bits: Collection[str] = ()) -> None:
    """Write floating tensors; matrices named in `four_bits` (with even columns) in four bits, others in eight."""
    out = {}
    for name, tensor in state.items():
        value = tensor.detach().to(torch.float32).cpu()
        if value.ndim != 2:
            out[name] = value.to(torch.float16).contiguous()
        elif name in four_bits:
            whole, out[name + _SCALE] = _whole(value, _LARGEST_HALF)
            nibbles = (whole + _OFFSET).to(torch.uint8)
            out[name + _HALF] = (nibbles[:, 0::2] | (nibbles[:, 1::2] << 4)).contiguous()
        else:
            whole, out[name + _SCALE] = _whole(value, _LARGEST)
            out[name] = whole.to(torch.int8).contiguous()
    save_file(out, path)
    path.chmod(0o644)


def read_whole(path: Path) -> dict[str, Tensor]:
    """All tensors as float32. CheckpointError for a missing or damaged file."""
    raw = load_tensor_file(path)
    found = {}
    for stored, value in raw.items():
        if stored.endswith(_SCALE):
            continue
        name = stored.removesuffix(_HALF)
        if stored.endswith(_HALF):
            value = torch.stack([value & 15, value >> 4], dim=-1).flatten(1).to(torch.float32) - _OFFSET
        scale = raw.get(name + _SCALE)
        found[name] = value.to(torch.float32) * (1.0 if scale is None else scale.to(torch.float32)[:, None])
    return found
