"""The natural pace of text pieces where nobody has measured it: by the script of their characters.

A piece may be a word, a character or a third of one, so a figure for each piece would be far off in one language or
another. The figures are rates of common read speech: a guess, good enough to plan with.
"""

from __future__ import annotations

import re
from typing import Protocol

from .pace import Pace

__all__ = ["SpelledPieces", "guessed_pace"]


class SpelledPieces(Protocol):
    """A vocabulary whose pieces are text, or bytes of it."""

    @property
    def vocabulary_size(self) -> int: ...

    def piece_bytes(self, index: int) -> bytes:
        """UTF-8 of what a piece stands for; empty for one that stands for no text."""


_SECONDS = (
    (re.compile("[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"), 0.22),
    (re.compile("[\u3040-\u30ff\uff66-\uff9f]"), 0.13),
    (re.compile("[\u0600-\u06ff]"), 0.09),
    (re.compile(r"\d"), 0.3),
    (re.compile(r"[.!?…؟]"), 0.3),
    (re.compile(r"[,;:،]"), 0.15),
    (re.compile(r"\w"), 0.065),
)
"""Seconds that a character takes, by the first pattern that it matches; what matches none takes no time."""
_SYLLABLE = re.compile("[A-Z]{1,6}[1-5]")
_SYLLABLE_S = 0.22
"""Of pinyin with its tone, which is a piece of its own."""
_BROKEN_BYTE_S = 0.07
"""Of a byte that is no character by itself: two or three make one."""


def guessed_pace(pieces: SpelledPieces, token_rate_hz: float) -> Pace:
    """Codes for each piece; special tokens take no time, but those around a pronunciation have it between them."""
    seconds = [_seconds(pieces.piece_bytes(index)) for index in range(pieces.vocabulary_size)]
    return Pace(tuple(second * token_rate_hz for second in seconds), 0.0, 0.0)


def _seconds(piece: bytes) -> float:
    text = piece.decode(errors="replace")
    if _SYLLABLE.fullmatch(text):
        return _SYLLABLE_S
    whole = sum(len(character.encode()) for character in text if character != "\ufffd")
    spoken = sum(next((s for pattern, s in _SECONDS if pattern.match(character)), 0.0) for character in text)
    return spoken + _BROKEN_BYTE_S * (len(piece) - whole)
