"""Forced alignment: when each phone of a known sentence was spoken, by Viterbi over per-frame phone scores.

Two judges give the scores. The trained encoder's phone head is the better one; a first corpus of recordings has no
encoder yet, so there one Gaussian for each phone is learnt from the recordings themselves, from a flat start: phones
spread evenly, then a few rounds of estimating and aligning.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from oncue_engine.frontend.mel import log_mel
from oncue_engine.frontend.speech_features import speech_features
from oncue_engine.training.features import PHONES, STRIDE, nano_mel_config
from oncue_engine.training.teacher import SAMPLE_RATE_HZ

__all__ = [
    "AlignmentFailed",
    "EncoderScorer",
    "FrameScores",
    "GaussianScorer",
    "PhoneScorer",
    "State",
    "align",
    "learn_gaussians",
]

_CEPSTRA = 13
_ROUNDS = 6
_OUTLIER = 8.0
_QUIET_DB = -35.0
_PAUSE = PHONES.index("pau")

Samples = npt.NDArray[np.float32]


class AlignmentFailed(ValueError):
    """The phones cannot be laid onto the clip."""


@dataclass(frozen=True, slots=True)
class State:
    """A phone (index into PHONES) of the sentence; an optional one, a pause, may be left out."""

    phone: int
    optional: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class FrameScores:
    """`scores` [F, phones] log; frame f lasts from `begin_s` + f `frame_s`."""

    scores: npt.NDArray[np.float32]
    begin_s: float
    frame_s: float


class PhoneScorer(Protocol):
    """Tells how well each phone fits each frame. A path whose mean score is under `floor` does not fit its words."""

    floor: float

    def score(self, samples: Samples) -> FrameScores:
        """`samples` [n] in [-1, 1] at 16 kHz."""


def align(scores: npt.NDArray[np.float32], states: Sequence[State]) -> tuple[npt.NDArray[np.int64], float]:
    """The best path [F] (index into `states`, never falling) and its mean score a frame.

    Every state that is not optional gets a frame at least. Raises AlignmentFailed when there are too few frames.
    """
    needed = sum(not state.optional for state in states)
    if len(scores) < max(1, needed):
        raise AlignmentFailed(f"{needed} phones do not fit into {len(scores)} frames")
    emitted = scores[:, [state.phone for state in states]].astype(np.float64)  # [F, S]
    # over an optional state one may step, so a state is reached from itself, the one before, or the one before that
    over = np.array([False, False] + [state.optional for state in states[1:-1]])[: len(states)]
    best = np.full(len(states), -np.inf)
    best[0] = emitted[0, 0]
    if states[0].optional and len(states) > 1:
        best[1] = emitted[0, 1]
    moves = np.zeros(emitted.shape, dtype=np.int8)
    for f in range(1, len(emitted)):
        from_last = np.concatenate([[-np.inf], best[:-1]])
        from_over = np.where(over, np.concatenate([[-np.inf, -np.inf], best[:-2]])[: len(states)], -np.inf)
        ways = np.stack([best, from_last, from_over])
        moves[f] = ways.argmax(0)
        best = ways.max(0) + emitted[f]
    last = len(states) - 1
    if states[last].optional and last > 0 and best[last - 1] > best[last]:
        last -= 1
    if not np.isfinite(best[last]):
        raise AlignmentFailed("no path leads through the phones")
    total = float(best[last]) / len(emitted)
    path = np.empty(len(emitted), dtype=np.int64)
    for f in range(len(emitted) - 1, -1, -1):
        path[f] = last
        last -= int(moves[f, last])
    return path, total


@dataclass(frozen=True, slots=True, eq=False)
class EncoderScorer:
    """The phone head of the trained encoder: log probabilities for each half of its 40 ms frames."""

    modules: nn.ModuleDict
    """`encoder` and `heads`, as the encoder stage trains them."""
    floor: float = -float(np.log(len(PHONES)))  # worse than knowing nothing

    def score(self, samples: Samples) -> FrameScores:
        speech, mask = speech_features(torch.from_numpy(samples), stride=STRIDE)
        count = int(mask.sum())
        with torch.inference_mode():
            hidden = self.modules["encoder"](
                speech[None, :count], attention_mask=torch.ones(1, count, dtype=torch.int64)
            ).last_hidden_state
            phones, _ = self.modules["heads"](hidden)  # [1, T, 2, phones]
        scores = phones[0].log_softmax(-1).flatten(0, 1).numpy()
        # the head was taught at 17.5 and 37.5 ms of each frame (features.py)
        return FrameScores(scores, 0.0075, 0.02)


@dataclass(frozen=True, slots=True, eq=False)
class GaussianScorer:
    """A diagonal Gaussian for each phone over cepstra and their slopes."""

    means: npt.NDArray[np.float64]
    """[phones, D]"""
    variances: npt.NDArray[np.float64]
    floor: float = -float("inf")

    def score(self, samples: Samples) -> FrameScores:
        return self.score_rows(_cepstra(samples))

    def score_rows(self, rows: npt.NDArray[np.float64]) -> FrameScores:
        """Of cepstra [F, D] that were already computed."""
        precision = 1.0 / self.variances
        distance = (
            (rows**2) @ precision.T
            - 2.0 * rows @ (self.means * precision).T
            + ((self.means**2) * precision + np.log(2 * np.pi * self.variances)).sum(1)
        )
        hop_s = nano_mel_config().hop_length / SAMPLE_RATE_HZ
        return FrameScores((-0.5 * distance).astype(np.float32), 0.0, hop_s)


def _cepstra(samples: Samples) -> npt.NDArray[np.float64]:
    """[F, 26] cepstra and slopes, normalised over the clip; 62.5 frames a second."""
    mel = log_mel(torch.from_numpy(samples)[None], nano_mel_config())[0].T.double().numpy()  # [F, 80]
    bands = mel.shape[1]
    cosines = np.cos(np.pi * np.outer(np.arange(bands) + 0.5, np.arange(_CEPSTRA)) / bands)
    rows = mel @ cosines / bands
    slopes = np.gradient(rows, axis=0) if len(rows) > 1 else np.zeros_like(rows)
    both = np.concatenate([rows, slopes], axis=1)
    return (both - both.mean(0)) / (both.std(0) + 1e-3)


def _flat(samples: Samples, frames: int, states: Sequence[State]) -> npt.NDArray[np.int64]:
    """Silence where the clip is quiet at both ends; between, every phone equally long and no pause."""
    hop = nano_mel_config().hop_length
    padded = np.pad(samples, (0, max(0, frames * hop - len(samples))))[: frames * hop]
    level = 10 * np.log10(np.mean(padded.reshape(frames, hop) ** 2, axis=1) + 1e-10)
    loud = np.flatnonzero(level > level.max() + _QUIET_DB)
    begin, end = int(loud[0]), int(loud[-1]) + 1
    spoken = [k for k, state in enumerate(states) if not state.optional]
    path = np.zeros(frames, dtype=np.int64)
    path[begin:end] = np.array(spoken)[np.arange(end - begin) * len(spoken) // (end - begin)]
    path[end:] = len(states) - 1
    return path


def learn_gaussians(clips: Sequence[tuple[Samples, Sequence[State]]]) -> GaussianScorer:
    """One Gaussian a phone from a flat start. States begin and end with an optional pause.

    A few minutes of speech are enough to find the boundaries roughly. Raises ValueError without clips that fit.
    """
    rows, sequences, paths = [], [], []
    for samples, states in clips:
        cepstra = _cepstra(samples)
        if len(cepstra) > sum(not state.optional for state in states):
            rows.append(cepstra)
            sequences.append(states)
            paths.append(_flat(samples, len(cepstra), states))
    if not rows:
        raise ValueError("no recording is long enough for its words")
    everything = np.concatenate(rows)
    scorer = GaussianScorer(everything[:0], everything[:0])
    fits = np.zeros(len(rows))
    for _ in range(_ROUNDS):
        phones = np.concatenate(
            [np.array([s.phone for s in states])[path] for states, path in zip(sequences, paths, strict=True)]
        )
        scorer = _estimate(everything, phones)
        for k, (cepstra, states) in enumerate(zip(rows, sequences, strict=True)):
            paths[k], fits[k] = align(scorer.score_rows(cepstra).scores, states)
    spread = float(np.median(np.abs(fits - np.median(fits)))) + 0.1
    return GaussianScorer(scorer.means, scorer.variances, float(np.median(fits)) - _OUTLIER * spread)


def _estimate(rows: npt.NDArray[np.float64], phones: npt.NDArray[np.int64]) -> GaussianScorer:
    """Means and variances of the frames of each phone, drawn towards those of all frames where there are few."""
    mean, variance = rows.mean(0), rows.var(0)
    means, variances = np.tile(mean, (len(PHONES), 1)), np.tile(variance, (len(PHONES), 1))
    trust = 5.0  # frames that the common estimate counts for
    for phone in range(len(PHONES)):
        own = rows[phones == phone]
        if len(own):
            share = len(own) / (len(own) + trust)
            means[phone] = share * own.mean(0) + (1 - share) * mean
            variances[phone] = share * own.var(0) + (1 - share) * variance
    return GaussianScorer(means, np.maximum(variances, 0.05))
