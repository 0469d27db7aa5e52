"""Cuts a text, not its pieces, into segments that keep within a budget of pieces (spec 9).

The public rule: a cut is possible after every mark, neighbours are packed greedily while they fit, and a stretch
without marks that does not fit is cut where it is full. Mended here, each on purpose:

1. A point or comma inside a number is no place to cut.
2. A stretch without marks is cut at its last blank that fits, not in a word; where there is none, where it is full.
3. Marks that follow each other (`?!`, a closing quote) stay together.
4. Arabic marks are places to cut too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

__all__ = ["cut_to_fit"]

_MARKS = ",.!?;:…،؛؟，。！？、；：\n"
_AFTER_MARKS = re.compile(rf"(?<=[{_MARKS}])(?<!\d[.,](?=\d))(?![{_MARKS}'])|(?<=[{_MARKS}]')(?![{_MARKS}'\w])")


def cut_to_fit(text: str, fits: Callable[[str], bool]) -> list[str]:
    """Segments of `text` that `fits` says yes to, in order; joined they are the text.

    What fits is taken to fit when it is shorter, too. A single character that does not is a segment all the same.
    """
    if not text or fits(text):
        return [text] if text else []
    segments: list[str] = []
    current = ""
    for part in _clauses(text, fits):
        if current and not fits(current + part):
            segments.append(current)
            current = ""
        current += part
    segments.append(current)
    return segments


def _clauses(text: str, fits: Callable[[str], bool]) -> Iterator[str]:
    place = 0
    for cut in _AFTER_MARKS.finditer(text):
        if cut.start() > place:
            yield from _fitting(text[place : cut.start()], fits)
            place = cut.start()
    if place < len(text):
        yield from _fitting(text[place:], fits)


def _fitting(clause: str, fits: Callable[[str], bool]) -> Iterator[str]:
    while clause and not fits(clause):
        end = _longest(clause, fits)
        blank = clause.rfind(" ", 0, end + 1)
        # The blank goes with the word after it, as the pieces have it.
        end = blank if blank > 0 and clause[:blank].strip() else end
        yield clause[:end]
        clause = clause[end:]
    if clause:
        yield clause


def _longest(clause: str, fits: Callable[[str], bool]) -> int:
    """Characters of the beginning that fit, at least one."""
    low, high = 1, len(clause)
    while high - low > 1:
        middle = (low + high) // 2
        if fits(clause[:middle]):
            low = middle
        else:
            high = middle
    return low
