"""Who is speaking: an embedding of a clip whose cosine with another tells one voice from two.

Long-term statistics of mel cepstra over the frames that carry speech, and the place of the pitch, projected to where
speakers differ and acting, wording, noise and blur do not (linear discriminant analysis over the speakers of
`scripts/train_judges.py`, which no model is trained on and no evaluation uses). How well it knows given speakers is
measured before it judges (`calibrate`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources

import numpy as np
import numpy.typing as npt

from oncue_eval.frames import active_frames, frame_levels_db, frames_of
from oncue_eval.pitch import pitch_track_hz

__all__ = ["SpeakerJudge", "calibrate", "cosine", "learn_speakers", "nearest", "voice_statistics"]

_FILTERS = 30
_CEPSTRA = 16
_LOW_HZ = 80.0
_HIGH_HZ = 7600.0
_UNPITCHED_SEMITONES = 60.0
"""Where a voice without pitch stands: below every voice that has one."""

Embedding = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class SpeakerJudge:
    """embedding = projection @ (statistics - mean), of length 1."""

    mean: npt.NDArray[np.float64]
    """[31]"""
    projection: npt.NDArray[np.float64]
    """[width, 31]"""

    @classmethod
    def shipped(cls) -> SpeakerJudge:
        """The judge of data/judges."""
        with (resources.files("oncue_eval") / "data" / "judges" / "speaker.npz").open("rb") as file, np.load(file) as d:
            return cls(d["mean"], d["projection"])

    def embed(self, samples: npt.NDArray[np.float32], rate_hz: int) -> Embedding:
        """[width], of length 1, of a clip of a second or more, `samples` in [-1, 1]; loudness does not matter."""
        return self.embed_statistics(voice_statistics(samples, rate_hz))

    def embed_statistics(self, statistics: npt.NDArray[np.float64]) -> Embedding:
        """[width] of what `voice_statistics` measured."""
        projected: Embedding = self.projection @ (statistics - self.mean)
        return projected / max(float(np.linalg.norm(projected)), 1e-9)


def voice_statistics(
    samples: npt.NDArray[np.float32], rate_hz: int, track_hz: npt.NDArray[np.float64] | None = None
) -> npt.NDArray[np.float64]:
    """[2 * 15 + 1]: mean and spread of 15 mel cepstra in dB, and the median F0 in semitones.

    `track_hz`: what `pitch_track_hz` found, where that is known already.
    """
    frames = frames_of(samples, rate_hz, 0.025)
    speech = frames[active_frames(frame_levels_db(frames))]
    power = np.square(np.abs(np.fft.rfft(speech * np.hanning(frames.shape[1]), 512, axis=1)))
    mel_db = 10.0 * np.log10(power @ _filterbank(rate_hz, 512).T + 1e-9)  # [num_frames, _FILTERS]
    cepstra = mel_db @ _cosines().T  # [num_frames, _CEPSTRA - 1]
    track_hz = pitch_track_hz(samples, rate_hz) if track_hz is None else track_hz
    voiced = track_hz[track_hz > 0]
    semitones = 12.0 * np.log2(np.median(voiced)) if len(voiced) else _UNPITCHED_SEMITONES
    return np.concatenate((cepstra.mean(axis=0), cepstra.std(axis=0), [semitones]))


def cosine(left: Embedding, right: Embedding) -> float:
    """1: one voice; about 0: two that have nothing in common."""
    return float(left @ right)


def nearest(embedding: Embedding, references: Mapping[str, Embedding]) -> str:
    """The name of the reference with the largest cosine."""
    return max(references, key=lambda name: cosine(embedding, references[name]))


def calibrate(references: Mapping[str, Embedding], probes: Mapping[str, Sequence[Embedding]]) -> float:
    """Share of the probes that are nearest to their own speaker's reference. ValueError for fewer than two speakers."""
    if len(references) < 2 or not any(probes.values()):
        raise ValueError("needs two speakers or more, and a probe")
    right = [nearest(probe, references) == name for name, own in probes.items() for probe in own]
    return sum(right) / len(right)


def learn_speakers(statistics: npt.NDArray[np.float64], labels: Sequence[str], width: int) -> SpeakerJudge:
    """`statistics` [num_clips, 31] with a speaker each -> a projection to `width` numbers.

    Directions are scaled so that a speaker's own clips scatter by 1 along each.
    """
    names = np.array(labels)
    speakers = sorted(set(labels))
    means = np.stack([statistics[names == speaker].mean(axis=0) for speaker in speakers])
    within = np.mean([np.cov(statistics[names == speaker].T) for speaker in speakers], axis=0)
    within += 0.02 * np.diag(np.diag(within))
    between = np.cov(means.T)
    # Whiten what a speaker varies in, then keep where speakers differ most.
    values, vectors = np.linalg.eigh(within)
    whiten = vectors / np.sqrt(values) @ vectors.T
    spread, directions = np.linalg.eigh(whiten @ between @ whiten)
    kept = directions[:, np.argsort(spread)[::-1][:width]]
    return SpeakerJudge(means.mean(axis=0), kept.T @ whiten)


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
