"""Finds terms in a text: literal, in any case, the longest first, whole words only where letters or digits meet.

Not a regular expression of all terms: that would be compiled for every request, and compiled ones are kept by `re`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Generic, TypeVar

__all__ = ["Terms", "find"]

T = TypeVar("T")

# Scripts that are written without blanks have no whole words to keep to (the ranges of spec 2.1).
_UNSPACED = re.compile("[\u2e80-\ua4cf\uf900-\ufaff\ufe30-\ufe4f\uff65-\uffdc\U00020000-\U0002ffff]")


def fold(text: str) -> str:
    """Lower case, one character for each."""
    lower = text.lower()
    if len(lower) == len(text):
        return lower
    return "".join(low if len(low := character.lower()) == 1 else character for character in text)


class Terms(Generic[T]):
    """An index of terms with a value each. Terms that differ in case only are one: the last one counts."""

    def __init__(self, values: Mapping[str, T]) -> None:
        self._values = {fold(term): value for term, value in values.items() if term}
        lengths: dict[str, set[int]] = {}
        for term in self._values:
            lengths.setdefault(term[0], set()).add(len(term))
        self._lengths = {first: sorted(found, reverse=True) for first, found in lengths.items()}

    def __bool__(self) -> bool:
        return bool(self._values)

    def at(self, folded: str, start: int) -> tuple[int, T] | None:
        """(end, value) of the longest term that stands at `start` of a folded text."""
        for length in self._lengths.get(folded[start], ()):
            stop = start + length
            if stop > len(folded):
                continue
            value = self._values.get(folded[start:stop])
            if value is not None and _is_whole(folded, start, stop):
                return stop, value
        return None


def find(text: str, indexes: Sequence[Terms[T]]) -> Iterator[tuple[int, int, T]]:
    """(begin, end, value) of every term in `text`, apart and in order; of equally long ones the first index's."""
    folded = fold(text)
    indexes = [index for index in indexes if index]
    start = 0
    while indexes and start < len(folded):
        found = [hit for index in indexes if (hit := index.at(folded, start)) is not None]
        if not found:
            start += 1
            continue
        stop, value = max(found, key=lambda hit: hit[0])
        yield start, stop, value
        start = stop


def _is_whole(text: str, start: int, stop: int) -> bool:
    """Whether no word goes on across either end of text[start:stop]."""
    cut_before = start > 0 and _in_word(text[start - 1]) and _in_word(text[start])
    cut_after = stop < len(text) and _in_word(text[stop - 1]) and _in_word(text[stop])
    return not cut_before and not cut_after


def _in_word(character: str) -> bool:
    return character.isalnum() and not _UNSPACED.match(character)
