"""The embedded model's tokenizer: normalised English to phones and marks.

The T2S reads phones because letters did not train in the time there was; behind this interface it looks like any
other piece tokenizer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from oncue_engine.frontend.marks import MARK, NO_PRONUNCIATIONS, Pronounced
from oncue_engine.frontend.phones import MARKS, PHONES, UNKNOWN_ID, VOCABULARY, phone_id, read_phones
from oncue_engine.frontend.pieces import Piece
from oncue_engine.frontend.pronounce import Pronouncer, with_s

__all__ = ["MARKS", "PHONES", "VOCABULARY", "ArpabetTokenizer", "phone_id"]

_TOKENS = re.compile(rf"(?P<word>[A-Za-z]+(?:'[A-Za-z]+)*)|(?P<given>{MARK.pattern})(?P<s>'s\b)?|(?P<mark>[,.?!])")


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

    def pronounce(self, word: str, pronunciation: str) -> tuple[str, ...]:
        """The phones that `pronunciation` names. Raises UnreadablePronunciation."""
        return read_phones(pronunciation)

    def encode(self, text: str, pronounced: Mapping[str, Pronounced] = NO_PRONUNCIATIONS) -> list[Piece]:
        """Each phone of a word carries the whole word's range; empty when there is nothing to pronounce."""
        pieces: list[Piece] = []
        clause: list[re.Match[str]] = []
        for token in _TOKENS.finditer(text):
            if token["mark"] is None:
                clause.append(token)
                continue
            self._speak(clause, pronounced, pieces)
            clause.clear()
            _add_mark(token, pieces)
        self._speak(clause, pronounced, pieces)
        return pieces

    def _speak(self, clause: list[re.Match[str]], pronounced: Mapping[str, Pronounced], pieces: list[Piece]) -> None:
        given = {}
        words = []
        for index, token in enumerate(clause):
            if token["given"] is None:
                words.append(token.group().lower())
                continue
            stands_for = pronounced[token["given"]]
            words.append(stands_for.word.lower())
            given[index] = with_s(stands_for.units) if token["s"] else stands_for.units
        for token, phones in zip(clause, self._pronouncer.sentence(words, given), strict=True):
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
