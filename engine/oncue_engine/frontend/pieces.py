"""What a text becomes before a model reads it: pieces, each with the stretch of text that it stands for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from oncue_engine.frontend.marks import NO_PRONUNCIATIONS, Pronounced

__all__ = ["Piece", "TextTokenizer"]


@dataclass(frozen=True, slots=True)
class Piece:
    """One text token.

    `char_begin` and `char_end` bound the stretch [begin, end) of the text it came from: of the tokenizer's input when
    a tokenizer made it, of the user's own text once `TextFrontend` has mapped it back through normalisation.
    """

    text: str
    id: int
    char_begin: int
    char_end: int


class TextTokenizer(Protocol):
    """Normalised text to pieces. Ids 0 and 1 (start and stop) are the T2S's own and are never emitted."""

    @property
    def vocabulary_size(self) -> int:
        """Number of ids, start and stop included."""

    @property
    def unknown_id(self) -> int:
        """Id of a piece that stands for something the model cannot read."""

    def pronounce(self, word: str, pronunciation: str) -> tuple[str, ...]:
        """What `encode` says for a mark of this word: at least one unit. `pronunciation` is not blank.

        Raises UnreadablePronunciation.
        """

    def encode(self, text: str, pronounced: Mapping[str, Pronounced] = NO_PRONUNCIATIONS) -> list[Piece]:
        """Pieces in order; empty for a text with nothing to pronounce. Ranges refer to `text`.

        `pronounced`: what each mark in `text` stands for (marks.py).
        """
