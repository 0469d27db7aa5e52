"""Pronunciations inside a text on its way to the model: each is one character, a mark, that every step leaves alone.

Marks are characters of Unicode's private plane 15, which no text has any business with. Those of plane 16 are for what
a normaliser hides from its own rules. The user's own are taken for blanks (`without_marks`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from oncue_engine.frontend.tracked_text import TrackedText

__all__ = [
    "FIRST_PLACEHOLDER",
    "MARK",
    "NO_PRONUNCIATIONS",
    "PLACEHOLDER",
    "Marks",
    "NamedMarks",
    "Pronounce",
    "Pronounced",
    "UnreadablePronunciation",
    "touches_mark",
    "without_marks",
]

_FIRST, _LAST = 0xF0000, 0xFFFFD

MARK = re.compile(f"[{chr(_FIRST)}-{chr(_LAST)}]")
_PRIVATE = re.compile(f"[{chr(_FIRST)}-{chr(0x10FFFD)}]")
FIRST_PLACEHOLDER = 0x100000
PLACEHOLDER = re.compile(f"[{chr(FIRST_PLACEHOLDER)}-{chr(0x10FFFD)}]")


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


NO_PRONUNCIATIONS: Mapping[str, Pronounced] = MappingProxyType({})
"""For a text without marks."""


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
    """A user's text with blanks for characters that would be taken for marks or placeholders."""
    return TrackedText.of(text).sub(_PRIVATE, lambda match: " ")


@dataclass(frozen=True, slots=True)
class NamedMarks:
    """Made-up names in place of marks, for rules that read English: they take them for the names they look like."""

    pattern: re.Pattern[str]
    """Finds the names."""
    marks: Mapping[str, str]
    """What each name stands for."""

    @classmethod
    def of(cls, text: TrackedText) -> tuple[TrackedText, NamedMarks]:
        """`text` with names, apart from letters and digits beside them, and what they stand for."""
        stem = "Qxz"
        while stem.lower() in text.text.lower():
            stem += "q"
        marks: dict[str, str] = {}

        def name(match: re.Match[str]) -> str:
            given = stem + _in_letters(len(marks))
            marks[given] = match.group()
            before, after = match.string[: match.start()][-1:], match.string[match.end() :][:1]
            return (" " if touches_mark(before) else "") + given + (" " if touches_mark(after) else "")

        return text.sub(MARK, name), cls(re.compile(rf"{stem}[a-z]+"), marks)

    def back(self, text: TrackedText) -> TrackedText:
        """The marks in place of their names."""
        return text.sub(self.pattern, lambda match: self.marks.get(match.group())) if self.marks else text


def touches_mark(neighbour: str) -> bool:
    """Whether what a mark becomes needs a blank on the side of this character."""
    return neighbour.isalnum() or MARK.match(neighbour) is not None


def _in_letters(index: int) -> str:
    """A name for each index: a to z, then ba, bb, ..."""
    head, last = divmod(index, 26)
    return (_in_letters(head) if head else "") + chr(ord("a") + last)
