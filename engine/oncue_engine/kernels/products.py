"""Products with weights that stay: laid out for the processor's matrix tiles once, where it has them."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from .flow import silu_gate
from .library import address, load_tiles, row_address

__all__ = ["Product"]

_MOST_ELEMENTS = 2**18
"""Of a weight for our own kernel: larger ones do not stay in a core's cache, and there oneDNN is the faster."""


@dataclass(frozen=True, slots=True, eq=False)
class Product:
    """x [N,K] -> [N,M], in the weight's precision: float32 or bf16."""

    weight: Tensor  # [M,K]
    bias: Tensor | None  # [M]
    gates: bool
    tiles: Tensor | None
    full_bias: Tensor | None  # float32

    @classmethod
    def of(cls, weight: Tensor, bias: Tensor | None, precision: torch.dtype, *, gates: bool = False) -> Product:
        """Copies. `gates`: the result is silu of the first half of the columns times the second, [N, M / 2]."""
        kept = weight.detach().to(precision, copy=True).contiguous()
        full = None if bias is None else bias.detach().to(torch.float32, copy=True)
        tiles = _tiles(kept, gates) if bias is None or not gates else None
        return cls(kept, None if full is None else full.to(precision), gates, tiles, full)

    def __call__(self, x: Tensor) -> Tensor:
        """Rows of x may lie apart or overlap."""
        library = load_tiles()
        if self.tiles is None or library is None or x.dtype is not torch.bfloat16:
            out = F.linear(x, self.weight, self.bias)
            return silu_gate(out) if self.gates else out
        columns, inner = self.weight.shape
        if x.dim() != 2 or x.shape[1] != inner:
            raise ValueError(f"{list(x.shape)} for a product over {inner}")
        out = x.new_empty(x.shape[0], columns // 2 if self.gates else columns)
        library.oncue_product(
            *row_address(x, torch.bfloat16),
            ctypes.c_int64(x.shape[0]),
            address(self.tiles, torch.bfloat16),
            None if self.full_bias is None else address(self.full_bias, torch.float32),
            *row_address(out, torch.bfloat16),
            ctypes.c_int64(inner),
            ctypes.c_int64(columns),
            ctypes.c_int32(self.gates),
        )
        return out


def _tiles(weight: Tensor, gates: bool) -> Tensor | None:
    """[M,K] -> [M / 16, K / 32, 16, 16, 2]: pairs along K of 16 columns; with gates, both halves take turns."""
    columns, inner = weight.shape
    fits = columns % 32 == 0 and inner % 32 == 0 and weight.numel() < _MOST_ELEMENTS
    if load_tiles() is None or not fits or weight.dtype is not torch.bfloat16 or weight.device.type != "cpu":
        return None
    if gates:
        weight = weight.reshape(2, -1, 16, inner).transpose(0, 1).reshape(columns, inner)
    return weight.reshape(columns // 16, 16, inner // 32, 16, 2).permute(0, 2, 3, 1, 4).contiguous()
