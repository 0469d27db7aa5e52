"""Drawing one token from a row of logits, the same way alone or in a crowd.

The random number of a step comes from a counter keyed by (seed, segment, step): nothing that other utterances do can
move it. Tokens are drawn by inverting the cumulative distribution in the order of their ids, so that rounding in the
logits shifts a boundary by as little as itself and can hardly change a draw.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..errors import GenerationFailed, InvalidRequest
from ..requests import Sampling

__all__ = ["Draws", "check_sampling", "sample"]

_SAMPLING_DOMAIN = 1 << 62
"""Keeps the sampler's numbers apart from the noise of rendering/noise.py under the same seed."""

_MAX_TEMPERATURE = 2.0
_MAX_REPETITION_PENALTY = 20.0


@dataclass(frozen=True, slots=True)
class Draws:
    """One uniform number in [0, 1) for each step of a segment (Philox 4x64, counter-based)."""

    seed: int
    segment: int

    def uniform(self, step: int) -> float:
        key = np.array([self.seed & (2**64 - 1), _SAMPLING_DOMAIN | self.segment], dtype=np.uint64)
        raw = int(np.random.Philox(key=key, counter=step).random_raw())
        return (raw >> 11) * 2.0**-53


def check_sampling(sampling: Sampling) -> None:
    """InvalidRequest SAMPLING_OUT_OF_RANGE, naming the field and its limits."""
    limits: tuple[tuple[str, float, float, float], ...] = (
        ("temperature", sampling.temperature, 0.0, _MAX_TEMPERATURE),
        ("top_k", sampling.top_k, 0, 1000),
        ("top_p", sampling.top_p, 0.0, 1.0),
        ("repetition_penalty", sampling.repetition_penalty, 1.0, _MAX_REPETITION_PENALTY),
    )
    for name, value, low, high in limits:
        # The comparison is false for NaN too. A top_p of 0 would keep nothing.
        if not low <= value <= high or (name == "top_p" and value == 0.0):
            raise InvalidRequest(
                f"sampling.{name} is {value}, outside {low} to {high}",
                reason="SAMPLING_OUT_OF_RANGE",
                field=f"sampling.{name}",
                metadata={"min": str(low), "max": str(high)},
            )


def sample(
    logits: npt.NDArray[np.float32],
    sampling: Sampling,
    uniform: float,
    *,
    spoken: Collection[int],
    banned: Collection[int],
) -> int:
    """One token id from `logits` [V].

    `spoken`: ids drawn before in this segment; their log-probabilities are multiplied by the repetition penalty
    (spec 3.5). `banned`: ids that cannot be drawn now. GenerationFailed NOT_FINITE where a logit is not a number.
    """
    if not np.isfinite(logits).all():
        raise GenerationFailed("the token logits are not finite", reason="NOT_FINITE")
    scores = logits.astype(np.float32, copy=True)
    scores -= scores.max()
    scores -= np.log(np.exp(scores).sum())
    if spoken and sampling.repetition_penalty != 1.0:
        ids = np.fromiter(spoken, dtype=np.int64)
        scores[ids] *= np.float32(sampling.repetition_penalty)
    if banned:
        scores[np.fromiter(banned, dtype=np.int64)] = -np.inf
    if sampling.temperature == 0.0:
        return int(scores.argmax())
    kept = _kept(scores / np.float32(sampling.temperature), sampling)
    kept.sort()
    weights = scores[kept].astype(np.float64) / sampling.temperature
    cumulative = np.cumsum(np.exp(weights - weights.max()))
    index = int(np.searchsorted(cumulative, uniform * cumulative[-1], side="right"))
    return int(kept[min(index, len(kept) - 1)])


def _kept(scores: npt.NDArray[np.float32], sampling: Sampling) -> npt.NDArray[np.int64]:
    """Ids that top-k and then top-p leave, best first."""
    finite = int(np.isfinite(scores).sum())
    count = min(sampling.top_k or finite, finite)
    best = np.argpartition(-scores, count - 1)[:count] if count < len(scores) else np.arange(len(scores))
    order = best[np.argsort(-scores[best], kind="stable")][:count]
    if sampling.top_p < 1.0:
        probabilities = np.exp(scores[order].astype(np.float64) - float(scores[order[0]]))
        mass = np.cumsum(probabilities) / probabilities.sum()
        # The smallest set whose mass reaches top_p: everything before the crossing, and the token that crosses.
        order = order[: int(np.searchsorted(mass, sampling.top_p, side="left")) + 1]
    return order.astype(np.int64)
