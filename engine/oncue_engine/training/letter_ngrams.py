"""Counts, smooths and prunes the n-grams of the letter-to-sound model.

Interpolated Kneser-Ney smoothing with three discounts (Chen and Goodman, 1998) in back-off form; then n-grams go whose
loss costs the training data less than a given log likelihood, and the back-off weights are made to add up again.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from oncue_engine.frontend.letters_to_sounds import WORD_BEGIN, NGram

__all__ = ["estimate"]

Ids = tuple[int, ...]
_FLOOR = 1e-4
_UNSEEN = 1e-6


def estimate(sequences: Iterable[Sequence[int]], *, order: int, units: int, min_gain: float) -> list[NGram]:
    """N-grams of id sequences (each with begin and end ids), sorted; `units` is the number of distinct ids."""
    counts = _count(sequences, order)
    probabilities, back_offs = _smooth(counts, order, units)
    kept = _prune(counts, probabilities, back_offs, order, min_gain)
    weights = _renormalise(kept)
    return [(ids, math.log(kept[ids]), math.log(weights.get(ids, 1.0))) for ids in sorted(kept)]


def _count(sequences: Iterable[Sequence[int]], order: int) -> list[Counter[Ids]]:
    counts: list[Counter[Ids]] = [Counter() for _ in range(order + 1)]
    for sequence in sequences:
        ids = tuple(sequence)
        for end in range(2, len(ids) + 1):
            for length in range(1, min(order, end) + 1):
                counts[length][ids[end - length : end]] += 1
    return counts


def _smooth(counts: list[Counter[Ids]], order: int, units: int) -> tuple[dict[Ids, float], dict[Ids, float]]:
    probabilities: dict[Ids, float] = {}
    back_offs: dict[Ids, float] = {}
    for length in range(1, order + 1):
        seen = counts[length]
        if length < order:
            # Below the highest order what counts is how many histories an n-gram follows, not how often.
            continued = Counter(ids[1:] for ids in counts[length + 1])
            seen = Counter({ids: n if ids[0] == WORD_BEGIN else continued[ids] for ids, n in seen.items()})
        discounts = _discounts(seen)
        totals: Counter[Ids] = Counter()
        held_back: dict[Ids, float] = defaultdict(float)
        for ids, n in seen.items():
            totals[ids[:-1]] += n
            held_back[ids[:-1]] += discounts[min(n, 3)]
        for history, total in totals.items():
            back_offs[history] = held_back[history] / total
        for ids, n in seen.items():
            lower = probabilities[ids[1:]] if length > 1 else 1.0 / units
            probabilities[ids] = (n - discounts[min(n, 3)]) / totals[ids[:-1]] + back_offs[ids[:-1]] * lower
    return probabilities, back_offs


def _discounts(seen: Counter[Ids]) -> tuple[float, float, float, float]:
    n1, n2, n3, n4 = (max(1, sum(1 for n in seen.values() if n == times)) for times in (1, 2, 3, 4))
    y = n1 / (n1 + 2 * n2)
    raw = (1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3)
    return (0.0, *(min(max(value, 0.05), times + 0.9) for times, value in enumerate(raw)))  # type: ignore[return-value]


def _probability(ids: Ids, probabilities: Mapping[Ids, float], back_offs: Mapping[Ids, float]) -> float:
    weight = 1.0
    while ids not in probabilities:
        if len(ids) == 1:
            return weight * _UNSEEN
        weight *= back_offs.get(ids[:-1], 1.0)
        ids = ids[1:]
    return weight * probabilities[ids]


def _prune(
    counts: list[Counter[Ids]],
    probabilities: Mapping[Ids, float],
    back_offs: Mapping[Ids, float],
    order: int,
    min_gain: float,
) -> dict[Ids, float]:
    kept = dict(probabilities)
    histories: set[Ids] = set()
    for length in range(order, 1, -1):
        for ids, n in counts[length].items():
            if ids not in histories:
                lower = back_offs[ids[:-1]] * _probability(ids[1:], kept, back_offs)
                if n * abs(math.log(kept[ids] / lower)) < min_gain:
                    del kept[ids]
        histories.update(ids[:-1] for ids in kept if len(ids) == length)
    # The begin of a word is never predicted, but starts histories: its entry must exist for the file's prefixes.
    kept.setdefault((WORD_BEGIN,), _UNSEEN)
    return kept


def _renormalise(kept: Mapping[Ids, float]) -> dict[Ids, float]:
    followers: dict[Ids, list[Ids]] = defaultdict(list)
    for ids in kept:
        followers[ids[:-1]].append(ids)
    weights: dict[Ids, float] = {}
    for history in sorted(followers, key=len):
        if history:
            seen = sum(kept[ids] for ids in followers[history])
            lower = sum(_probability(ids[1:], kept, weights) for ids in followers[history])
            weights[history] = max(_FLOOR, 1 - seen) / max(_FLOOR, 1 - lower)
    return weights
