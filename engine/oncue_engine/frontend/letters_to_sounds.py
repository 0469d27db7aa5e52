"""Says words that no dictionary lists, from their letters: a joint n-gram model over letters and their phones.

A unit is one letter with the none, one or two phones it stands for; a word is the most likely run of units that spells
it (beam search, deterministic). The n-grams (up to order 6, back-off form, pruned by what each adds to the likelihood)
are learnt from the dictionary by `training/letters.py`; method after Bisani and Ney, "Joint-sequence models for
grapheme-to-phoneme conversion" (2008).
"""

from __future__ import annotations

import lzma
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources

from oncue_engine.errors import CheckpointError
from oncue_engine.frontend.phones import PHONES

__all__ = ["FIRST_UNIT", "WORD_BEGIN", "WORD_END", "LettersToSounds", "NGram", "pack_model", "unpack_model"]

MODEL_FILE = "letters.xz"
WORD_BEGIN, WORD_END, FIRST_UNIT = 1, 2, 3
"""Unit ids; 0 is never used, so that an n-gram packed into an integer, 8 bits a unit, tells its own length."""

_STEP = 0.125
"""Resolution of stored log probabilities (natural)."""
_BOW_ZERO = 128
_UNSEEN_UNIT = -14.0
_BEAM = 8
_MAX_LETTERS = 40

Unit = tuple[str, tuple[str, ...]]
NGram = tuple[tuple[int, ...], float, float]
"""Unit ids, log probability of the last after the others, log back-off weight."""


def pack_model(units: Sequence[Unit], ngrams: Sequence[NGram]) -> bytes:
    """The model file: `units` from id FIRST_UNIT on; `ngrams` sorted by their ids, every prefix present."""
    header = "\n".join("\t".join((letter, " ".join(phones))) for letter, phones in units)
    columns = [bytearray() for _ in range(4)]
    for ids, log_probability, log_back_off in ngrams:
        columns[0].append(len(ids))
        columns[1].append(ids[-1])
        columns[2].append(min(255, max(0, round(-log_probability / _STEP))))
        columns[3].append(min(255, max(0, round(-log_back_off / _STEP) + _BOW_ZERO)))
    body = b"".join(bytes(column) for column in columns)
    return lzma.compress(header.encode("ascii") + b"\0" + body, preset=9 | lzma.PRESET_EXTREME)


def unpack_model(data: bytes) -> LettersToSounds:
    """Inverse of `pack_model`. Raises CheckpointError when the data is damaged."""
    try:
        header, _, body = lzma.decompress(data).partition(b"\0")
        units = [
            (letter, tuple(phones.split()))
            for letter, _, phones in (line.partition("\t") for line in header.decode("ascii").split("\n"))
        ]
    except (lzma.LZMAError, UnicodeDecodeError) as error:
        raise CheckpointError(f"the letter-to-sound model is damaged: {error}") from error
    count, rest = divmod(len(body), 4)
    if rest or not count or any(phone not in PHONES for _, phones in units for phone in phones):
        raise CheckpointError("the letter-to-sound model is damaged: wrong size or phones")
    log_probabilities: dict[int, float] = {}
    back_offs: dict[int, float] = {}
    path = [0] * 256
    order = 0
    for depth, unit, probability, back_off in zip(*(body[i * count : (i + 1) * count] for i in range(4)), strict=True):
        key = path[depth] = (path[depth - 1] << 8) | unit
        log_probabilities[key] = -probability * _STEP
        if back_off != _BOW_ZERO:
            back_offs[key] = (_BOW_ZERO - back_off) * _STEP
        order = max(order, depth)
    candidates: dict[str, list[tuple[int, tuple[str, ...]]]] = defaultdict(list)
    for index, (letter, phones) in enumerate(units):
        candidates[letter].append((index + FIRST_UNIT, phones))
    return LettersToSounds(log_probabilities, back_offs, dict(candidates), order)


@dataclass(frozen=True, slots=True)
class LettersToSounds:
    """N-grams are keyed by their unit ids packed into one integer, 8 bits each, the last unit lowest."""

    log_probabilities: Mapping[int, float]
    back_offs: Mapping[int, float]
    candidates: Mapping[str, Sequence[tuple[int, tuple[str, ...]]]]
    """Letter to the units that start with it."""
    order: int

    @classmethod
    def load(cls) -> LettersToSounds:
        """The model in the package. Raises CheckpointError when it is missing or damaged."""
        path = resources.files("oncue_engine.frontend") / "data" / MODEL_FILE
        try:
            data = path.read_bytes()
        except OSError as error:
            raise CheckpointError(f"the letter-to-sound model cannot be read: {error}") from error
        return unpack_model(data)

    def phones(self, word: str) -> tuple[str, ...]:
        """Best pronunciation of a lower-case word; characters other than a to z are passed over.

        Beyond 40 letters it goes in parts, for time's sake.
        """
        if len(word) > _MAX_LETTERS:
            return self.phones(word[:_MAX_LETTERS]) + self.phones(word[_MAX_LETTERS:])
        # A beam entry: score, history (packed ids), length of the history, phones so far.
        beam: list[tuple[float, int, int, tuple[str, ...]]] = [(0.0, WORD_BEGIN, 1, ())]
        longest = self.order - 1
        mask = (1 << (8 * longest)) - 1
        for letter in word:
            if letter not in self.candidates:
                continue
            grown = [
                (
                    score + self._log_probability(history, length, unit),
                    ((history << 8) | unit) & mask,
                    min(length + 1, longest),
                    phones + added,
                )
                for score, history, length, phones in beam
                for unit, added in self.candidates[letter]
            ]
            grown.sort(key=lambda entry: -entry[0])
            beam = grown[:_BEAM]
        spoken = [entry for entry in beam if entry[3]]
        if not spoken:
            return ()
        return max(spoken, key=lambda entry: entry[0] + self._log_probability(entry[1], entry[2], WORD_END))[3]

    def _log_probability(self, history: int, length: int, unit: int) -> float:
        score = 0.0
        while True:
            found = self.log_probabilities.get((history << 8) | unit)
            if found is not None:
                return score + found
            if not length:
                return score + _UNSEEN_UNIT
            score += self.back_offs.get(history, 0.0)
            length -= 1
            history &= (1 << (8 * length)) - 1
