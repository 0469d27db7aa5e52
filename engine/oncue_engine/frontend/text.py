"""A user's text to segments of pieces: checked, normalised, tokenised, cut. The text side of a model in one place."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from oncue_engine.errors import InvalidRequest
from oncue_engine.frontend.arpabet import ArpabetTokenizer
from oncue_engine.frontend.english import EnglishNormaliser
from oncue_engine.frontend.pieces import Piece, TextTokenizer
from oncue_engine.frontend.pronounce import Pronouncer
from oncue_engine.frontend.segment import split, split_at_sentences
from oncue_engine.frontend.tracked_text import TrackedText

__all__ = ["MAX_CHARS", "Normaliser", "TextFrontend", "TextReader", "TextSegment", "check_text"]

MAX_CHARS = 10_000
"""Default limit on the characters of one utterance."""

_ALLOWED_CONTROLS = frozenset("\t\n\r")


class Normaliser(Protocol):
    """What TextFrontend asks of a normaliser (english.py for the embedded model, normalize.py for public ones)."""

    def normalize(self, text: str) -> TrackedText:
        """The text as it will be read. May raise InvalidRequest (field `text`)."""


@dataclass(frozen=True, slots=True)
class TextSegment:
    """What the T2S speaks in one run. `text` is as it will be read; ranges refer to the user's text."""

    text: str
    pieces: tuple[Piece, ...]
    char_begin: int
    char_end: int


class TextReader(Protocol):
    """The text side of a model, whatever is in it. Thread-safe."""

    @property
    def max_chars(self) -> int:
        """Of one text."""

    def segments(self, text: str, language: str = "") -> list[TextSegment]:
        """At least one segment; `language` is one that the model speaks, or empty. Raises as TextFrontend's does."""


class TextFrontend:
    """Thread-safe as long as its parts are: it keeps nothing between calls.

    `max_pieces` bounds a segment; `whole_sentences` packs whole sentences first (segment.split_at_sentences), else
    segments are cut by the public rule (segment.split); `max_chars` bounds the text.
    """

    def __init__(
        self,
        tokenizer: TextTokenizer,
        normaliser: Normaliser,
        max_pieces: int,
        *,
        max_chars: int = MAX_CHARS,
        whole_sentences: bool = False,
    ) -> None:
        self._tokenizer = tokenizer
        self._normaliser = normaliser
        self._max_pieces = max_pieces
        self._whole_sentences = whole_sentences
        self.max_chars = max_chars

    @classmethod
    def english(cls, max_pieces: int, *, max_chars: int = MAX_CHARS) -> TextFrontend:
        """The embedded model's: English to phones, whole sentences first."""
        pronouncer = Pronouncer.load()
        tokenizer, normaliser = ArpabetTokenizer(pronouncer), EnglishNormaliser(pronouncer.dictionary)
        return cls(tokenizer, normaliser, max_pieces, max_chars=max_chars, whole_sentences=True)

    def segments(self, text: str, language: str = "") -> list[TextSegment]:
        """At least one segment, each with something to pronounce and at most `max_pieces` pieces.

        `language` decides nothing here: these models read one language, or tell theirs from the text itself.

        Raises InvalidRequest (field `text`): `TEXT_EMPTY`, `TEXT_TOO_LONG` (metadata `max_chars`, `chars`),
        `TEXT_CONTROL_CHARACTER` and `TEXT_SURROGATE` (metadata `position`, `code_point`), `TEXT_UNPRONOUNCEABLE`.
        """
        check_text(text, self.max_chars)
        normal = self._normaliser.normalize(text)
        pieces = self._tokenizer.encode(normal.text)
        names = [piece.text for piece in pieces]
        if self._whole_sentences:
            cuts = split_at_sentences(names, self._max_pieces, _word_starts(normal.text, pieces))
        else:
            cuts = split(names, self._max_pieces)
        segments = [
            _segment(normal, pieces[cut.start : cut.stop])
            for cut in cuts
            # A segment of marks alone would be spoken as noise.
            if any(self._is_spoken(pieces[index]) for index in cut)
        ]
        if not segments:
            raise InvalidRequest(
                "the text has nothing that can be pronounced", reason="TEXT_UNPRONOUNCEABLE", field="text"
            )
        return segments

    def _is_spoken(self, piece: Piece) -> bool:
        return piece.id != self._tokenizer.unknown_id and any(character.isalnum() for character in piece.text)


def _segment(normal: TrackedText, pieces: Sequence[Piece]) -> TextSegment:
    mapped = tuple(Piece(piece.text, piece.id, *normal.origin(piece.char_begin, piece.char_end)) for piece in pieces)
    written = normal.text[pieces[0].char_begin : max(piece.char_end for piece in pieces)]
    return TextSegment(
        written, mapped, min(piece.char_begin for piece in mapped), max(piece.char_end for piece in mapped)
    )


def _word_starts(text: str, pieces: Sequence[Piece]) -> list[bool]:
    """For every piece whether a word of `text` begins with it."""
    starts = []
    last = -1
    for piece in pieces:
        at = piece.char_begin
        inside = at > 0 and (text[at - 1].isalnum() or text[at - 1] == "'")
        starts.append(at != last and not inside and text[at : at + 1].isalnum())
        last = at
    return starts


def check_text(text: str, max_chars: int) -> None:
    """Refuses text that no model could read; raises InvalidRequest as `TextFrontend.segments` says."""
    if len(text) > max_chars:
        raise InvalidRequest(
            f"the text has {len(text)} characters; the limit is {max_chars}",
            reason="TEXT_TOO_LONG",
            field="text",
            metadata={"max_chars": str(max_chars), "chars": str(len(text))},
        )
    for position, character in enumerate(text):
        if character.isprintable() or character in _ALLOWED_CONTROLS:
            continue
        category = unicodedata.category(character)
        if category in ("Cs", "Cc"):
            what, reason = (
                ("a lone surrogate", "TEXT_SURROGATE")
                if category == "Cs"
                else ("a control character", "TEXT_CONTROL_CHARACTER")
            )
            raise InvalidRequest(
                f"the text has {what}, U+{ord(character):04X}, at position {position}",
                reason=reason,
                field="text",
                metadata={"position": str(position), "code_point": f"U+{ord(character):04X}"},
            )
    if not any(character.isprintable() and not character.isspace() for character in text):
        raise InvalidRequest("the text is empty or blank", reason="TEXT_EMPTY", field="text")
