"""How something is said, in four numbers that an ear would agree with: pace, pitch, its range, and level."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from oncue_eval.frames import HOP_S, active_frames, frame_levels_db, frames_of
from oncue_eval.pitch import pitch_track_hz

__all__ = ["Prosody", "measure_prosody"]

_FEWEST_VOICED = 10


@dataclass(frozen=True, slots=True)
class Prosody:
    """Of one clip."""

    speech_s: float
    """From the first to the last frame that carries speech."""
    f0_median_hz: float | None
    """None when there are fewer than ten voiced frames."""
    f0_range_semitones: float | None
    """From the 10th to the 90th percentile."""
    level_dbfs: float
    """Mean square over the frames that carry speech."""


def measure_prosody(samples: npt.NDArray[np.float32], rate_hz: int) -> Prosody:
    """`samples` [num_samples] in [-1, 1]."""
    levels_db = frame_levels_db(frames_of(samples, rate_hz, 0.025))
    active = np.flatnonzero(active_frames(levels_db))
    track_hz = pitch_track_hz(samples, rate_hz)
    semitones = 12.0 * np.log2(track_hz[track_hz > 0])
    enough = len(semitones) >= _FEWEST_VOICED
    low, middle, high = np.percentile(semitones, (10, 50, 90)) if enough else (0.0, 0.0, 0.0)
    return Prosody(
        speech_s=float(active[-1] - active[0] + 1) * HOP_S,
        f0_median_hz=float(2.0 ** (middle / 12.0)) if enough else None,
        f0_range_semitones=float(high - low) if enough else None,
        level_dbfs=float(10.0 * np.log10(np.mean(10.0 ** (levels_db[active] / 10.0)))),
    )
