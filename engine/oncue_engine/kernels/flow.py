"""Fused operations of the flow estimator."""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor
from torch.nn import functional

from .library import address, load

__all__ = ["silu_gate"]


def silu_gate(both: Tensor) -> Tensor:
    """[N, 2W] -> [N, W]: silu of the first half, times the second. The kernel takes bf16."""
    library = load()
    rows, width = both.shape[0], both.shape[1] // 2
    if library is None or both.dtype is not torch.bfloat16:
        first, second = both.chunk(2, dim=-1)
        return functional.silu(first) * second
    out = both.new_empty(rows, width)
    library.oncue_silu_gate(
        address(both, torch.bfloat16), address(out, torch.bfloat16), ctypes.c_int64(rows), ctypes.c_int64(width)
    )
    return out
