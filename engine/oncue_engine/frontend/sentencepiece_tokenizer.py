"""The public model's tokenizer: SentencePiece over upper-case text with every CJK character apart (spec 2.1)."""

from __future__ import annotations

import re
from pathlib import Path

import sentencepiece

from oncue_engine.errors import CheckpointError
from oncue_engine.frontend.pieces import Piece
from oncue_engine.frontend.tracked_text import TrackedText

__all__ = ["SentencePieceTokenizer", "space_cjk"]

_CJK = re.compile(
    "[\u1100-\u11ff\u2e80-\ua4cf\ua840-\ud7af\uf900-\ufaff\ufe30-\ufe4f\uff65-\uffdc\U00020000-\U0002ffff]"
)
_PART = re.compile(rf"{_CJK.pattern}|[^{_CJK.pattern[1:]}+")


def space_cjk(text: str) -> TrackedText:
    """Upper case, one blank around every CJK character, none at the ends (spec 2.1); tracked to `text`."""
    whole = TrackedText.of(text)
    parts: list[TrackedText] = []
    for part in _PART.finditer(text):
        stripped = part.group().strip()
        if not stripped:
            continue
        start = part.start() + part.group().index(stripped)
        if parts:
            parts.append(TrackedText(" ", (start,), (start,)))
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

    def encode(self, text: str) -> list[Piece]:
        """Pieces with ranges in `text`; a text of one character is taken as it is (spec 2.1)."""
        stripped = text.strip()
        if len(stripped) == 1:
            at = text.index(stripped)
            spaced = TrackedText(stripped, (at,), (at + 1,))
        else:
            spaced = space_cjk(text)
        if not spaced.text:
            return []
        encoded = self._processor.encode(spaced.text, return_type="offset_mapping")
        pieces = []
        for name, index, (begin, end) in zip(encoded["pieces"], encoded["ids"], encoded["offsets"], strict=True):
            # A piece's own blank is not part of what it stands for, unless there is nothing else.
            while begin < end - 1 and spaced.text[begin] == " ":
                begin += 1
            pieces.append(Piece(name, index, *spaced.origin(begin, end)))
        return pieces
