"""How something is said, in numbers: pace, the course of pitch, level, and the colour of the voice.

What the emotion judge looks at. Every number is a difference in the unit that an ear would use (logarithms, semitones,
dB), so that a speaker's own neutral manner can be subtracted from it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from oncue_eval.frames import HOP_S, active_frames, frame_levels_db, frames_of
from oncue_eval.pitch import pitch_track_hz

__all__ = ["AXES", "Manner", "away_from", "measure_manner"]

AXES = ("pace", "pitch", "range", "slope", "sway", "tremor", "level", "tilt", "breath", "flutter")
"""pace: ln of the length of speech over that of a plain reading of the text. pitch: semitones of the median F0.
range: ln of the semitones from the 10th to the 90th percentile. slope: semitones that F0 rises from the beginning to
the end. sway, tremor: ln of the semitones that F0 moves at 1.2 to 3.5 Hz and at 4.5 to 8 Hz. level: dB. tilt: dB of 1.5
to 4 kHz against 0.2 to 0.8 kHz. breath: dB of 4 to 7.5 kHz against the same. flutter: ln of the dB that the level of
voiced speech moves at 4.5 to 8 Hz."""

_FEWEST_VOICED = 15
_FRAME_RATE_HZ = 1.0 / HOP_S

Manner = npt.NDArray[np.float64]
"""[len(AXES)]; NaN on the axes of pitch for a clip that has none."""


def measure_manner(
    samples: npt.NDArray[np.float32],
    rate_hz: int,
    plain_s: float,
    track_hz: npt.NDArray[np.float64] | None = None,
) -> Manner:
    """`samples` [num_samples] in [-1, 1]; `plain_s`: how long a plain voice speaks that text, without its silences.

    `track_hz`: what `pitch_track_hz` found, where that is known already.
    """
    frames = frames_of(samples, rate_hz, 0.025)
    levels_db = frame_levels_db(frames)
    active = active_frames(levels_db)
    spoken = np.flatnonzero(active)
    speech_s = float(spoken[-1] - spoken[0] + 1) * HOP_S
    track_hz = (pitch_track_hz(samples, rate_hz) if track_hz is None else track_hz)[: len(levels_db)]
    voiced = np.pad(track_hz > 0, (0, len(levels_db) - len(track_hz))) & active
    power = np.square(np.abs(np.fft.rfft(frames * np.hanning(frames.shape[1]), 512, axis=1)))
    low = _band_db(power, rate_hz, voiced, 200.0, 800.0)
    return np.array(
        [
            math.log(speech_s / plain_s),
            *_pitch_axes(track_hz),
            10.0 * math.log10(float(np.mean(10.0 ** (levels_db[active] / 10.0)))),
            _band_db(power, rate_hz, voiced, 1500.0, 4000.0) - low,
            _band_db(power, rate_hz, voiced, 4000.0, 7500.0) - low,
            math.log(_swing(np.where(voiced, levels_db, np.nan), 4.5, 8.0) + 0.1),
        ]
    )


def away_from(neutral: Sequence[Manner], manner: Manner) -> Manner:
    """What is not the speaker's own: the difference from the mean of neutral clips of the same speaker.

    An axis that cannot be measured is taken for unchanged.
    """
    known = [row[~np.isnan(row)] for row in np.stack(neutral).T]
    usual = np.array([row.mean() if len(row) else math.nan for row in known])
    deviation: Manner = np.nan_to_num(manner - usual, nan=0.0)
    return deviation


def _pitch_axes(track_hz: npt.NDArray[np.float64]) -> list[float]:
    """pitch, range, slope, sway, tremor."""
    at = np.flatnonzero(track_hz > 0)
    if len(at) < _FEWEST_VOICED:
        return [math.nan] * 5
    semitones = 12.0 * np.log2(track_hz[at])
    # A lone octave error is no gesture of the voice.
    reach = np.clip(np.arange(len(at))[:, None] + np.arange(-3, 4), 0, len(at) - 1)
    semitones = np.median(semitones[reach], axis=1)
    low, middle, high = np.percentile(semitones, (10, 50, 90))
    position = (at - at[0]) / max(1, at[-1] - at[0])
    slope = float(np.polyfit(position, semitones, 1)[0])
    course = np.full(len(track_hz), np.nan)
    course[at] = semitones
    sway, tremor = _swing(course, 1.2, 3.5), _swing(course, 4.5, 8.0)
    return [float(middle), math.log(high - low + 0.5), slope, math.log(sway + 0.1), math.log(tremor + 0.05)]


def _swing(course: npt.NDArray[np.float64], low_hz: float, high_hz: float) -> float:
    """Root mean square of what moves at low_hz to high_hz, in the course's unit; gaps (NaN) are bridged by lines."""
    known = np.flatnonzero(~np.isnan(course))
    if len(known) < _FEWEST_VOICED:
        return 0.0
    inside = np.arange(known[0], known[-1] + 1)
    bridged = np.interp(inside, known, course[known])
    line = np.polyval(np.polyfit(inside, bridged, 1), inside)
    spectrum = np.fft.rfft((bridged - line) * np.hanning(len(inside)))
    freqs = np.fft.rfftfreq(len(inside), 1.0 / _FRAME_RATE_HZ)
    chosen = (freqs >= low_hz) & (freqs <= high_hz)
    # Parseval; the window keeps 3/8 of the power.
    power = 2.0 * np.sum(np.square(np.abs(spectrum[chosen]))) / (len(inside) ** 2) / 0.375
    return float(np.sqrt(power))


def _band_db(
    power: npt.NDArray[np.float64], rate_hz: int, chosen: npt.NDArray[np.bool_], low_hz: float, high_hz: float
) -> float:
    """Mean power of the chosen frames (of all, where none is) in a band, dB."""
    freqs = np.fft.rfftfreq(512, 1.0 / rate_hz)
    rows = power[chosen] if chosen.any() else power
    return 10.0 * math.log10(float(np.mean(rows[:, (freqs >= low_hz) & (freqs < high_hz)])) + 1e-10)
