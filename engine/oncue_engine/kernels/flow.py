"""Fused operations of the flow estimator, over frames of several rows that lie one after the other on one axis.

What the products take and give is bf16 or float32; the residual streams and the modulations are float32.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional

from .library import address, load, row_address

__all__ = ["Segments", "guided_norm", "residual_norm", "silu_gate", "wave_gate", "wave_input"]

_NORM_EPS = 1e-5
_FINAL_NORM_EPS = 1e-6
_KINDS = (torch.bfloat16, torch.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Segments:
    """Where each segment of the frame axis stops; `branches` of them in a row make one job and share its time."""

    ends: tuple[int, ...]
    branches: int
    table: Tensor = field(init=False)
    """[segments] int64, for the kernels."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "table", torch.tensor(self.ends, dtype=torch.int64))

    @property
    def frames(self) -> int:
        return self.ends[-1]

    @property
    def spans(self) -> list[tuple[int, int]]:
        return list(pairwise((0, *self.ends)))

    @property
    def job_spans(self) -> list[tuple[int, int]]:
        return list(pairwise((0, *self.ends[self.branches - 1 :: self.branches])))


def silu_gate(both: Tensor) -> Tensor:
    """[N, 2W] -> [N, W]: silu of the first half, times the second."""
    library = _library(both)
    rows, width = both.shape[0], both.shape[1] // 2
    if library is None:
        first, second = both.to(torch.float32).chunk(2, dim=-1)
        return (functional.silu(first) * second).to(both.dtype)
    out = both.new_empty(rows, width)
    library.oncue_silu_gate(address(both, both.dtype), address(out, both.dtype), *_wide(rows, width), _half(both))
    return out


def residual_norm(
    stream: Tensor,
    added: Tensor | None,
    segments: Segments,
    modulation: Tensor | None,
    out: Tensor | None,
    *,
    replace: bool = False,
    copy: Tensor | None = None,
) -> None:
    """stream [N,H] float32 += added [N,H] (`replace`: = added); then out [N,H] = RMSNorm(stream) * scale + shift.

    modulation [jobs,2,H] float32: scale (with the norm's weight in it) and shift; it and `out` may both be None.
    copy [N,H]: takes the stream itself. `out` and `copy` may be columns of a wider tensor.
    """
    kind = next(part.dtype for part in (added, out, copy) if part is not None)
    library = _library(stream, kind)
    width = stream.shape[1]
    if library is None:
        if added is not None:
            _take(stream, added, replace)
        if copy is not None:
            copy.copy_(stream)
        if out is not None and modulation is not None:
            normed = functional.rms_norm(stream, (width,), None, _NORM_EPS)
            for job, (begin, end) in enumerate(segments.job_spans):
                out[begin:end] = normed[begin:end] * modulation[job, 0] + modulation[job, 1]
        return
    library.oncue_residual_norm(
        address(stream, torch.float32),
        None if added is None else address(added, kind),
        ctypes.c_int32(replace),
        *row_address(copy, kind),
        address(segments.table, torch.int64),
        *_wide(len(segments.ends), segments.branches),
        *_modulation(modulation),
        *row_address(out, kind),
        ctypes.c_int64(width),
        ctypes.c_float(_NORM_EPS),
        _half(kind),
    )


def wave_input(
    stream: Tensor, added: Tensor, segments: Segments, pad_frames: int, out: Tensor, *, replace: bool = False
) -> None:
    """stream [N,W] float32 += added [N,W] (`replace`: = added); out [N + 2 * pad_frames * segments, W]: each segment
    with its ends reflected. One not longer than the padding is lengthened with zeros first."""
    library = _library(stream, added.dtype)
    if library is None:
        _take(stream, added, replace)
        for number, (begin, end) in enumerate(segments.spans):
            count = end - begin
            last = max(count, pad_frames + 1) - 1
            position = torch.arange(-pad_frames, count + pad_frames, device=stream.device)
            source = last - (last - position.abs()).abs()
            there = (source >= 0) & (source < count)
            rows = stream[begin:end][source.clamp(0, count - 1)]
            at = begin + 2 * pad_frames * number
            out[at : at + len(position)] = rows.masked_fill(~there[:, None], 0.0)
        return
    library.oncue_wave_input(
        address(stream, torch.float32),
        *row_address(added, added.dtype),
        ctypes.c_int32(replace),
        address(segments.table, torch.int64),
        *_wide(len(segments.ends), pad_frames),
        address(out, added.dtype),
        ctypes.c_int64(stream.shape[1]),
        _half(added),
    )


