"""Emotion by eight weights over a bank of reference embeddings (spec 4.1 to 4.3)."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

__all__ = [
    "EMOTION_BIAS",
    "EMOTION_NAMES",
    "MAX_WEIGHT_SUM",
    "EmotionBank",
    "mix_bank",
    "mix_rows",
    "nearest_rows",
    "normalize_weights",
    "random_rows",
    "scale_weights",
]

EMOTION_NAMES = ("happy", "angry", "sad", "afraid", "disgusted", "melancholic", "surprised", "calm")
EMOTION_BIAS = (0.9375, 0.875, 1.0, 1.0, 0.9375, 0.9375, 0.6875, 0.5625)
MAX_WEIGHT_SUM = 0.8
_NO_ROW = -1


@dataclass(frozen=True, slots=True)
class EmotionBank:
    """Reference embeddings, grouped by category.

    `styles` [R,S] style embeddings, `emotions` [R,M] emotion vectors of the same references, `counts` rows per category
    (their sum is R). A category without rows is an emotion that the model does not have. Raises ValueError if they do
    not fit together, or if there is no row at all.
    """

    styles: Tensor
    emotions: Tensor
    counts: tuple[int, ...]

    def __post_init__(self) -> None:
        rows = sum(self.counts)
        fits = self.styles.shape[0] == self.emotions.shape[0] == rows
        if not fits or rows < 1 or min(self.counts, default=0) < 0:
            raise ValueError(
                f"emotion bank: counts {self.counts} (sum {rows}), {self.styles.shape[0]} style rows, "
                f"{self.emotions.shape[0]} emotion rows"
            )

    @property
    def names(self) -> tuple[str, ...]:
        """Those of EMOTION_NAMES that have rows."""
        return tuple(name for name, count in zip(EMOTION_NAMES, self.counts, strict=False) if count)


def nearest_rows(bank: EmotionBank, style: Tensor) -> Tensor:
    """For each category the row nearest to `style` [1,S] by cosine: [K] int64, counted inside the category.

    -1 for a category without rows.
    """
    similarity = functional.cosine_similarity(style.float(), bank.styles.float(), dim=1)  # [R]
    groups = torch.split(similarity, list(bank.counts))
    return torch.tensor([int(group.argmax()) if len(group) else _NO_ROW for group in groups])


def random_rows(bank: EmotionBank, seed: int) -> Tensor:
    """One uniform row per category, [K] int64, which hangs on `seed`, category and its row count alone.

    The public option draws from Python's global generator, where nothing comes out the same again (spec 4.2). -1 for a
    category without rows.
    """
    return torch.tensor([_drawn(seed, k) % count if count else _NO_ROW for k, count in enumerate(bank.counts)])


def _drawn(seed: int, category: int) -> int:
    """64 bits: what is left over by a few rows is nothing beside them."""
    return int.from_bytes(hashlib.sha256(f"emotion row {seed} {category}".encode()).digest()[:8])


def mix_rows(bank: EmotionBank, rows: Tensor, weights: Tensor) -> Tensor:
    """Sum of weight times chosen row: rows [K] int64, weights [K] -> [1,M].

    ValueError for a weight other than 0 on a category without rows: what is not there cannot be mixed in.
    """
    named = enumerate(zip(bank.counts, weights.tolist(), strict=True))
    absent = [k for k, (count, weight) in named if count == 0 and weight != 0.0]
    if absent:
        raise ValueError(f"emotion bank: weights on categories {absent}, which have no rows")
    none = torch.zeros_like(bank.emotions[0])
    groups = torch.split(bank.emotions, list(bank.counts))
    chosen = [group[row] if len(group) else none for group, row in zip(groups, rows.tolist(), strict=True)]
    return (weights[:, None].to(bank.emotions.dtype) * torch.stack(chosen)).sum(0, keepdim=True)


def mix_bank(bank: EmotionBank, rows: Tensor, weights: Tensor, emotion: Tensor) -> Tensor:
    """Emotion vector from weights: mix + (1 - sum of weights) * emotion.

    rows [K] of `nearest_rows` or `random_rows`, weights [K] in the bank's order, emotion [1,M] from the speaker's own
    clip -> [1,M].
    """
    return mix_rows(bank, rows, weights) + (1.0 - weights.sum()) * emotion


def normalize_weights(weights: Sequence[float], *, bias: bool, cap: bool) -> list[float]:
    """Per-category bias, then a cap of 0.8 on the sum (spec 4.3). The public web page does both, the library none."""
    if bias:
        weights = [weight * factor for weight, factor in zip(weights, EMOTION_BIAS, strict=True)]
    total = math.fsum(weights)
    scale = MAX_WEIGHT_SUM / total if cap and total > MAX_WEIGHT_SUM else 1.0
    return [weight * scale for weight in weights]


def scale_weights(weights: Sequence[float], strength: float) -> list[float]:
    """Strength on a vector: clamped to 0..1, and unless it is 1 each weight is cut to 4 decimals (spec 1.4)."""
    scale = min(max(strength, 0.0), 1.0)
    if scale == 1.0:
        return list(weights)
    return [math.trunc(weight * scale * 10000) / 10000 for weight in weights]
