"""A user's text to segments of pieces: checked, normalised, tokenised, cut. The text side of a model in one place."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from oncue_engine.errors import InvalidRequest
from oncue_engine.frontend.annotations import mark_annotations
from oncue_engine.frontend.arpabet import ArpabetTokenizer
from oncue_engine.frontend.english import EnglishNormaliser
from oncue_engine.frontend.glossary import glossary_lexicon
from oncue_engine.frontend.lexicon import EMPTY_LEXICON, Lexicon, replace_terms
from oncue_engine.frontend.marks import MARK, Marks, without_marks
from oncue_engine.frontend.pieces import Piece, TextTokenizer
from oncue_engine.frontend.pronounce import Pronouncer
from oncue_engine.frontend.segment import split, split_at_sentences
from oncue_engine.frontend.tracked_text import TrackedText
from oncue_engine.requests import LexiconEntry

__all__ = ["MAX_CHARS", "Normaliser", "TextFrontend", "TextReader", "TextSegment", "check_text"]

MAX_CHARS = 10_000
"""Default limit on the characters of one utterance."""

_WITHOUT_BLANKS = re.compile("[\u2e80-\ua4cf\uf900-\ufaff\U00020000-\U0003ffff]")
"""Chinese and Japanese characters, of which any may begin a word."""
_ALLOWED_CONTROLS = frozenset("\t\n\r")


class Normaliser(Protocol):
    """What TextFrontend asks of a normaliser (english.py for the embedded model, normalize.py for public ones)."""

    @property
    def languages(self) -> Sequence[str]:
        """All that `language` may answer, such as `en`."""

    def language(self, text: str) -> str:
        """The language that a text will be read in."""

    def read(self, text: TrackedText, language: str) -> TrackedText:
        """The text as it will be read; marks (marks.py) stay in their places. May raise InvalidRequest (`text`)."""


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

    def with_glossary(self, path: Path) -> TextReader:
        """With the terms of a glossary file (glossary.py), which go before those it has. Raises CheckpointError."""

    def served(self, glossary: Path | None, *, public_cuts: bool) -> TextReader:
        """As a server was told to read: with its glossary if any, in segments by the public rule if asked for.

        Raises CheckpointError.
        """

    def readable(self, languages: tuple[str, ...]) -> tuple[str, ...]:
        """Those of the model's languages whose text can be read on this machine."""

    def segments(self, text: str, lexicon: Sequence[LexiconEntry] = (), language: str = "") -> list[TextSegment]:
        """At least one segment; `language`: one that the model speaks, or empty where the text is to tell.

        Raises as TextFrontend's does.
        """


