"""Text pieces of models that read bytes: a `tokenizer.json` of the `tokenizers` package, byte-level BPE.

Every character can be read, as the bytes it is written with: there is no unknown piece.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tokenizers import Tokenizer

from oncue_engine.errors import CheckpointError
from oncue_engine.frontend.marks import NO_PRONUNCIATIONS, Pronounced, UnreadablePronunciation
from oncue_engine.frontend.pieces import Piece

__all__ = ["BytePairTokenizer"]

_NO_PIECE = -1


class BytePairTokenizer:
    """Ids are the file's own; its special tokens are never emitted, whatever a text spells."""

    def __init__(self, path: Path) -> None:
        """CheckpointError where `path` is missing or no such file."""
        if not path.is_file():
            raise CheckpointError(f"{path} is missing", reason="CHECKPOINT_FILE_MISSING")
        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # `tokenizers` raises bare Exception
            raise CheckpointError(f"{path} cannot be read: {error}") from error
        # A user who writes "<|endoftext|>" has written 13 characters.
        self._tokenizer.encode_special_tokens = True

    @property
    def vocabulary_size(self) -> int:
        return int(self._tokenizer.get_vocab_size())

    @property
    def unknown_id(self) -> int:
        """No id: bytes spell everything."""
        return _NO_PIECE

    def pronounce(self, word: str, pronunciation: str) -> tuple[str, ...]:
        """Raises UnreadablePronunciation: such a model learned from running text alone."""
        raise UnreadablePronunciation(pronunciation, "read by this model, which takes no pronunciations")

    def encode(self, text: str, pronounced: Mapping[str, Pronounced] = NO_PRONUNCIATIONS) -> list[Piece]:
        """Pieces with ranges in `text`. A piece is named by the text it stands for; pieces that are only a part of a
        character are all named by it. There is never anything in `pronounced`."""
        if not text.strip():
            return []
        encoded = self._tokenizer.encode(text, add_special_tokens=False)
        pieces = []
        for index, (begin, end) in zip(encoded.ids, encoded.offsets, strict=True):
            # A piece's own blank is not part of what it stands for, unless there is nothing else.
            while begin < end - 1 and text[begin].isspace():
                begin += 1
            pieces.append(Piece(text[begin:end].strip(), index, begin, end))
        return pieces
