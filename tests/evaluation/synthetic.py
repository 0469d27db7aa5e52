"""Voices made of harmonics, whose pitch and formants are known."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

RATE_HZ = 16000


def made_voice(
    f0_hz: npt.NDArray[np.float64], formants_hz: tuple[float, ...] = (500.0, 1500.0)
) -> npt.NDArray[np.float32]:
    """[len(f0_hz)] samples of a voice with that F0 at each sample; harmonics stand out near the formants."""
    phase = 2.0 * np.pi * np.cumsum(f0_hz) / RATE_HZ
    voice = np.zeros(len(f0_hz))
    for harmonic in range(1, 60):
        hz = harmonic * f0_hz
        gain = sum(1.0 / (1.0 + np.square((hz - formant) / 180.0)) for formant in formants_hz) + 0.02
        voice += np.where(hz < 7500.0, gain, 0.0) * np.sin(harmonic * phase)
    return (0.3 * voice / np.abs(voice).max()).astype(np.float32)


def steady(f0_hz: float, seconds: float) -> npt.NDArray[np.float64]:
    """F0 that stays."""
    return np.full(round(seconds * RATE_HZ), f0_hz)
