"""The text side of IndexTTS-2.5: a user's text to segments of pieces, each with its language in front (spec 9)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from oncue_engine.errors import InvalidRequest
from oncue_engine.frontend.annotations import mark_annotations
from oncue_engine.frontend.glossary import glossary_lexicon
from oncue_engine.frontend.japanese import is_installed
from oncue_engine.frontend.languages import guess_language
from oncue_engine.frontend.lexicon import Lexicon, replace_terms
from oncue_engine.frontend.marks import MARK, Marks, without_marks
from oncue_engine.frontend.multilingual import LANGUAGES, MultilingualNormaliser, pronounce, spelled_out
from oncue_engine.frontend.pieces import Piece
from oncue_engine.frontend.text import TextSegment, check_text
from oncue_engine.frontend.text_budget import cut_to_fit
from oncue_engine.frontend.tiktoken_tokenizer import LANGUAGE_CODES, PRONUNCIATION_MARKS, TiktokenTokenizer
from oncue_engine.frontend.tracked_text import TrackedText
from oncue_engine.requests import LexiconEntry

__all__ = ["MultilingualText"]

_SPECIAL_OPENING = re.compile(r"<(?=\|)")


@dataclass(frozen=True, slots=True)
class MultilingualText:
    """`text.TextReader`. Thread-safe: it keeps nothing between calls."""

    tokenizer: TiktokenTokenizer
    max_pieces: int
    """Of one segment, its language included."""
    max_chars: int
    """Of a text, also with the readings of its terms in their places."""
    normaliser: MultilingualNormaliser = field(default_factory=MultilingualNormaliser)
    glossaries: tuple[Lexicon, ...] = ()
    """How terms are said in every text, the first one first. A request's own lexicon goes before them."""

    def with_glossary(self, path: Path) -> MultilingualText:
        """With the terms of a glossary file (glossary.py), which go before those it has. Raises CheckpointError."""
        return replace(self, glossaries=(glossary_lexicon(path, pronounce, LANGUAGES), *self.glossaries))

    def served(self, glossary: Path | None, *, public_cuts: bool) -> MultilingualText:
        """With a server's glossary if any. Segments are always cut by the public rule. Raises CheckpointError."""
        return self if glossary is None else self.with_glossary(glossary)

    def readable(self, languages: tuple[str, ...]) -> tuple[str, ...]:
        """Without Japanese where its packages are not installed."""
        return tuple(language for language in languages if language != "ja" or is_installed())

    @property
    def filler_id(self) -> int:
        """A piece that can stand first: a language."""
        return self.tokenizer.special_id(_tag(LANGUAGES[0]))

    def language_row(self, piece_id: int) -> int:
        """The row of the language table that a segment's first piece names. KeyError for any other piece."""
        rows = {self.tokenizer.special_id(_tag(language)): LANGUAGE_CODES.index(language) for language in LANGUAGES}
        return rows[piece_id]

    def segments(self, text: str, lexicon: Sequence[LexiconEntry] = (), language: str = "") -> list[TextSegment]:
        """At least one segment, each with something to pronounce and at most `max_pieces` pieces.

        `language`: one of LANGUAGES; empty: guessed by the script. The first piece of a segment is its language. What
        looks like a special token in `text` is none.

        Raises InvalidRequest as TextFrontend.segments does, and PRONUNCIATION_TOO_LONG (field `text`, metadata
        `max_pieces`, `char_begin`, `char_end`); Unsupported (LANGUAGE_PACKAGE_MISSING).
        """
        check_text(text, self.max_chars)
        marks = Marks()
        marked = mark_annotations(without_marks(text), pronounce, marks)
        language = language or guess_language(marks.as_words(marked.text), LANGUAGES)
        lexicons = (Lexicon.checked(lexicon, pronounce, LANGUAGES), *self.glossaries)
        marked = replace_terms(marked, lexicons, language, marks, self.max_chars)
        normal = self.normaliser.read(marked, language).sub(_SPECIAL_OPENING, lambda match: "< ")
        prefix = f"{_tag(language)} "
        obeyed = frozenset((_tag(language), *PRONUNCIATION_MARKS))

        def fits(part: str) -> bool:
            spoken = MARK.sub(lambda match: spelled_out(marks.pronounced[match.group()]), part)
            return self.tokenizer.count(prefix + spoken, obeyed) <= self.max_pieces

        segments = []
        place = 0
        for part in cut_to_fit(normal.text, fits):
            tracked = normal.slice(place, place + len(part))
            place += len(part)
            # Marks alone would be spoken as noise.
            if not any(character.isalnum() for character in marks.as_words(part)):
                continue
            spoken = tracked.sub(MARK, lambda match: spelled_out(marks.pronounced[match.group()]))
            pieces = self._pieces(prefix, spoken, obeyed)
            if not fits(part):
                raise self._too_long(tracked)
            segments.append(TextSegment(marks.written_out(part), pieces, min(tracked.begins), max(tracked.ends)))
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
            metadata={"max_pieces": str(self.max_pieces), "char_begin": str(begin), "char_end": str(end)},
        )

    def _pieces(self, prefix: str, part: TrackedText, obeyed: frozenset[str]) -> tuple[Piece, ...]:
        """Pieces of prefix and text together, as the T2S reads them; those of the prefix stand for no text."""
        return tuple(
            Piece(
                piece.text,
                piece.id,
                *part.origin(max(0, piece.char_begin - len(prefix)), max(0, piece.char_end - len(prefix))),
            )
            for piece in self.tokenizer.encode(prefix + part.text, obeyed)
        )


def _tag(language: str) -> str:
    return f"<|{language}|>"
