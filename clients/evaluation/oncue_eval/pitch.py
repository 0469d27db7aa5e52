"""F0 by the cumulative mean normalised difference (de Cheveigné and Kawahara 2002, YIN), without its refinements."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from oncue_eval.frames import active_frames, frame_levels_db, frames_of

__all__ = ["pitch_track_hz"]

_LOW_HZ = 60.0
_HIGH_HZ = 450.0
_DIP = 0.2
"""A lag counts as the period where the difference falls below this share of its mean over shorter lags."""

_HIGHEST_PARTIAL_HZ = 1000.0
"""Higher partials, a strong second formant above all, ripple the difference and make dips beside the period."""

_SILENCE_DBFS = -70.0


def pitch_track_hz(samples: npt.NDArray[np.float32], rate_hz: int) -> npt.NDArray[np.float64]:
    """[num_frames] F0, 0 where unvoiced; frames as frames.HOP_S. F0 is looked for from 60 to 450 Hz."""
    longest, shortest = int(rate_hz / _LOW_HZ), int(rate_hz / _HIGH_HZ)
    frames = frames_of(_without_high_partials(samples, rate_hz), rate_hz, 2 * longest / rate_hz)
    frames = frames - frames.mean(axis=1, keepdims=True)
    levels_db = frame_levels_db(frames)
    difference = _difference(frames, longest)  # [num_frames, longest + 1]
    lags = np.arange(1, longest + 1)
    normalised = np.ones_like(difference)
    normalised[:, 1:] = difference[:, 1:] * lags / (np.cumsum(difference[:, 1:], axis=1) + 1e-12)

    # The first dip that is deep enough: a deeper one further right is a multiple of the period.
    searched = normalised[:, shortest : longest + 1]
    below = searched < _DIP
    first = np.argmax(below, axis=1)
    rises = np.diff(searched, axis=1, append=np.inf) >= 0
    after_first = np.arange(searched.shape[1])[None] >= first[:, None]
    lag = shortest + np.argmax(rises & after_first, axis=1)

    voiced = below.any(axis=1) & active_frames(levels_db) & (levels_db > _SILENCE_DBFS)
    track: npt.NDArray[np.float64] = np.where(voiced, rate_hz / _refined(normalised, lag), 0.0)
    return track


def _without_high_partials(samples: npt.NDArray[np.float32], rate_hz: int) -> npt.NDArray[np.float32]:
    """[num_samples] with a smooth edge one octave wide above _HIGHEST_PARTIAL_HZ."""
    size = 1 << max(1, len(samples) - 1).bit_length()  # a length with a large prime factor is slow
    octaves = np.log2(np.maximum(np.fft.rfftfreq(size, 1.0 / rate_hz), 1.0) / _HIGHEST_PARTIAL_HZ)
    gain = 0.5 + 0.5 * np.cos(np.pi * np.clip(octaves, 0.0, 1.0))
    return np.fft.irfft(np.fft.rfft(samples, size) * gain, size)[: len(samples)].astype(np.float32)


def _difference(frames: npt.NDArray[np.float64], longest: int) -> npt.NDArray[np.float64]:
    """[num_frames, longest + 1]: sum over the first half of the frame of (x[j] - x[j + lag])^2."""
    half = frames.shape[1] - longest
    size = 2 * frames.shape[1]
    head = np.fft.rfft(frames[:, :half], size, axis=1)
    products = np.fft.irfft(np.conj(head) * np.fft.rfft(frames, size, axis=1), size, axis=1)[:, : longest + 1]
    running = np.pad(np.cumsum(np.square(frames), axis=1), ((0, 0), (1, 0)))
    lags = np.arange(longest + 1)
    energies = running[:, lags + half] - running[:, lags]
    difference: npt.NDArray[np.float64] = np.maximum(energies[:, :1] + energies - 2.0 * products, 0.0)
    return difference


def _refined(curve: npt.NDArray[np.float64], lag: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """The lag of the minimum of a parabola through `lag` and its neighbours."""
    rows, centre = np.arange(len(lag)), np.clip(lag, 1, curve.shape[1] - 2)
    left, middle, right = curve[rows, centre - 1], curve[rows, centre], curve[rows, centre + 1]
    bend = left - 2.0 * middle + right
    shift = np.where(bend > 1e-9, 0.5 * (left - right) / np.maximum(bend, 1e-9), 0.0)
    refined: npt.NDArray[np.float64] = centre + np.clip(shift, -0.5, 0.5)
    return refined
