"""What a recording's own excitation was: pitch by frame, and the phase that pulses need to fall where its own do.

The vocoder is trained on excitations in step with the recording. With a phase of their own, pulses would fall anywhere
in the short windows of the spectral losses, and the best answer to those would be a blur.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from oncue_engine.model.harmonic_source import excitation, to_samples
from oncue_engine.training.pitch import track_pitch

__all__ = ["TrueExcitation", "aligned_source", "true_excitation"]

_WINDOW_S = 0.04
"""Of the demodulation: its main lobe, 50 Hz to each side, holds the fundamental alone."""
_ROUNDS = 2
_STEADY_HZ = 120.0
"""A pitch for clips in which nothing is voiced."""


@dataclass(frozen=True, slots=True, eq=False)
class TrueExcitation:
    """Of one utterance of F frames of `hop` samples."""

    octaves: npt.NDArray[np.float32]
    """[F] log2 cycles per frame; in between where unvoiced."""
    voiced: npt.NDArray[np.bool_]
    """[F]"""
    cycles: npt.NDArray[np.float64]
    """[F + 1] phase at the beginning of every frame, and at the end, unwrapped."""


def true_excitation(samples: npt.NDArray[np.float32], rate_hz: int, hop_samples: int, frames: int) -> TrueExcitation:
    """Pitch and phase of `samples` [n] in [-1, 1].

    The tracked pitch gives a first phase; the recording, demodulated by it, tells how far its fundamental is from
    there; that corrects phase and pitch, twice.
    """
    f0_hz, _ = track_pitch(samples, rate_hz, rate_hz / hop_samples, frames)
    voiced = _without_specks(f0_hz > 0)
    tracked = f0_hz > 0
    if not voiced.any():
        steady = _STEADY_HZ * hop_samples / rate_hz
        octaves = np.full(frames, np.log2(steady), np.float32)
        return TrueExcitation(octaves, voiced, steady * np.arange(frames + 1))
    at = np.arange(frames)
    octaves = np.interp(at, at[tracked], np.log2(f0_hz[tracked] * hop_samples / rate_hz))
    cycles = np.concatenate([[0.0], np.cumsum(2.0**octaves)])
    for _ in range(_ROUNDS):
        lead = _lead(samples, cycles, voiced, int(_WINDOW_S * rate_hz), hop_samples)
        cycles = cycles + lead
        cycles[1:] = np.maximum.accumulate(cycles[1:])
    per_frame = np.maximum(np.diff(cycles), 1e-3)
    smooth = np.log2(per_frame)
    # Where a correction jumps, the tracked pitch is the better guess.
    octaves = np.where(np.abs(smooth - octaves) < 0.25, smooth, octaves)
    return TrueExcitation(octaves.astype(np.float32), voiced, cycles)


def _without_specks(voiced: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Single frames between two of the other kind are errors of the tracker more often than not."""
    padded = np.pad(voiced, 1, mode="edge").astype(np.int8)
    result: npt.NDArray[np.bool_] = (padded[:-2] + padded[1:-1] + padded[2:]) >= 2
    return result


def _lead(
    samples: npt.NDArray[np.float32],
    cycles: npt.NDArray[np.float64],
    voiced: npt.NDArray[np.bool_],
    window: int,
    hop_samples: int,
) -> npt.NDArray[np.float64]:
    """[F + 1] cycles by which the recording's fundamental is ahead of `cycles` at the beginning of each frame."""
    frames = len(voiced)
    phase = np.interp(np.arange(frames * hop_samples), np.arange(frames + 1) * hop_samples, cycles)
    length = min(len(samples), len(phase))
    moved = np.zeros(len(phase) + window, np.complex128)
    moved[window // 2 : window // 2 + length] = samples[:length] * np.exp(-2j * np.pi * phase[:length])
    index = (np.arange(frames + 1) * hop_samples)[:, None] + np.arange(window)[None]
    fundamental = moved[np.minimum(index, len(moved) - 1)] @ np.hanning(window)  # [F + 1]
    told = np.concatenate([voiced, [False]]) | np.concatenate([[False], voiced])  # frame edges beside voiced frames
    at = np.arange(frames + 1)
    known = np.unwrap(np.angle(fundamental[told])) / (2.0 * np.pi)
    return np.interp(at, at[told], known)


def aligned_source(cycles: Tensor, octaves: Tensor, voicing: Tensor, noise: Tensor, hop_samples: int) -> Tensor:
    """The source `[B, 2, hop*F]` of crops: `cycles` [B, F + 1] float64, `octaves` and `voicing` [B, F], `noise`.

    The phase runs smoothly (cubic) through the known points, with the slope that the neighbours give it.
    """
    before, after = cycles[:, :-1, None], cycles[:, 1:, None]  # [B, F, 1]
    slope = torch.gradient(cycles, dim=1)[0]
    rise, next_rise = slope[:, :-1, None], slope[:, 1:, None]
    t = torch.arange(hop_samples, dtype=cycles.dtype) / hop_samples
    through = (
        (2 * t**3 - 3 * t**2 + 1) * before + (t**3 - 2 * t**2 + t) * rise
        + (3 * t**2 - 2 * t**3) * after + (t**3 - t**2) * next_rise
    )  # fmt: skip
    per_sample = to_samples(octaves, hop_samples).exp2() / hop_samples
    return excitation(through.flatten(1), per_sample, to_samples(voicing, hop_samples), noise)
