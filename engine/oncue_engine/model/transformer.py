"""The transformer inside the flow estimator (spec 6.4, step 4): full attention, modulated norms, U-shaped skips.

Two things differ from what one expects: the modulated norm multiplies by the scale itself, not by 1 + scale; and rotary
positions turn neighbouring elements (0,1), (2,3), ... Skips run last in, first out, with a silent layer in the middle.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Transformer", "feed_forward_width", "rotary_table"]

_NORM_EPS = 1e-5
_ROTARY_BASE = 10000.0


def feed_forward_width(dim: int) -> int:
    """Two thirds of four times the width, rounded up to a multiple of 256: 512 -> 1536."""
    return -(-(8 * dim // 3) // 256) * 256


def rotary_table(num_frames: int, head_dim: int, device: torch.device) -> Tensor:
    """cos and sin of every position and pair, [F, head_dim / 2, 2] float32."""
    pair = torch.arange(0, head_dim, 2, dtype=torch.float32, device=device)
    frequency = 1.0 / _ROTARY_BASE ** (pair / head_dim)
    angle = torch.arange(num_frames, dtype=torch.float32, device=device)[:, None] * frequency
    return torch.stack([angle.cos(), angle.sin()], dim=-1)


def _rotate(x: Tensor, rotary: Tensor) -> Tensor:
    """x [B,F,...,d], pairs of neighbours turned by the position; in float32, since bf16 angles lose the position."""
    even, odd = x.to(torch.float32).reshape(*x.shape[:-1], -1, 2).unbind(-1)
    shape = (rotary.shape[0], *([1] * (x.dim() - 3)), rotary.shape[1])
    cos, sin = (part.reshape(shape) for part in rotary.unbind(-1))
    return torch.stack([even * cos - odd * sin, odd * cos + even * sin], dim=-1).flatten(-2).to(x.dtype)


class _Norm(nn.Module):
    """`norm.weight` in the public keys."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))


class _AdaptiveNorm(nn.Module):
    """scale(t) * RMSNorm(x) + shift(t)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.project_layer = nn.Linear(dim, 2 * dim)
        self.norm = _Norm(dim)
        # Ours: training starts from scale 1 and shift 0, since without the usual "1 +" a plain start mutes the layer.
        nn.init.normal_(self.project_layer.weight, std=0.02)
        with torch.no_grad():
            self.project_layer.bias[:dim] = 1.0
            self.project_layer.bias[dim:] = 0.0

    def forward(self, x: Tensor, modulation: Tensor) -> Tensor:
        """x [B,F,H], modulation [B,2,H] (scale, shift)."""
        normed = F.rms_norm(x, x.shape[-1:], self.norm.weight.to(x.dtype), _NORM_EPS)
        return modulation[:, 0, None] * normed + modulation[:, 1, None]


class _Attention(nn.Module):
    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.wqkv = nn.Linear(dim, 3 * dim, bias=False)
        self.wo = nn.Linear(dim, dim, bias=False)

    def forward(self, x: Tensor, rotary: Tensor, valid: Tensor | None) -> Tensor:
        """x [B,F,H]; `valid` [B,F] bool marks the keys that may be seen."""
        qkv = self.wqkv(x).reshape(*x.shape[:2], 3, self.num_heads, -1)  # [B,F,3,h,d]
        query, key = _rotate(qkv[:, :, :2], rotary).unbind(2)
        query, key, value = (part.transpose(1, 2) for part in (query, key, qkv[:, :, 2]))  # [B,h,F,d]
        if torch.is_grad_enabled():
            scores = (query @ key.transpose(-1, -2)) * query.shape[-1] ** -0.5  # [B,h,F,F]
            if valid is not None:
                scores = scores.masked_fill(~valid[:, None, None], float("-inf"))
            mixed = scores.softmax(dim=-1) @ value
        else:
            # The fused kernel is the faster one forwards, and much the slower backwards on a CPU.
            mask = None if valid is None else valid[:, None, None]
            mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        out: Tensor = self.wo(mixed.transpose(1, 2).flatten(2))
        return out


class _FeedForward(nn.Module):
    def __init__(self, dim: int, inner_dim: int) -> None:
        super().__init__()
        self.w1 = nn.Linear(dim, inner_dim, bias=False)
        self.w3 = nn.Linear(dim, inner_dim, bias=False)
        self.w2 = nn.Linear(inner_dim, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.w2(F.silu(self.w1(x)) * self.w3(x))
        return out


class _Block(nn.Module):
    """One layer; only layers that receive a skip own `skip_in_linear`."""

    def __init__(self, dim: int, num_heads: int, inner_dim: int, takes_skip: bool) -> None:
        super().__init__()
        self.attention = _Attention(dim, num_heads)
        self.feed_forward = _FeedForward(dim, inner_dim)
        self.attention_norm = _AdaptiveNorm(dim)
        self.ffn_norm = _AdaptiveNorm(dim)
        self.skip_in_linear = nn.Linear(2 * dim, dim) if takes_skip else None

    def forward(
        self, x: Tensor, modulation: Tensor, rotary: Tensor, valid: Tensor | None, skip: Tensor | None
    ) -> Tensor:
        """x [B,F,H], modulation [B,2,2,H] (attention norm, feed-forward norm)."""
        if self.skip_in_linear is not None and skip is not None:
            x = self.skip_in_linear(torch.cat([x, skip], dim=-1))
        x = x + self.attention(self.attention_norm(x, modulation[:, 0]), rotary, valid)
        out: Tensor = x + self.feed_forward(self.ffn_norm(x, modulation[:, 1]))
        return out


class Transformer(nn.Module):
    """Layers below depth // 2 store their output, those above take the last stored one, the middle does neither."""

    def __init__(self, depth: int, dim: int, num_heads: int, inner_dim: int) -> None:
        super().__init__()
        self.layers: Sequence[_Block] = nn.ModuleList(  # type: ignore[assignment]
            _Block(dim, num_heads, inner_dim, takes_skip=layer > depth // 2) for layer in range(depth)
        )
        self.norm = _AdaptiveNorm(dim)

    def modulations(self, t: Tensor) -> Tensor:
        """Time embedding [S,H] -> [S, 2 * depth + 1, 2, H]: both norms of each layer, then the last norm."""
        norms = [norm for block in self.layers for norm in (block.attention_norm, block.ffn_norm)] + [self.norm]
        projected = torch.stack([norm.project_layer(t) for norm in norms], dim=1)
        return projected.reshape(t.shape[0], len(norms), 2, -1)

    def forward(self, x: Tensor, modulation: Tensor, rotary: Tensor, valid: Tensor | None) -> Tensor:
        """x [B,F,H], modulation from `modulations` with B rows (or 1 for all) -> [B,F,H]."""
        stored: list[Tensor] = []
        middle = len(self.layers) // 2
        for layer, block in enumerate(self.layers):
            skip = stored.pop() if layer > middle else None
            x = block(x, modulation[:, 2 * layer : 2 * layer + 2], rotary, valid, skip)
            if layer < middle:
                stored.append(x)
        out: Tensor = self.norm(x, modulation[:, -1])
        return out