def wave_gate(gates: Tensor, condition: Tensor, segments: Segments, pad_frames: int, out: Tensor) -> None:
    """gates [N + 2 * pad_frames * (segments - 1), 2W], plus condition [jobs, 2W] -> out [N,W]: tanh times sigmoid.

    `out` may be columns of a wider tensor.
    """
    library = _library(gates)
    width = gates.shape[1] // 2
    if library is None:
        for number, (begin, end) in enumerate(segments.spans):
            at = begin + 2 * pad_frames * number
            both = gates[at : at + end - begin].float() + condition[number // segments.branches]
            value, gate = both.chunk(2, dim=-1)
            out[begin:end] = torch.tanh(value) * torch.sigmoid(gate)
        return
    library.oncue_wave_gate(
        address(gates, gates.dtype),
        *_modulation(condition),
        address(segments.table, torch.int64),
        *_wide(len(segments.ends), segments.branches, pad_frames),
        *row_address(out, gates.dtype),
        ctypes.c_int64(width),
        _half(gates),
    )


def guided_norm(
    x: Tensor, y: Tensor, segments: Segments, kept: tuple[int, ...], guidance: float, modulation: Tensor
) -> Tensor:
    """Layer norm of x + y [N,W], times scale, plus shift, of the last `kept` frames of each job -> [sum(kept), W].

    Of two branches: (1 + guidance) times the first minus guidance times the second. modulation [jobs,2,W] float32:
    scale, shift. `y` may be columns of a wider tensor.
    """
    library = _library(x)
    width = x.shape[1]
    out = x.new_empty(sum(kept), width)
    if library is None:
        normed = functional.layer_norm(x.float() + y.float(), (width,), eps=_FINAL_NORM_EPS)
        at = 0
        for job, count in enumerate(kept):
            ends = segments.ends[job * segments.branches : (job + 1) * segments.branches]
            value = normed[ends[0] - count : ends[0]]
            if len(ends) == 2:
                value = (1.0 + guidance) * value - guidance * normed[ends[1] - count : ends[1]]
            out[at : at + count] = value * modulation[job, 0] + modulation[job, 1]
            at += count
        return out
    table = torch.tensor(kept, dtype=torch.int64)
    library.oncue_guided_norm(
        address(x, x.dtype),
        *row_address(y, x.dtype),
        address(segments.table, torch.int64),
        address(table, torch.int64),
        *_wide(len(kept), segments.branches),
        ctypes.c_float(guidance),
        *_modulation(modulation),
        address(out, x.dtype),
        ctypes.c_int64(width),
        ctypes.c_float(_FINAL_NORM_EPS),
        _half(x),
    )
    return out


def _take(stream: Tensor, added: Tensor, replace: bool) -> None:
    if replace:
        stream.copy_(added)
    else:
        stream.add_(added)


def _library(tensor: Tensor, kind: torch.dtype | None = None) -> ctypes.CDLL | None:
    return load() if tensor.device.type == "cpu" and (kind or tensor.dtype) in _KINDS else None


def _half(kind: Tensor | torch.dtype) -> ctypes.c_int32:
    return ctypes.c_int32((kind.dtype if isinstance(kind, Tensor) else kind) is torch.bfloat16)


def _wide(*numbers: int) -> list[ctypes.c_int64]:
    return [ctypes.c_int64(number) for number in numbers]


def _modulation(tensor: Tensor | None) -> tuple[ctypes.c_void_p | None, ctypes.c_int64]:
    """Address of float32 values that are contiguous within a job, and how far the next job's are."""
    if tensor is None:
        return None, ctypes.c_int64(0)
    if tensor.dtype is not torch.float32 or not tensor[0].is_contiguous() or tensor.device.type != "cpu":
        raise ValueError(f"a kernel needs float32 modulations on the CPU, not {tensor.dtype}, {tensor.stride()}")
    return ctypes.c_void_p(tensor.data_ptr()), ctypes.c_int64(tensor.stride(0))
