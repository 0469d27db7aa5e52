"""The judge of words: pocketsphinx with the acoustic and language model of its wheel."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pocketsphinx import Decoder  # type: ignore[import-untyped]

from oncue_eval.material import RATE_HZ
from oncue_eval.words import normal_words

__all__ = ["Recogniser"]

_PAD_S = 0.3
_LEVEL = 0.08


class Recogniser:
    """Hears one clip at a time; what it heard before does not change what it hears."""

    def __init__(self) -> None:
        # `batch`: each clip's own cepstral mean, where the default carries one over from clip to clip.
        self._decoder = Decoder(samprate=RATE_HZ, cmn="batch", loglevel="FATAL")

    def hear(self, samples: npt.NDArray[np.float32]) -> list[str]:
        """The words of a clip, `samples` [num_samples] in [-1, 1] at RATE_HZ. Blocks, about as long as the clip."""
        self._decoder.start_utt()
        self._decoder.process_raw(_prepared(samples), full_utt=True)
        self._decoder.end_utt()
        found = self._decoder.hyp()
        return normal_words(found.hypstr) if found is not None else []


def _prepared(samples: npt.NDArray[np.float32]) -> bytes:
    """16-bit samples at one level, between stretches of faint noise: it expects silence around speech."""
    level = float(np.sqrt(np.mean(np.square(samples)))) if len(samples) else 0.0
    speech = samples * np.float32(_LEVEL / level) if level > 0 else samples
    hush = np.random.default_rng(0).normal(scale=1e-4, size=round(_PAD_S * RATE_HZ))
    return bytes((np.clip(np.concatenate((hush, speech, hush)), -1.0, 1.0) * 32767.0).astype("<i2").tobytes())
