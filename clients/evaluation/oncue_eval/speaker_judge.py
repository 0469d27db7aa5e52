"""Who is speaking, by measurement alone: the long-term spectrum envelope of a voice and the place of its pitch.

No part of any model that is judged, and nothing learnt: mean and spread of mel cepstra over the frames that carry
speech, and median F0. A judge of this kind knows speakers apart whose vocal tracts or pitch differ clearly; how well it
does on given clips is measured before it judges (`calibrate`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from oncue_eval.frames import active_frames, frame_levels_db, frames_of
from oncue_eval.pitch import pitch_track_hz

__all__ = ["calibrate", "distance", "nearest", "voice_print"]

_FILTERS = 30
_CEPSTRA = 16
_LOW_HZ = 80.0
_HIGH_HZ = 7600.0
_SEMITONE_WEIGHT = 1.0
"""Of one semitone of median F0 against one dB of a mean cepstrum."""
_SPREAD_WEIGHT = 0.5
"""Of the cepstra's spread against their mean: it depends more on what was said."""


def voice_print(samples: npt.NDArray[np.float32], rate_hz: int) -> npt.NDArray[np.float64]:
    """[2 * 15 + 1] of a clip of a second or more, `samples` in [-1, 1]; loudness does not matter."""
    frames = frames_of(samples, rate_hz, 0.025)
    speech = frames[active_frames(frame_levels_db(frames))]
    power = np.square(np.abs(np.fft.rfft(speech * np.hanning(frames.shape[1]), 512, axis=1)))
    mel_db = 10.0 * np.log10(power @ _filterbank(rate_hz, 512).T + 1e-9)  # [num_frames, _FILTERS]
    cepstra = mel_db @ _cosines().T  # [num_frames, _CEPSTRA - 1]
    track_hz = pitch_track_hz(samples, rate_hz)
    voiced = track_hz[track_hz > 0]
    # Without pitch, far from every voice that has one, and equally far.
    semitones = 12.0 * np.log2(np.median(voiced)) if len(voiced) else 0.0
    parts = (cepstra.mean(axis=0), _SPREAD_WEIGHT * cepstra.std(axis=0), [_SEMITONE_WEIGHT * semitones])
    return np.concatenate(parts)


def distance(left: npt.NDArray[np.float64], right: npt.NDArray[np.float64]) -> float:
    """Euclidean, in dB."""
    return float(np.linalg.norm(left - right))


def nearest(print_: npt.NDArray[np.float64], references: Mapping[str, npt.NDArray[np.float64]]) -> str:
    """The name of the nearest reference."""
    return min(references, key=lambda name: distance(print_, references[name]))


def calibrate(speakers: Mapping[str, Sequence[npt.NDArray[np.float64]]]) -> float:
    """Share of a speaker's clips that are nearest to another clip of that speaker, references all saying one sentence.

    `speakers` maps to voice prints, the same sentences in the same order for each. Every sentence serves as the
    reference in turn, and every other one as the probe.
    """
    counts = {len(prints) for prints in speakers.values()}
    if len(speakers) < 2 or len(counts) != 1 or counts.pop() < 2:
        raise ValueError("needs two speakers or more, with the same two or more sentences each")
    right = total = 0
    for reference in range(len(next(iter(speakers.values())))):
        references = {name: prints[reference] for name, prints in speakers.items()}
        for name, prints in speakers.items():
            for probe, print_ in enumerate(prints):
                if probe != reference:
                    total += 1
                    right += nearest(print_, references) == name
    return right / total


def _filterbank(rate_hz: int, n_fft: int) -> npt.NDArray[np.float64]:
    """[_FILTERS, n_fft // 2 + 1] triangles, evenly spaced in mel."""
    edges_mel = np.linspace(_mel(_LOW_HZ), _mel(min(_HIGH_HZ, rate_hz / 2)), _FILTERS + 2)
    edges_hz = 700.0 * (10.0 ** (edges_mel / 2595.0) - 1.0)
    bins_hz = np.fft.rfftfreq(n_fft, 1.0 / rate_hz)
    left, centre, right = edges_hz[:-2, None], edges_hz[1:-1, None], edges_hz[2:, None]
    rising, falling = (bins_hz - left) / (centre - left), (right - bins_hz) / (right - centre)
    filters: npt.NDArray[np.float64] = np.maximum(0.0, np.minimum(rising, falling))
    return filters


def _mel(hz: float) -> float:
    return float(2595.0 * np.log10(1.0 + hz / 700.0))


def _cosines() -> npt.NDArray[np.float64]:
    """[_CEPSTRA - 1, _FILTERS] cosine transform, without the level."""
    orders, filters = np.arange(1, _CEPSTRA)[:, None], np.arange(_FILTERS)[None]
    cosines: npt.NDArray[np.float64] = np.cos(np.pi * orders * (filters + 0.5) / _FILTERS) * np.sqrt(2.0 / _FILTERS)
    return cosines
