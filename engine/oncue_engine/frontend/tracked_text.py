"""A text that remembers which stretch of the original each of its characters came from, through any rewriting."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

__all__ = ["TrackedText"]


@dataclass(frozen=True, slots=True)
class TrackedText:
    """`text[i]` came from `[begins[i], ends[i])` of the original; both lists never decrease."""

    text: str
    begins: tuple[int, ...]
    ends: tuple[int, ...]

    @classmethod
    def of(cls, original: str) -> TrackedText:
        return cls(original, tuple(range(len(original))), tuple(range(1, len(original) + 1)))

    def sub(self, pattern: re.Pattern[str], replace: Callable[[re.Match[str]], str | None]) -> TrackedText:
        """Like `pattern.sub`; every new character stands for the whole match. None keeps a match as it is."""
        return self.replaced((*match.span(), replace(match)) for match in pattern.finditer(self.text))

    def replaced(self, stretches: Iterable[tuple[int, int, str | None]]) -> TrackedText:
        """`text[start:stop]` replaced by a string for each (start, stop, string), in order and apart.

        Every new character stands for the whole stretch. None keeps a stretch as it is.
        """
        parts: list[str] = []
        begins: list[int] = []
        ends: list[int] = []
        done = 0
        changed = False
        for start, stop, new in stretches:
            if new is None or new == self.text[start:stop]:
                continue
            changed = True
            parts += [self.text[done:start], new]
            begins += self.begins[done:start]
            ends += self.ends[done:start]
            begin, end = self.origin(start, stop)
            begins += [begin] * len(new)
            ends += [end] * len(new)
            done = stop
        if not changed:
            return self
        parts.append(self.text[done:])
        begins += self.begins[done:]
        ends += self.ends[done:]
        return TrackedText("".join(parts), tuple(begins), tuple(ends))

    def map_characters(self, replace: Callable[[str], str]) -> TrackedText:
        """Every character replaced by a string of its own, which may be empty."""
        new = [replace(character) for character in self.text]
        return TrackedText(
            "".join(new),
            tuple(begin for begin, part in zip(self.begins, new, strict=True) for _ in part),
            tuple(end for end, part in zip(self.ends, new, strict=True) for _ in part),
        )

    def origin(self, start: int, stop: int) -> tuple[int, int]:
        """The original stretch of `text[start:stop]`; empty where the text ends, for an empty one."""
        if start < stop:
            return self.begins[start], self.ends[stop - 1]
        if start < len(self.text):
            return self.begins[start], self.begins[start]
        end = self.ends[-1] if self.ends else 0
        return end, end

    def slice(self, start: int, stop: int) -> TrackedText:
        return TrackedText(self.text[start:stop], self.begins[start:stop], self.ends[start:stop])

    def then(self, rewritten: TrackedText) -> TrackedText:
        """`rewritten`, which was made from this one's text, tracked to this one's original."""
        spans = [self.origin(begin, end) for begin, end in zip(rewritten.begins, rewritten.ends, strict=True)]
        return TrackedText(rewritten.text, tuple(begin for begin, _ in spans), tuple(end for _, end in spans))

    @classmethod
    def joined(cls, parts: Sequence[TrackedText]) -> TrackedText:
        """Parts of one original, in order, after each other."""
        return cls(
            "".join(part.text for part in parts),
            tuple(begin for part in parts for begin in part.begins),
            tuple(end for part in parts for end in part.ends),
        )

    def __add__(self, other: TrackedText) -> TrackedText:
        """Both after each other; they must share the original, this one's part first."""
        return TrackedText(self.text + other.text, self.begins + other.begins, self.ends + other.ends)
