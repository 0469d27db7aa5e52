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
    """Uniform numbers in [0, 1) for each step of a segment, one or many (Philox 4x64, counter-based)."""

    seed: int
    segment: int

    def uniform(self, step: int) -> float:
        """The number of one step."""
        return self._from(step, 1)[0]

    def uniforms(self, count: int) -> list[float]:
        """The numbers of steps 0 to count - 1, made at once: setting up the generator costs more than they do."""
        return self._from(0, count)

    def many(self, step: int, count: int) -> npt.NDArray[np.float64]:
        """[count] numbers of one step, for samplers that weigh every candidate."""
        # The counter's second word keeps them apart from each other step's, and from those of `uniform`.
        raw = np.random.Philox(key=self._key(), counter=[0, step + 1, 0, 0]).random_raw(count)
        return (raw >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def _key(self) -> npt.NDArray[np.uint64]:
        return np.array([self.seed & (2**64 - 1), _SAMPLING_DOMAIN | self.segment], dtype=np.uint64)

    def _from(self, step: int, count: int) -> list[float]:
        # A step of the counter gives four numbers; the first is the step's.
        raw = np.random.Philox(key=self._key(), counter=step).random_raw(4 * count)[::4]
        numbers: list[float] = ((raw >> np.uint64(11)) * 2.0**-53).tolist()
        return numbers


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
    (spec 3.5). `banned`: ids that cannot be drawn now, each once. GenerationFailed NOT_FINITE where a logit is no
    number.
    """
    if not np.isfinite(logits).all():
        raise GenerationFailed("the token logits are not finite", reason="NOT_FINITE")
    costs = -logits.astype(np.float32, copy=False)  # a copy; the best first in ascending order
    if spoken and sampling.repetition_penalty != 1.0:
        # Here alone the scores must be log-probabilities: a shift does not change what else is done with them.
        least = costs.min()
        costs += np.log(np.exp(least - costs).sum()) - least
        costs[np.fromiter(spoken, dtype=np.int64)] *= np.float32(sampling.repetition_penalty)
    if banned:
        costs[list(banned)] = np.inf
    if sampling.temperature == 0.0:
        return int(costs.argmin())
    kept, weights = _kept(costs, sampling, len(costs) - len(banned))
    by_id = kept.argsort()
    cumulative = weights[by_id].cumsum()
    index = int(cumulative.searchsorted(uniform * cumulative[-1], side="right"))
    return int(kept[by_id[min(index, len(kept) - 1)]])


def _kept(
    costs: npt.NDArray[np.float32], sampling: Sampling, possible: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Ids that top-k and then top-p leave, best first, and the weight of each; the best one's is 1."""
    count = min(sampling.top_k or possible, possible)
    best = costs.argpartition(count - 1)[:count] if count < len(costs) else np.arange(len(costs))
    costs = costs[best]
    ascending = costs.argsort(kind="stable")
    sorted_costs = costs[ascending].astype(np.float64)
    weights = np.exp((sorted_costs[0] - sorted_costs) / sampling.temperature)
    if sampling.top_p < 1.0:
        mass = weights.cumsum()
        # The smallest set whose mass reaches top_p: everything before the crossing, and the token that crosses.
        count = int(mass.searchsorted(sampling.top_p * mass[-1], side="left")) + 1
    return best[ascending[:count]], weights[:count]
