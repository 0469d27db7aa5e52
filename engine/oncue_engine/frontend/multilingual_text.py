"""The text side of IndexTTS-2.5: a user's text to segments of pieces, each with its language in front (spec 9)."""

from __future__ import annotations

import re

from oncue_engine.errors import InvalidRequest
from oncue_engine.frontend.languages import guess_language
from oncue_engine.frontend.multilingual import LANGUAGES, MultilingualNormaliser
from oncue_engine.frontend.pieces import Piece
from oncue_engine.frontend.text import TextSegment, check_text
from oncue_engine.frontend.text_budget import cut_to_fit
from oncue_engine.frontend.tiktoken_tokenizer import LANGUAGE_CODES, PRONUNCIATION_MARKS, TiktokenTokenizer
from oncue_engine.frontend.tracked_text import TrackedText

__all__ = ["MultilingualText"]

_PRONUNCIATION = re.compile("|".join(f"{re.escape(mark)}.*?{re.escape(mark)}" for mark in PRONUNCIATION_MARKS))


class MultilingualText:
    """Thread-safe; keeps nothing between calls. `max_pieces` bounds a segment, `max_chars` the text."""

    def __init__(self, tokenizer: TiktokenTokenizer, max_pieces: int, *, max_chars: int) -> None:
        self._tokenizer = tokenizer
        self._normaliser = MultilingualNormaliser()
        self._max_pieces = max_pieces
        self._obeyed = {language: frozenset((_tag(language), *PRONUNCIATION_MARKS)) for language in LANGUAGES}
        self._rows = {tokenizer.special_id(_tag(language)): LANGUAGE_CODES.index(language) for language in LANGUAGES}
        self.max_chars = max_chars

    @property
    def filler_id(self) -> int:
        """A piece that can stand first: a language."""
        return next(iter(self._rows))

    def language_row(self, piece_id: int) -> int:
        """The row of the language table that a segment's first piece names. KeyError for any other piece."""
        return self._rows[piece_id]

    def segments(self, text: str, language: str = "") -> list[TextSegment]:
        """At least one segment, each with something to pronounce and at most `max_pieces` pieces.

        `language`: one of LANGUAGES; empty: guessed by the script. The first piece of a segment is its language.
        Raises InvalidRequest (field `text`) as TextFrontend.segments does, and PRONUNCIATION_TOO_LONG (metadata
        `max_pieces`, `char_begin`, `char_end`); Unsupported (LANGUAGE_PACKAGE_MISSING).
        """
        check_text(text, self.max_chars)
        language = language or guess_language(text, LANGUAGES)
        normal = self._normaliser.normalize(text, language)
        prefix, obeyed = f"{_tag(language)} ", self._obeyed[language]

        def fits(part: str) -> bool:
            return self._tokenizer.count(prefix + part, obeyed) <= self._max_pieces

        segments = []
        place = 0
        for part in cut_to_fit(normal.text, fits, _PRONUNCIATION):
            tracked = normal.slice(place, place + len(part))
            place += len(part)
            pieces = self._pieces(prefix, tracked, obeyed)
            if len(pieces) > self._max_pieces:
                raise self._too_long(tracked)
            # Marks alone would be spoken as noise.
            if any(character.isalnum() for character in _PRONUNCIATION.sub(_spoken, part)):
                segments.append(TextSegment(part, pieces, min(tracked.begins), max(tracked.ends)))
        if not segments:
            raise InvalidRequest(
                "the text has nothing that can be pronounced", reason="TEXT_UNPRONOUNCEABLE", field="text"
            )
        return segments

    def _too_long(self, part: TrackedText) -> InvalidRequest:
        """Of a pronunciation, which is never cut."""
        begin, end = min(part.begins), max(part.ends)
        return InvalidRequest(
            f"the pronunciation at characters {begin} to {end} is longer than a segment",
            reason="PRONUNCIATION_TOO_LONG",
            field="text",
            metadata={"max_pieces": str(self._max_pieces), "char_begin": str(begin), "char_end": str(end)},
        )

    def _pieces(self, prefix: str, part: TrackedText, obeyed: frozenset[str]) -> tuple[Piece, ...]:
        """Pieces of prefix and text together, as the T2S reads them; those of the prefix stand for no text."""
        return tuple(
            Piece(
                piece.text,
                piece.id,
                *part.origin(max(0, piece.char_begin - len(prefix)), max(0, piece.char_end - len(prefix))),
            )
            for piece in self._tokenizer.encode(prefix + part.text, obeyed)
        )


def _tag(language: str) -> str:
    return f"<|{language}|>"


def _spoken(match: re.Match[str]) -> str:
    """What stands between the marks of a pronunciation."""
    return match.group()[len(PRONUNCIATION_MARKS[0]) : -len(PRONUNCIATION_MARKS[0])]
