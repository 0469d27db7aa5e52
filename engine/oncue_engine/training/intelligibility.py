"""Word errors of made speech, by pocketsphinx with the models of its wheel: a check during training.

The evaluation has a recogniser of its own (`oncue eval wer`), which listens to a server; this one listens in process.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from pocketsphinx import Decoder

__all__ = ["Listener", "words_of"]

_RATE_HZ = 16000
_LEVEL_RMS = 0.08
_MARGIN_SAMPLES = 4800
"""It expects some silence around speech."""


def words_of(text: str) -> list[str]:
    """Lower-case words with their apostrophes; marks are left out."""
    return re.findall(r"[a-z]+(?:'[a-z]+)*", text.lower())


class Listener:
    """Hears one clip at a time; what it heard before does not change what it hears."""

    def __init__(self) -> None:
        self._decoder = Decoder(samprate=_RATE_HZ, cmn="batch", loglevel="FATAL")

    def errors(self, samples: npt.NDArray[np.float32], sentence: str) -> tuple[int, int]:
        """(wrong words, words) of `samples` [n] in [-1, 1] at 16 kHz that should say `sentence`."""
        expected = words_of(sentence)
        return _edits(expected, self._hear(samples)), len(expected)

    def _hear(self, samples: npt.NDArray[np.float32]) -> list[str]:
        level = float(np.sqrt(np.mean(np.square(samples)))) if len(samples) else 0.0
        speech = samples * (_LEVEL_RMS / level) if level > 0 else samples
        hush = np.random.default_rng(0).normal(scale=1e-4, size=_MARGIN_SAMPLES)
        wave = np.clip(np.concatenate([hush, speech, hush]), -1.0, 1.0)
        self._decoder.start_utt()
        self._decoder.process_raw((wave * 32767.0).astype("<i2").tobytes(), full_utt=True)
        self._decoder.end_utt()
        found = self._decoder.hyp()
        return words_of(found.hypstr) if found is not None else []


def _edits(expected: Sequence[str], heard: Sequence[str]) -> int:
    """Fewest insertions, deletions and substitutions from one to the other."""
    row = list(range(len(heard) + 1))
    for i, word in enumerate(expected, start=1):
        above, row = row, [i]
        for j, other in enumerate(heard, start=1):
            row.append(min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (word != other)))
    return row[-1]
