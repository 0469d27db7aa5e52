"""IndexTTS-2.5's tokenizer: byte pairs by a ranks file, and Whisper's kind of special tokens after them (spec 9).

A ranks file has a line for each piece: its bytes in base64, a blank, its rank, which is its id too. The special tokens
are in no file; their ids follow the ranks in the order of `special_tokens`.
"""

from __future__ import annotations

import base64
import binascii
from itertools import accumulate
from pathlib import Path

import tiktoken

from oncue_engine.errors import CheckpointError
from oncue_engine.frontend.pieces import Piece

__all__ = ["COMMON_LANGUAGE", "LANGUAGE_CODES", "PRONUNCIATION_MARKS", "TiktokenTokenizer", "special_tokens"]

LANGUAGE_CODES: tuple[str, ...] = tuple(
    (
        "en zh de es ru ko fr ja pt tr pl ca nl ar sv it id hi fi vi he uk el ms cs ro da hu ta no th ur hr "
        "bg lt la mi ml cy sk te fa lv bn sr az sl kn et mk br eu is hy ne mn bs kk sq sw gl mr pa si km sn "
        "yo so af oc ka be tg sd gu am yi lo uz fo ht ps tk nn mt sa lb my bo tl mg as tt haw ln ha ba jw su "
        "yue minnan wuyu dialect zh/en en/zh common"
    ).split()
)
"""Whisper's languages in its order, and what was added to them: a language's index is its row of the language table."""
COMMON_LANGUAGE = LANGUAGE_CODES.index("common")
_NUM_LANGUAGE_TOKENS = 99
"""Only so many of them are tokens too."""
PRONUNCIATION_MARKS = ("<|SPECIAL_TOKEN_1|>", "<|SPECIAL_TOKEN_2|>")
"""Around a pronunciation: of a word without Chinese characters, and of one with them."""

_PATTERN = r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""
"""How text falls apart before pairs are merged: that of Whisper and GPT-2."""
_DROPPED = (0, 1)
"""Ids that are start and stop of the T2S: such pieces vanish from a text (spec 9)."""
_SINGLE_BYTES = 256


def special_tokens() -> list[str]:
    """All special tokens in the order of their ids."""
    names = ["endoftext", "startoftranscript", *LANGUAGE_CODES[:_NUM_LANGUAGE_TOKENS]]
    names += "ASR AED SER Speech /Speech BGM /BGM Laughter /Laughter Applause /Applause".split()
    names += "HAPPY SAD ANGRY NEUTRAL translate transcribe startoflm startofprev nospeech notimestamps".split()
    names += [f"SPECIAL_TOKEN_{number}" for number in range(1, 31)]
    names += [f"TTS/{name}" for name in ("B", "O", "Q", "A", "CO", "CL", "H")]
    names += [f"TTS/SP{number:02d}" for number in range(1, 14)]
    names += [f"{number / 50:.2f}" for number in range(1501)]
    return [f"<|{name}|>" for name in names]


class TiktokenTokenizer:
    """Ids are those of the ranks file, then of the special tokens. Every text can be read: the bytes are pieces too."""

    unknown_id = -1
    """There is none."""

    def __init__(self, ranks: Path) -> None:
        """CheckpointError for a file that is missing, or no ranks file."""
        table = _read_ranks(ranks)
        special = special_tokens()
        self.num_ranks = len(table)
        self._special = {name: self.num_ranks + number for number, name in enumerate(special)}
        try:
            self._encoding = tiktoken.Encoding(
                name=ranks.stem, pat_str=_PATTERN, mergeable_ranks=table, special_tokens=self._special
            )
        except (ValueError, KeyError, AssertionError) as error:
            raise CheckpointError(f"{ranks.name} is no vocabulary: {error}") from error

    @property
    def vocabulary_size(self) -> int:
        """Ids, special ones included."""
        return self.num_ranks + len(self._special)

    def special_id(self, name: str) -> int:
        """The id of a special token such as `<|ja|>`. KeyError."""
        return self._special[name]

    def piece_bytes(self, index: int) -> bytes:
        """What a piece stands for; empty for special tokens. KeyError."""
        return b"" if index >= self.num_ranks else self._encoding.decode_single_token_bytes(index)

    def count(self, text: str, allowed: frozenset[str] = frozenset()) -> int:
        """Pieces of a text, those that vanish included; `allowed` special tokens are one each."""
        return len(self._encoding.encode(text, allowed_special=set(allowed), disallowed_special=()))

    def encode(self, text: str, allowed: frozenset[str] = frozenset()) -> list[Piece]:
        """Pieces with ranges in `text`, without those that vanish. `allowed`: special tokens that are obeyed.

        A piece that ends inside a character has that character in its range, and so has the next one.
        """
        ids = self._encoding.encode(text, allowed_special=set(allowed), disallowed_special=())
        ends = list(accumulate(len(self._encoding.decode_single_token_bytes(index)) for index in ids))
        # Character of each byte, and one past the last.
        characters = [place for place, character in enumerate(text) for _ in character.encode()]
        pieces = []
        for index, begin, end in zip(ids, [0, *ends], ends, strict=False):
            if index in _DROPPED or begin == end:
                continue
            first, stop = characters[begin], characters[end - 1] + 1
            pieces.append(Piece(text[first:stop], index, first, stop))
        return pieces


def _read_ranks(path: Path) -> dict[bytes, int]:
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing", reason="CHECKPOINT_FILE_MISSING") from None
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    table: dict[bytes, int] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            token, rank = line.split()
            # The public file has one piece of no bytes, written "=".
            piece = b"" if token == "=" else base64.b64decode(token, validate=True)
            if piece in table or not rank.isdecimal():
                raise ValueError("twice the same piece" if piece in table else "no rank")
        except (ValueError, binascii.Error) as error:
            raise CheckpointError(f"{path.name}, line {number}: {error}") from error
        table[piece] = int(rank)
    if sorted(table.values()) != list(range(len(table))):
        raise CheckpointError(f"{path.name}: the ranks are not 0 to {len(table) - 1}, each once")
    lacking = [byte for byte in range(_SINGLE_BYTES) if bytes([byte]) not in table]
    if lacking:
        raise CheckpointError(f"{path.name} lacks {len(lacking)} of the single bytes, such as 0x{lacking[0]:02x}")
    return table
