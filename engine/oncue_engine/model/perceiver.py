"""Perceiver resampler: any number of encoder frames -> a fixed number of latents (spec 3.1b)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["PerceiverConfig", "PerceiverResampler", "geglu_width"]


@dataclass(frozen=True, slots=True)
class PerceiverConfig:
    """Sizes of one resampler: `width` of the latents, `context_width` of what they attend to.

    `perceiver_mult` is the public name of the feed-forward factor; it may be fractional.
    """

    width: int
    context_width: int
    num_latents: int
    heads: int
    perceiver_mult: float = 2
    depth: int = 2
    head_dim: int = 64


def geglu_width(width: int, mult: float) -> int:
    """Inner width of the gated feed-forward: 2/3 of width * mult, cut."""
    return int(width * mult * 2 / 3)


class LatentAttention(nn.Module):
    """Latents attend to themselves and the context together, the latents first. No norm before, no biases."""

    def __init__(self, config: PerceiverConfig) -> None:
        super().__init__()
        inner = config.heads * config.head_dim
        self.heads = config.heads
        self.head_dim = config.head_dim
        self.to_q = nn.Linear(config.width, inner, bias=False)
        self.to_kv = nn.Linear(config.width, 2 * inner, bias=False)
        self.to_out = nn.Linear(inner, config.width, bias=False)

    def _split(self, x: Tensor) -> Tensor:
        return x.reshape(*x.shape[:-1], self.heads, self.head_dim).transpose(1, 2)

    def forward(self, latents: Tensor, context: Tensor, mask: Tensor) -> Tensor:
        """latents [B,K,M], context [B,T,M], mask [B,K+T] true where valid -> [B,K,M]."""
        k, v = self.to_kv(torch.cat((latents, context), dim=1)).chunk(2, dim=-1)
        q, k, v = self._split(self.to_q(latents)), self._split(k), self._split(v)
        scores = (q @ k.transpose(-2, -1)) / math.sqrt(self.head_dim)  # [B, H, K, K+T]
        weights = scores.masked_fill(~mask[:, None, None], torch.finfo(scores.dtype).min).softmax(-1)
        y: Tensor = self.to_out((weights @ v).transpose(1, 2).flatten(2))
        return y


class GEGLU(nn.Module):
    """First half times the exact GELU of the second half."""

    def forward(self, x: Tensor) -> Tensor:
        value, gate = x.chunk(2, dim=-1)
        return value * functional.gelu(gate)


class RootMeanSquareNorm(nn.Module):
    """x / |x| * sqrt(width) * gamma."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))
        self.scale = math.sqrt(width)

    def forward(self, x: Tensor) -> Tensor:
        return functional.normalize(x, dim=-1) * self.scale * self.gamma


class PerceiverResampler(nn.Module):
    """[B,T,W] encoder output -> [B,K,M] latents. Keys equal the public ones."""

    def __init__(self, config: PerceiverConfig) -> None:
        super().__init__()
        self.config = config
        inner = geglu_width(config.width, config.perceiver_mult)
        self.proj_context = nn.Linear(config.context_width, config.width)
        self.latents = nn.Parameter(torch.randn(config.num_latents, config.width) * 0.02)
        self.layers = nn.ModuleList(
            nn.ModuleList(
                [
                    LatentAttention(config),
                    nn.Sequential(nn.Linear(config.width, 2 * inner), GEGLU(), nn.Linear(inner, config.width)),
                ]
            )
            for _ in range(config.depth)
        )
        self.norm = RootMeanSquareNorm(config.width)

    def forward(self, y: Tensor, mask: Tensor) -> Tensor:
        """y [B,T,W], mask [B,T] bool, true where valid -> [B,K,M]."""
        context = self.proj_context(y)  # [B, T, M]
        latents = self.latents.to(context.dtype).expand(y.shape[0], -1, -1)
        mask = functional.pad(mask, (latents.shape[1], 0), value=True)  # latents are always valid keys
        for layer in self.layers:
            assert isinstance(layer, nn.ModuleList)
            attention, feed_forward = layer
            latents = latents + attention(latents, context, mask)
            latents = latents + feed_forward(latents)
        out: Tensor = self.norm(latents)
        return out
