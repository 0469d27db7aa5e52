"""Pronunciations inside a text on its way to the model: each is one character, a mark, that every step leaves alone.

Marks are characters of Unicode's private plane 15, which no text has any business with; the user's own are taken for
blanks (`without_marks`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from oncue_engine.frontend.tracked_text import TrackedText

__all__ = [
    "MARK",
    "NO_PRONUNCIATIONS",
    "Marks",
    "Pronounce",
    "Pronounced",
    "UnreadablePronunciation",
    "in_letters",
    "without_marks",
]

_FIRST, _LAST = 0xF0000, 0xFFFFD

MARK = re.compile(f"[{chr(_FIRST)}-{chr(_LAST)}]")


class UnreadablePronunciation(ValueError):
    """A pronunciation that the loaded model cannot say: the part at fault, and what the model does read."""

    def __init__(self, part: str, reads: str) -> None:
        super().__init__(f"{part!r} is not {reads}")
        self.part = part
        self.reads = reads


Pronounce = Callable[[str, str], tuple[str, ...]]
"""A tokenizer's `pronounce`: (word, pronunciation) to units, at least one. Raises UnreadablePronunciation."""


@dataclass(frozen=True, slots=True)
class Pronounced:
    """A word, and the units that its tokenizer says for it: phones, syllables or letters."""

    word: str
    units: tuple[str, ...]

    def __str__(self) -> str:
        """As an annotation, which means the same if it is sent again."""
        return f"<{self.word}|{' '.join(self.units)}>"


NO_PRONUNCIATIONS: Mapping[str, Pronounced] = {}
"""For a text without marks. Never written to."""


@dataclass(slots=True)
class Marks:
    """The marks of one text, given out in the order they are asked for."""

    pronounced: dict[str, Pronounced] = field(default_factory=dict)

    def add(self, pronounced: Pronounced) -> str:
        """The mark that stands for it from now on."""
        mark = chr(_FIRST + len(self.pronounced))
        self.pronounced[mark] = pronounced
        return mark

    def as_words(self, text: str) -> str:
        """`text` with its word in place of each mark."""
        return MARK.sub(lambda match: self.pronounced[match.group()].word, text)

    def written_out(self, text: str) -> str:
        """`text` with an annotation in place of each mark."""
        return MARK.sub(lambda match: str(self.pronounced[match.group()]), text)


def without_marks(text: str) -> TrackedText:
    """A user's text with blanks for characters that would be taken for marks."""
    return TrackedText.of(text).sub(MARK, lambda match: " ")


def in_letters(index: int) -> str:
    """A name for each index: a to z, then ba, bb, ..."""
    head, last = divmod(index, 26)
    return (in_letters(head) if head else "") + chr(ord("a") + last)