@dataclass(frozen=True, slots=True)
class TextFrontend:
    """Thread-safe as long as its parts are: it keeps nothing between calls, and nothing of one user's for another."""

    tokenizer: TextTokenizer
    normaliser: Normaliser
    max_pieces: int
    """Of one segment."""
    max_chars: int = MAX_CHARS
    """Of a text, also with the readings of its terms in their places."""
    whole_sentences: bool = False
    """Whole sentences are packed first (segment.split_at_sentences); else the public rule cuts (segment.split)."""
    glossaries: tuple[Lexicon, ...] = ()
    """How terms are said in every text, the first one first. A request's own lexicon goes before them."""

    @classmethod
    def english(cls, max_pieces: int, *, max_chars: int = MAX_CHARS) -> TextFrontend:
        """The embedded model's: English to phones, whole sentences first."""
        pronouncer = Pronouncer.load()
        tokenizer, normaliser = ArpabetTokenizer(pronouncer), EnglishNormaliser(pronouncer.dictionary)
        return cls(tokenizer, normaliser, max_pieces, max_chars, whole_sentences=True)

    def with_glossary(self, path: Path) -> TextFrontend:
        """With the terms of a glossary file (glossary.py), which go before those it has. Raises CheckpointError."""
        glossary = glossary_lexicon(path, self.tokenizer.pronounce, self.normaliser.languages)
        return replace(self, glossaries=(glossary, *self.glossaries))

    def served(self, glossary: Path | None, *, public_cuts: bool) -> TextFrontend:
        """As a server was told to read: with its glossary if any, in segments by the public rule if asked for.

        Raises CheckpointError.
        """
        text = self if glossary is None else self.with_glossary(glossary)
        return replace(text, whole_sentences=False) if public_cuts else text

    def readable(self, languages: tuple[str, ...]) -> tuple[str, ...]:
        """All of them."""
        return languages

    def segments(self, text: str, lexicon: Sequence[LexiconEntry] = (), language: str = "") -> list[TextSegment]:
        """At least one segment, each with something to pronounce and at most `max_pieces` pieces.

        `language`: one of the normaliser's; empty: it tells from the text.

        Raises InvalidRequest (field `text`): `TEXT_EMPTY`, `TEXT_TOO_LONG` (metadata `max_chars`, `chars`),
        `TEXT_CONTROL_CHARACTER` and `TEXT_SURROGATE` (metadata `position`, `code_point`), `TEXT_UNPRONOUNCEABLE`
        (metadata `characters` where some are at fault), `TEXT_PRONUNCIATION_INVALID` (annotations.py); and what
        Lexicon.checked and replace_terms raise.
        """
        check_text(text, self.max_chars)
        marks = Marks()
        marked = mark_annotations(without_marks(text), self.tokenizer.pronounce, marks)
        language = language or self.normaliser.language(marks.as_words(marked.text))
        lexicons = (self._lexicon(lexicon), *self.glossaries)
        marked = replace_terms(marked, lexicons, language, marks, self.max_chars)
        normal = self.normaliser.read(marked, language)
        pieces = self._known(text, normal, self.tokenizer.encode(normal.text, marks.pronounced))
        names = [piece.text for piece in pieces]
        if self.whole_sentences:
            cuts = split_at_sentences(names, self.max_pieces, _word_starts(normal.text, pieces))
        else:
            cuts = split(names, self.max_pieces)
        segments = [
            _segment(normal, pieces[cut.start : cut.stop], marks)
            for cut in cuts
            # A segment of marks alone would be spoken as noise.
            if any(_is_spoken(pieces[index]) for index in cut)
        ]
        if not segments:
            raise InvalidRequest(
                "the text has nothing that can be pronounced", reason="TEXT_UNPRONOUNCEABLE", field="text"
            )
        return segments

    def _lexicon(self, entries: Sequence[LexiconEntry]) -> Lexicon:
        if not entries:
            return EMPTY_LEXICON
        return Lexicon.checked(entries, self.tokenizer.pronounce, self.normaliser.languages)

    def _known(self, text: str, normal: TrackedText, pieces: list[Piece]) -> list[Piece]:
        """`pieces` without signs that the model was never taught, which it would read as noise; letters are refused."""
        unknown = [piece for piece in pieces if piece.id == self.tokenizer.unknown_id]
        if not unknown:
            return pieces
        for piece in unknown:
            begin, end = normal.origin(piece.char_begin, piece.char_end)
            characters = normal.text[piece.char_begin : piece.char_end].strip()
            if any(character.isalnum() for character in characters):
                raise InvalidRequest(
                    f"the loaded model cannot pronounce {characters[:20]!r}, from {text[begin:end][:40]!r}",
                    reason="TEXT_UNPRONOUNCEABLE",
                    field="text",
                    metadata={"characters": characters[:20], "position": str(begin)},
                )
        return [piece for piece in pieces if piece.id != self.tokenizer.unknown_id]


def _is_spoken(piece: Piece) -> bool:
    return any(character.isalnum() for character in piece.text)


def _segment(normal: TrackedText, pieces: Sequence[Piece], marks: Marks) -> TextSegment:
    mapped = tuple(Piece(piece.text, piece.id, *normal.origin(piece.char_begin, piece.char_end)) for piece in pieces)
    written = normal.text[pieces[0].char_begin : max(piece.char_end for piece in pieces)]
    begin, end = min(piece.char_begin for piece in mapped), max(piece.char_end for piece in mapped)
    return TextSegment(marks.written_out(written), mapped, begin, end)


def _word_starts(text: str, pieces: Sequence[Piece]) -> list[bool]:
    """For every piece whether a word of `text` begins with it."""
    starts = []
    last = -1
    for piece in pieces:
        at = piece.char_begin
        joined = at > 0 and (text[at - 1].isalnum() or text[at - 1] == "'")
        inside = joined and _WITHOUT_BLANKS.match(text, at) is None
        begins = text[at : at + 1].isalnum() or MARK.match(text, at) is not None
        starts.append(at != last and not inside and begins)
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
