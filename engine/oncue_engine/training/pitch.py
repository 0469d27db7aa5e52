"""F0 and energy per semantic frame: side targets of the encoder, and what the evaluation measures prosody with."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["track_pitch"]


def track_pitch(
    samples: npt.NDArray[np.float32],
    sample_rate_hz: int,
    frame_rate_hz: float,
    num_frames: int,
    low_hz: float = 60.0,
    high_hz: float = 450.0,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """F0 in Hz (0 where unvoiced) and energy in dB, both [num_frames].

    Normalised autocorrelation over 50 ms windows centred on each frame; a frame is voiced when its best peak exceeds
    0.5 and its energy lies within 35 dB of the clip's loudest frame. `samples` in [-1, 1].
    """
    window = int(0.05 * sample_rate_hz)
    hop = sample_rate_hz / frame_rate_hz
    centres = (np.arange(num_frames) * hop + hop / 2).astype(np.int64)
    padded = np.pad(samples, (window, window + int(hop) + 1))
    padded = np.pad(padded, (0, max(0, int(centres[-1]) + 2 * window - len(padded))))
    index = centres[:, None] + window - window // 2 + np.arange(window)[None]
    frames = padded[index]  # [num_frames, window]
    frames = frames - frames.mean(axis=1, keepdims=True)
    energy_db = 10.0 * np.log10(np.mean(frames**2, axis=1) + 1e-8)
    taper = np.hanning(window)
    spectrum = np.abs(np.fft.rfft(frames * taper, 2 * window, axis=1)) ** 2
    correlation = np.fft.irfft(spectrum, axis=1)[:, :window]
    taper_correlation = np.fft.irfft(np.abs(np.fft.rfft(taper, 2 * window)) ** 2)[:window]
    # dividing by the window's own correlation removes its bias towards short lags
    correlation = correlation / (correlation[:, :1] + 1e-9) / (taper_correlation / taper_correlation[0] + 1e-3)
    shortest, longest = int(sample_rate_hz / high_hz), int(sample_rate_hz / low_hz)
    inside = correlation[:, shortest:longest]
    best = inside.max(axis=1)
    # the first peak nearly as high as the best one: avoids octave errors downwards
    first = np.argmax(inside >= 0.85 * best[:, None], axis=1)
    reach = np.minimum(first[:, None] + np.arange(8)[None], inside.shape[1] - 1)
    lag = shortest + np.take_along_axis(reach, np.take_along_axis(inside, reach, 1).argmax(1)[:, None], 1)[:, 0]
    voiced = (best > 0.5) & (energy_db > energy_db.max() - 35.0)
    return np.where(voiced, sample_rate_hz / lag, 0.0).astype(np.float32), energy_db.astype(np.float32)
