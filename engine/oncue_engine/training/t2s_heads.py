"""Heads that only training has: what the language model's states and its emotion vector must tell, and must not.

The paper's own is the speaker classifier behind a gradient reversal layer (section 3.1): it makes the emotion vector
forget who spoke. The others bring a small model on a small corpus to what a large one finds by itself: states that
know how many codes are left and how the code will sound, and an emotion vector that knows the emotion.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["EmotionHeads", "StateHeads", "reverse_gradient"]

_LEFT_SCALE = 50.0
"""Codes left are told in units of two seconds."""


class _Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, strength: float) -> Tensor:
        ctx.strength = strength
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return -ctx.strength * gradient, None


def reverse_gradient(x: Tensor, strength: float) -> Tensor:
    """x itself; its gradient comes back times -strength (Ganin & Lempitsky, 2015)."""
    reversed_: Tensor = _Reverse.apply(x, strength)
    return reversed_


class StateHeads(nn.Module):
    """On the latents [..., M]: codes left, and the mean log mel [..., 80] of the code that the latent predicts."""

    def __init__(self, width: int, bands: int) -> None:
        super().__init__()
        self.left = nn.Linear(width, 1)
        self.mel = nn.Linear(width, bands)

    def left_loss(self, latents: Tensor, codes_left: Tensor) -> Tensor:
        """latents [n,M], codes_left [n]."""
        told = self.left(latents).float()[:, 0]
        return functional.smooth_l1_loss(told, codes_left.float() / _LEFT_SCALE, beta=0.02)

    def mel_loss(self, latents: Tensor, mel: Tensor) -> Tensor:
        """latents [n,M], mel [n,80]."""
        return functional.l1_loss(self.mel(latents).float(), mel)


class EmotionHeads(nn.Module):
    """On the emotion vector [B,M]: the emotion, and the speaker behind a gradient reversal layer."""

    def __init__(self, width: int, emotions: int, speakers: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.emotion = nn.Linear(width, emotions)
        self.speaker = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, speakers))

    def losses(self, vector: Tensor, emotion: Tensor, speaker: Tensor, reversal: float) -> dict[str, Tensor]:
        """Cross-entropies; the speaker's reaches the vector times -reversal (0: only the classifier learns)."""
        x = self.norm(vector.float())
        who = self.speaker(reverse_gradient(x, reversal)).float()
        return {
            "emotion": functional.cross_entropy(self.emotion(x).float(), emotion),
            "speaker": functional.cross_entropy(who, speaker),
        }
