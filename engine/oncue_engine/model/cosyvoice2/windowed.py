"""A transformer block that sees a bounded stretch of rows around each: what it makes of a row is settled by them.

Attention over a window needs no positions: each distance within it has a bias of its own, learned per head. So a row's
result does not depend on where in the sequence it stands, and a sequence may be worked off in pieces.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["WindowedBlock"]


class WindowedBlock(nn.Module):
    """rows [N,D] -> [N,D]; row n depends on rows n - left ... n + right."""

    def __init__(self, width: int, heads: int, left: int, right: int) -> None:
        """ValueError where the heads do not share the width evenly."""
        super().__init__()
        if width % heads:
            raise ValueError(f"{heads} heads do not share a width of {width}")
        self.heads, self.left, self.right = heads, left, right
        self.attention_norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.distance_bias = nn.Parameter(torch.zeros(heads, left + 1 + right))
        self.out = nn.Linear(width, width)
        self.feed_forward_norm = nn.LayerNorm(width)
        self.feed_forward = nn.Sequential(nn.Linear(width, 4 * width), nn.SiLU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self._attend(self.attention_norm(x))
        out: Tensor = x + self.feed_forward(self.feed_forward_norm(x))
        return out

    def _attend(self, x: Tensor) -> Tensor:
        rows, window = len(x), self.left + 1 + self.right
        query, key, value = self.qkv(x).view(rows, 3, self.heads, -1).permute(1, 2, 0, 3)  # [h,N,d] each
        keys = F.pad(key, (0, 0, self.left, self.right)).unfold(1, window, 1)  # [h,N,d,W]
        values = F.pad(value, (0, 0, self.left, self.right)).unfold(1, window, 1)
        scores = (query[:, :, None] @ keys)[:, :, 0] * query.shape[-1] ** -0.5 + self.distance_bias[:, None]  # [h,N,W]
        there = F.pad(x.new_ones(rows, dtype=torch.bool), (self.left, self.right)).unfold(0, window, 1)  # [N,W]
        weights = scores.masked_fill(~there, float("-inf")).softmax(dim=-1)
        mixed = (values @ weights[..., None])[..., 0]  # [h,N,d]
        out: Tensor = self.out(mixed.transpose(0, 1).flatten(1))
        return out
