"""Attention of the flow estimator: every segment of the frame axis attends to itself, at its own positions."""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor
from torch.nn import functional as F

from .flow import Segments
from .library import address, load, load_tiles

__all__ = ["attention", "rotate"]

_TILE = 32
"""Head widths that are multiples of it fit the processor's tiles."""


def attention(qkv: Tensor, rotary: Tensor, whole: Segments, queries: Segments, heads: int) -> Tensor:
    """qkv [N,3H] (may be changed) -> [queries,H]: each segment's last frames, as many as `queries` has, attend to all
    of it. rotary [longest, 2, d/2] float32: cos, sin of the positions of neighbouring elements."""
    width = qkv.shape[1] // 3
    library = load_tiles()
    if library is not None and qkv.dtype is torch.bfloat16 and qkv.device.type == "cpu" and width // heads % _TILE == 0:
        longest = max(end - begin for begin, end in whole.spans)
        if longest > len(rotary):
            raise ValueError(f"{longest} frames, {len(rotary)} positions")
        out = qkv.new_empty(queries.frames, width)
        needed = _scratch_bytes(longest, width // heads)
        scratch = torch.empty(needed, dtype=torch.uint8)
        library.oncue_attention(
            address(qkv, torch.bfloat16),
            address(rotary, torch.float32),
            address(whole.table, torch.int64),
            address(queries.table, torch.int64),
            *(ctypes.c_int64(number) for number in (len(whole.ends), longest, heads, width // heads)),
            address(out, torch.bfloat16),
            address(scratch, torch.uint8),
        )
        return out
    rotate(qkv, rotary, whole, heads)
    mixed = []
    for (begin, end), (first, stop) in zip(whole.job_spans, queries.job_spans, strict=True):
        parts = qkv[begin:end].reshape(whole.branches, -1, 3, heads, width // heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4).unbind(0)  # [branches,h,F,d]
        asking = query[:, :, -((stop - first) // whole.branches) :]
        mixed.append(F.scaled_dot_product_attention(asking, key, value).transpose(1, 2).reshape(stop - first, -1))
    return mixed[0] if len(mixed) == 1 else torch.cat(mixed)


def rotate(qkv: Tensor, rotary: Tensor, segments: Segments, heads: int) -> None:
    """qkv [N,3H] bf16 or float32: queries and keys turned in place by their position in the segment."""
    library = load() if qkv.device.type == "cpu" and qkv.dtype in (torch.bfloat16, torch.float32) else None
    head_dim = qkv.shape[1] // (3 * heads)
    if library is None:
        for begin, end in segments.spans:
            pairs = qkv[begin:end, : 2 * heads * head_dim].reshape(end - begin, 2 * heads, -1, 2).to(torch.float32)
            cos, sin = rotary[: end - begin, :, None].unbind(1)  # [F,1,d/2]
            even, odd = pairs.unbind(-1)
            turned = torch.stack((even * cos - odd * sin, odd * cos + even * sin), dim=-1)
            qkv[begin:end, : 2 * heads * head_dim] = turned.reshape(end - begin, -1)
        return
    library.oncue_rotate(
        address(qkv, qkv.dtype),
        address(rotary, torch.float32),
        address(segments.table, torch.int64),
        *(ctypes.c_int64(number) for number in (len(segments.ends), heads, head_dim)),
        ctypes.c_int32(qkv.dtype is torch.bfloat16),
    )


def _scratch_bytes(longest: int, head_dim: int) -> int:
    """Keys and values of one head, and of 32 queries the scores, the weights and what they mix (csrc/attention.c)."""
    padded = -(-longest // 32) * 32
    return padded * head_dim * 4 + 32 * padded * 6 + 32 * head_dim * 6
