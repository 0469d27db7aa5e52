"""The embedded model's tokenizer: normalised English to phones and marks.

The T2S reads phones because letters did not train in the time there was; behind this interface it looks like any
other piece tokenizer.
"""

from __future__ import annotations

import re

from oncue_engine.frontend.phones import MARKS, PHONES, UNKNOWN_ID, VOCABULARY, phone_id
from oncue_engine.frontend.pieces import Piece
from oncue_engine.frontend.pronounce import Pronouncer

__all__ = ["MARKS", "PHONES", "VOCABULARY", "ArpabetTokenizer", "phone_id"]

_TOKENS = re.compile(r"(?P<word>[A-Za-z]+(?:'[A-Za-z]+)*)|(?P<mark>[,.?!])")


class ArpabetTokenizer:
    """Words a to z (apostrophes inside) become phones, `, . ? !` stay marks, all else is passed over.

    Runs of marks are kept as one (the strongest: ? before ! before . before ,), and a text never starts with a mark.
    """

    def __init__(self, pronouncer: Pronouncer | None = None) -> None:
        self._pronouncer = pronouncer or Pronouncer.load()

    @property
    def vocabulary_size(self) -> int:
        return len(VOCABULARY)

    @property
    def unknown_id(self) -> int:
        return UNKNOWN_ID

    def encode(self, text: str) -> list[Piece]:
        """Each phone of a word carries the whole word's range; empty when there is nothing to pronounce."""
        pieces: list[Piece] = []
        clause: list[re.Match[str]] = []
        for token in _TOKENS.finditer(text):
            if token.lastgroup == "word":
                clause.append(token)
                continue
            self._speak(clause, pieces)
            clause.clear()
            _add_mark(token, pieces)
        self._speak(clause, pieces)
        return pieces

    def _speak(self, clause: list[re.Match[str]], pieces: list[Piece]) -> None:
        words = [token.group().lower() for token in clause]
        for token, phones in zip(clause, self._pronouncer.sentence(words), strict=True):
            pieces.extend(Piece(phone, phone_id(phone), token.start(), token.end()) for phone in phones)


def _add_mark(token: re.Match[str], pieces: list[Piece]) -> None:
    mark = token.group()
    if not pieces:
        return
    last = pieces[-1]
    if last.text in MARKS:
        strength = ",.!?"
        if strength.index(mark) <= strength.index(last.text):
            return
        pieces.pop()
    pieces.append(Piece(mark, phone_id(mark), token.start(), token.end()))
