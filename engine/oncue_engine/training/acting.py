"""Acted emotion: the course of F0 and level, sway, breath and tilt of read speech, changed by a rule.

F0 is moved by pitch-synchronous overlap-add: grains of two periods are laid at the new periods, so that the formants
and with them the speaker stay. Pace is the reader's business (teacher.py).
"""

from __future__ import annotations

import zlib

import numpy as np
import numpy.typing as npt

from oncue_engine.training.pitch import track_pitch
from oncue_engine.training.virtual_speakers import EmotionRule

__all__ = ["act"]

_TRACK_HZ = 200.0
_SHORTEST_RUN_FRAMES = 6
_PAUSE_FRAMES = 30
_LOWEST_HZ, _HIGHEST_HZ = 55.0, 480.0

Wave = npt.NDArray[np.float32]


def act(samples: Wave, sample_rate_hz: int, rule: EmotionRule) -> Wave:
    """`samples` [n] in [-1, 1] as the rule's emotion would say them, [n]; the mean level is left to the caller."""
    hop = sample_rate_hz / _TRACK_HZ
    frames = int(len(samples) / hop)
    f0_hz, _ = track_pitch(samples, sample_rate_hz, _TRACK_HZ, frames)
    # a lone octave error would tear the course
    reach = np.stack([np.roll(f0_hz, k) for k in (-2, -1, 0, 1, 2)])
    f0_hz = np.where(f0_hz > 0, np.median(np.where(reach > 0, reach, f0_hz), axis=0), 0.0).astype(np.float32)
    if not np.any(f0_hz > 0):
        return samples
    rise = _phrase_position(f0_hz) - 0.5  # [frames]
    sway = np.sin(2 * np.pi * rule.sway_hz * np.arange(frames) / _TRACK_HZ)
    octave = np.log2(np.maximum(f0_hz, 1.0).astype(np.float64))
    mean = float(np.median(octave[f0_hz > 0]))
    octave = mean + np.log2(rule.f0_mean) + rule.f0_range * (octave - mean)
    octave += rule.f0_slope * rise + rule.sway_octaves * sway
    acted = _move_pitch(samples, sample_rate_hz, f0_hz, np.clip(2.0**octave, _LOWEST_HZ, _HIGHEST_HZ))
    gain_db = rule.level_slope_db * rise + rule.sway_db * sway
    acted = acted * 10.0 ** (np.interp(np.arange(len(acted)) / hop, np.arange(frames), gain_db) / 20.0)
    if rule.breath > 0.0:
        acted = acted + _breath(acted.astype(np.float32), sample_rate_hz, rule.breath)
    return _tilt(acted.astype(np.float32), sample_rate_hz, rule.tilt_db)


def _tilt(samples: Wave, sample_rate_hz: int, tilt_db: float) -> Wave:
    """Spectral tilt that is linear in log frequency between 250 Hz (0 dB) and 4 kHz (`tilt_db`)."""
    if tilt_db == 0.0:
        return samples
    freqs = np.fft.rfftfreq(len(samples), 1.0 / sample_rate_hz)
    octaves = np.log2(np.clip(freqs, 250.0, 4000.0) / 250.0) / 4.0
    return np.fft.irfft(np.fft.rfft(samples) * 10.0 ** (tilt_db * octaves / 20.0), len(samples)).astype(np.float32)


def _breath(samples: Wave, sample_rate_hz: int, share: float) -> Wave:
    """Noise above 1.5 kHz that follows the level of the speech; decided by the samples alone."""
    rng = np.random.default_rng(zlib.crc32(samples.tobytes()))
    window = np.hanning(int(0.03 * sample_rate_hz))
    level = np.sqrt(np.convolve(np.square(samples), window / window.sum(), mode="same") + 1e-10)
    spectrum = np.fft.rfft(rng.standard_normal(len(samples)))
    freqs = np.fft.rfftfreq(len(samples), 1.0 / sample_rate_hz)
    noise = np.fft.irfft(spectrum * np.clip((freqs - 1000.0) / 1000.0, 0.0, 1.0), len(samples))
    return (share * level * noise).astype(np.float32)


def _runs(flags: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate(([False], flags, [False])).astype(np.int8)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _phrase_position(f0_hz: Wave) -> npt.NDArray[np.float64]:
    """[num_frames] from 0 at the first to 1 at the last voiced frame of each phrase; steady in between phrases."""
    spoken = np.flatnonzero(f0_hz > 0)
    at, value = [0.0], [0.0]
    for part in np.split(spoken, np.flatnonzero(np.diff(spoken) > _PAUSE_FRAMES) + 1):
        at += [float(part[0]), float(max(part[-1], part[0] + 1))]
        value += [0.0, 1.0]
    return np.interp(np.arange(len(f0_hz)), at, value)


def _marks(x: Wave, begin: int, end: int, period: npt.NDArray[np.float64], hop: float) -> list[int]:
    """Pitch marks of one voiced run: one positive peak to a period."""
    at = begin + int(np.argmax(x[begin : begin + max(2, int(period[0]))]))
    marks = []
    while at < end:
        marks.append(at)
        length = period[min(len(period) - 1, int((at - begin) / hop))]
        low, high = at + int(0.8 * length), at + int(1.2 * length) + 1
        if high >= len(x):
            break
        at = low + int(np.argmax(x[low:high]))
    return marks


def _move_pitch(samples: Wave, sample_rate_hz: int, f0_hz: Wave, target_hz: npt.NDArray[np.float64]) -> Wave:
    """`samples` with the F0 course `f0_hz` [num_frames] moved to `target_hz` [num_frames], both at _TRACK_HZ."""
    hop = sample_rate_hz / _TRACK_HZ
    runs = [run for run in _runs(f0_hz > 0) if run[1] - run[0] >= _SHORTEST_RUN_FRAMES]
    polarity = 1.0 if float(np.mean(samples**3)) >= 0 else -1.0
    peaks = polarity * samples
    made = np.zeros(len(samples))
    kept = np.zeros(len(samples))
    for first, last in runs:
        begin, end = int(first * hop), min(int(last * hop), len(samples) - 1)
        marks = _marks(peaks, begin, end, sample_rate_hz / f0_hz[first:last].astype(np.float64), hop)
        if len(marks) < 3:
            continue
        periods = np.diff(marks)
        periods = np.append(periods, periods[-1])
        for mark, length in zip(marks, periods, strict=True):
            _lay(kept, mark, np.hanning(2 * length + 1))
        places = np.asarray(marks)
        at = float(marks[0])
        while at <= marks[-1]:
            k = int(np.argmin(np.abs(places - at)))
            mark, length = marks[k], int(periods[k])
            wanted = sample_rate_hz / target_hz[min(len(target_hz) - 1, int(at / hop))]
            if mark - length >= 0 and mark + length < len(samples):
                grain = samples[mark - length : mark + length + 1] * np.hanning(2 * length + 1)
                _lay(made, round(at), grain * np.sqrt(wanted / length))
            at += wanted
    return (samples * (1.0 - np.clip(kept, 0.0, 1.0)) + made).astype(np.float32)


def _lay(into: npt.NDArray[np.float64], centre: int, grain: npt.NDArray[np.float64]) -> None:
    """Add an odd-sized grain around `centre`, cut at the ends."""
    reach = len(grain) // 2
    begin, end = max(0, centre - reach), min(len(into), centre + reach + 1)
    into[begin:end] += grain[begin - centre + reach : end - centre + reach]
