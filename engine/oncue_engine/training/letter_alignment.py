"""Aligns the letters of dictionary words with their phones, by expectation maximisation over single best paths.

Each letter takes none, one or two phones. A letter with its phones is a unit, such as `x` with `k s`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping

__all__ = ["Unit", "align", "learn_units"]

Unit = tuple[str, tuple[str, ...]]
"""A letter and its phones."""

_MAX_PHONES = 2
_UNSEEN = -12.0
_VOWEL_LETTERS = frozenset("aeiouy")
_VOWEL_SOUNDS = frozenset("aeiou")


def align(word: str, phones: tuple[str, ...], scores: Mapping[Unit, float]) -> tuple[list[Unit], float] | None:
    """Best units that spell `word` and say `phones`, with their log score; None when no split exists."""
    columns = len(phones) + 1
    best: list[float] = [0.0] + [-math.inf] * (columns - 1)
    back: list[list[int]] = []
    for letter in word:
        row = [-math.inf] * columns
        taken = [0] * columns
        for end in range(columns):
            for count in range(min(_MAX_PHONES, end) + 1):
                before = best[end - count]
                if before == -math.inf:
                    continue
                score = before + scores.get((letter, phones[end - count : end]), _UNSEEN)
                if score > row[end]:
                    row[end] = score
                    taken[end] = count
        best = row
        back.append(taken)
    if best[-1] == -math.inf:
        return None
    units: list[Unit] = []
    end = len(phones)
    for letter, taken in zip(reversed(word), reversed(back), strict=True):
        units.append((letter, phones[end - taken[end] : end]))
        end -= taken[end]
    return units[::-1], best[-1]


def learn_units(words: Iterable[tuple[str, tuple[str, ...]]], *, rounds: int) -> dict[Unit, float]:
    """Log scores of units, from `words` (letters, phones); `rounds` passes of align and count."""
    pairs = list(words)
    scores: dict[Unit, float] = {}
    for word, phones in pairs:
        for letter in word:
            for count in range(_MAX_PHONES + 1):
                for begin in range(len(phones) - count + 1):
                    unit = (letter, phones[begin : begin + count])
                    if unit not in scores:
                        scores[unit] = _first_guess(unit)
    for _ in range(rounds):
        counts: Counter[Unit] = Counter()
        letters: Counter[str] = Counter()
        for word, phones in pairs:
            aligned = align(word, phones, scores)
            if aligned is not None:
                counts.update(aligned[0])
                letters.update(word)
        scores = {unit: math.log(count / letters[unit[0]]) for unit, count in counts.items() if count > 1}
    return scores


def _first_guess(unit: Unit) -> float:
    """Vowel letters go with vowel phones, consonants with consonants, and same names with each other."""
    letter, phones = unit
    if not phones:
        return -3.0
    score = -2.0 * (len(phones) - 1)
    for phone in phones:
        if (letter in _VOWEL_LETTERS) != (phone[0] in _VOWEL_SOUNDS):
            score -= 2.5
        elif phone[0] != letter:
            score -= 1.0
    return score
