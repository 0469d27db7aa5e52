"""The packed pronouncing dictionary: about 135 000 English words.

`data/lexicon.xz` holds one line per word in sorted order, front-coded: a letter for the number of leading characters
shared with the line before (`A` is 0), the rest of the word, a tab, and one letter per phone (`A` is the first of
PHONES). A third field, where there is one, is how the word sounds as a verb ("use", "record").
`training/letters.py` writes the file; `data/README.md` says where its contents come from.
"""

from __future__ import annotations

import lzma
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources

from oncue_engine.errors import CheckpointError
from oncue_engine.frontend.phones import PHONES

__all__ = ["Dictionary", "pack_entries", "pack_phones", "unpack_entries", "unpack_phones"]

LEXICON_FILE = "lexicon.xz"
_BASE = ord("A")
_MAX_SHARED = 25
_CODES = {name: chr(_BASE + index) for index, name in enumerate(PHONES)}


def pack_phones(phones: Iterable[str]) -> str:
    """One letter per phone. Raises KeyError for a name outside PHONES."""
    return "".join(_CODES[phone] for phone in phones)


def unpack_phones(packed: str) -> tuple[str, ...]:
    return tuple(PHONES[ord(code) - _BASE] for code in packed)


def pack_entries(entries: Mapping[str, tuple[str, ...]]) -> bytes:
    """`entries`: word to its packed pronunciations (one, or two when the verb differs)."""
    lines = []
    last = ""
    for word in sorted(entries):
        shared = 0
        while shared < min(len(last), len(word), _MAX_SHARED) and last[shared] == word[shared]:
            shared += 1
        lines.append("\t".join((chr(_BASE + shared) + word[shared:], *entries[word])))
        last = word
    return lzma.compress("\n".join(lines).encode("ascii"), preset=9 | lzma.PRESET_EXTREME)


def unpack_entries(data: bytes) -> dict[str, tuple[str, ...]]:
    """Inverse of `pack_entries`. Raises CheckpointError when the data is damaged."""
    entries: dict[str, tuple[str, ...]] = {}
    word = ""
    try:
        for line in lzma.decompress(data).decode("ascii").split("\n"):
            head, *packed = line.split("\t")
            word = word[: ord(head[0]) - _BASE] + head[1:]
            entries[word] = tuple(packed)
    except (lzma.LZMAError, UnicodeDecodeError, IndexError) as error:
        raise CheckpointError(f"the pronouncing dictionary is damaged: {error}") from error
    return entries


@dataclass(frozen=True, slots=True)
class Dictionary:
    """Words in lower case, with apostrophes, to packed pronunciations."""

    entries: Mapping[str, tuple[str, ...]]

    @classmethod
    def load(cls) -> Dictionary:
        """The dictionary in the package. Raises CheckpointError when it is missing or damaged."""
        path = resources.files("oncue_engine.frontend") / "data" / LEXICON_FILE
        try:
            data = path.read_bytes()
        except OSError as error:
            raise CheckpointError(f"the pronouncing dictionary cannot be read: {error}") from error
        return cls(unpack_entries(data))

    def __contains__(self, word: str) -> bool:
        return word in self.entries

    def pronounce(self, word: str, *, verb: bool = False) -> tuple[str, ...] | None:
        """Phones of a lower-case word, or None when it is not listed. `verb` picks the verb's where it differs."""
        packed = self.entries.get(word)
        if packed is None:
            return None
        return unpack_phones(packed[-1] if verb else packed[0])
