"""The public model's tokenizer: SentencePiece over upper-case text with every CJK character apart (spec 2.1)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path

import sentencepiece

from oncue_engine.errors import CheckpointError
from oncue_engine.frontend.marks import MARK, NO_PRONUNCIATIONS, Pronounced, UnreadablePronunciation, touches_mark
from oncue_engine.frontend.phones import looks_like_phones
from oncue_engine.frontend.pieces import Piece
from oncue_engine.frontend.pinyin import correct_pinyin, split_pinyin
from oncue_engine.frontend.tracked_text import TrackedText

__all__ = ["SentencePieceTokenizer", "space_cjk"]

_CJK = re.compile(
    "[\u1100-\u11ff\u2e80-\ua4cf\ua840-\ud7af\uf900-\ufaff\ufe30-\ufe4f\uff65-\uffdc\U00020000-\U0002ffff]"
)
_PART = re.compile(rf"{_CJK.pattern}|[^{_CJK.pattern[1:]}+")
_LETTERS = re.compile(r"[A-Za-z]+(?:['-][A-Za-z]+)*")
_WHAT_IS_READ = "pinyin with tones that the model knows (chong2, chóng), nor a respelling in letters or characters"


def space_cjk(text: str) -> TrackedText:
    """Upper case, one blank around every CJK character, none at the ends (spec 2.1); tracked to `text`."""
    return _spaced(TrackedText.of(text))


def _spaced(whole: TrackedText) -> TrackedText:
    text = whole.text
    parts: list[TrackedText] = []
    for part in _PART.finditer(text):
        stripped = part.group().strip()
        if not stripped:
            continue
        start = part.start() + part.group().index(stripped)
        if parts:
            parts.append(TrackedText(" ", (whole.begins[start],), (whole.begins[start],)))
        parts.append(whole.slice(start, start + len(stripped)))
    return TrackedText.joined(parts).map_characters(str.upper)


class SentencePieceTokenizer:
    """Wraps a `bpe.model`. Ids are the model's own; characters it lacks come out as its unknown id."""

    def __init__(self, model: Path) -> None:
        """Raises CheckpointError when `model` is missing or no SentencePiece model."""
        try:
            proto = model.read_bytes()
            if not proto:
                # The library takes an empty file for a model without pieces.
                raise CheckpointError(f"no SentencePiece model can be read from {model}: it is empty")
            self._processor = sentencepiece.SentencePieceProcessor(model_proto=proto)
        except (OSError, RuntimeError) as error:
            raise CheckpointError(f"no SentencePiece model can be read from {model}: {error}") from error

    @property
    def vocabulary_size(self) -> int:
        return int(self._processor.get_piece_size())

    @property
    def unknown_id(self) -> int:
        return int(self._processor.unk_id())

    def piece_bytes(self, index: int) -> bytes:
        """UTF-8 of what a piece stands for, without its blank; empty for start, stop and unknown."""
        if self._processor.is_control(index) or self._processor.is_unknown(index):
            return b""
        return str(self._processor.id_to_piece(index)).replace("▁", "").encode()

    def pronounce(self, word: str, pronunciation: str) -> tuple[str, ...]:
        """Pieces of pinyin with tones, and what is written with letters or CJK characters, apart by blanks.

        Raises UnreadablePronunciation, also for pinyin that has no piece of its own: it would be read as letters and a
        digit; and for ARPAbet, which would be read as words.
        """
        if looks_like_phones(pronunciation):
            raise UnreadablePronunciation(pronunciation, f"{_WHAT_IS_READ}: it is ARPAbet")
        return tuple(unit for part in pronunciation.split() for unit in self._units(part))

    def encode(self, text: str, pronounced: Mapping[str, Pronounced] = NO_PRONUNCIATIONS) -> list[Piece]:
        """Pieces with ranges in `text`; a text of one character is taken as it is (spec 2.1)."""
        stripped = text.strip()
        if len(stripped) == 1 and stripped not in pronounced:
            at = text.index(stripped)
            spaced = TrackedText(self._known_case(stripped), (at,), (at + 1,))
        else:
            spaced = _spaced(_spelled_out(TrackedText.of(text), pronounced))
        if not spaced.text:
            return []
        if not self._is_known(spaced.text):
            spaced = spaced.map_characters(self._plain)
        encoded = self._processor.encode(spaced.text, return_type="offset_mapping")
        pieces = []
        for name, index, (begin, end) in zip(encoded["pieces"], encoded["ids"], encoded["offsets"], strict=True):
            # A piece's own blank is not part of what it stands for, unless there is nothing else.
            while begin < end - 1 and spaced.text[begin] == " ":
                begin += 1
            pieces.append(Piece(name, index, *spaced.origin(begin, end)))
        return pieces

    def _units(self, part: str) -> tuple[str, ...]:
        syllables = split_pinyin(part)
        if syllables:
            return tuple(self._syllable(syllable) for syllable in syllables)
        characters = _CJK.findall(part)
        units = tuple(characters) if "".join(characters) == part else (part.upper(),)
        if (_LETTERS.fullmatch(part) or characters == list(part)) and all(map(self._is_known, units)):
            return units
        raise UnreadablePronunciation(part, _WHAT_IS_READ)

    def _syllable(self, syllable: str) -> str:
        """How the vocabulary writes it: corrected as in running text (spec 2.3), or as it was typed."""
        typed = syllable.upper()
        for written in (correct_pinyin(syllable).upper(), typed, typed.replace("Ü", "V"), typed.replace("V", "Ü")):
            names = [name.strip("▁") for name in self._processor.encode(written, out_type=str)]
            if [name for name in names if name] == [written] and self._is_known(written):
                return written
        raise UnreadablePronunciation(syllable, _WHAT_IS_READ)

    def _is_known(self, text: str) -> bool:
        return self.unknown_id not in self._processor.encode(text)

    def _plain(self, character: str) -> str:
        """A letter that the vocabulary lacks without its accent, or in its usual width, where that is known."""
        if character.isascii() or not character.isalnum() or self._is_known(character):
            return character
        apart = unicodedata.normalize("NFKD", character)
        plain = "".join(part for part in apart if not unicodedata.combining(part)).upper()
        return plain if plain and self._is_known(plain) else character

    def _known_case(self, character: str) -> str:
        """A single letter as it is, or as a capital where that is all the vocabulary has."""
        upper = character.upper()
        return upper if len(upper) == 1 and not self._is_known(character) else character


def _spelled_out(text: TrackedText, pronounced: Mapping[str, Pronounced]) -> TrackedText:
    """Units in place of marks, apart from letters and digits beside them."""

    def units(match: re.Match[str]) -> str:
        before, after = text.text[: match.start()][-1:], text.text[match.end() :][:1]
        words = " ".join(pronounced[match.group()].units)
        return (" " if touches_mark(before) else "") + words + (" " if touches_mark(after) else "")

    return text.sub(MARK, units)
