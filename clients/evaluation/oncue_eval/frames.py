"""Speech in short frames, and which of them carry speech."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["HOP_S", "active_frames", "frame_levels_db", "frames_of"]

HOP_S = 0.01
"""All judges step by 10 ms."""

_ACTIVE_RANGE_DB = 35.0


def frames_of(samples: npt.NDArray[np.float32], rate_hz: int, window_s: float) -> npt.NDArray[np.float64]:
    """[num_frames, window] windows, HOP_S apart; a clip shorter than one window is padded with zeros."""
    window, hop = round(window_s * rate_hz), round(HOP_S * rate_hz)
    padded = np.pad(samples.astype(np.float64), (0, max(0, window - len(samples))))
    return np.lib.stride_tricks.sliding_window_view(padded, window)[::hop]


def frame_levels_db(frames: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """[num_frames] mean square of each frame in dB of full scale, not below -100."""
    levels: npt.NDArray[np.float64] = 10.0 * np.log10(np.mean(np.square(frames), axis=1) + 1e-10)
    return levels


def active_frames(levels_db: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """[num_frames] True within 35 dB of the loudest tenth of the frames, so that one click does not decide."""
    active: npt.NDArray[np.bool_] = levels_db > np.percentile(levels_db, 90.0) - _ACTIVE_RANGE_DB
    return active
