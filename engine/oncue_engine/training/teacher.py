"""The teacher: one sentence read by a virtual speaker, with the phones it said and when.

flite (Debian package) reads; F0 and pace are its own settings; formants move by resampling (virtual_speakers.py).
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from oncue_engine.training.virtual_speakers import F0_DEVIATION_HZ, EmotionRule, VirtualSpeaker

__all__ = ["SAMPLE_RATE_HZ", "Reading", "TeacherFailed", "read_aloud"]

SAMPLE_RATE_HZ = 16000


class TeacherFailed(RuntimeError):
    """flite could not read the sentence."""


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    samples: npt.NDArray[np.int16]
    """[num_samples] at 16 kHz."""
    phones: tuple[str, ...]
    """flite's names, `pau` for silence."""
    phone_ends_s: tuple[float, ...]


def _tilt(samples: npt.NDArray[np.float32], tilt_db: float) -> npt.NDArray[np.float32]:
    """Spectral tilt that is linear in log frequency between 250 Hz (0 dB) and 4 kHz (`tilt_db`)."""
    if tilt_db == 0.0:
        return samples
    spectrum = np.fft.rfft(samples)
    freqs = np.fft.rfftfreq(len(samples), 1.0 / SAMPLE_RATE_HZ)
    octaves = np.log2(np.clip(freqs, 250.0, 4000.0) / 250.0) / 4.0
    return np.fft.irfft(spectrum * 10.0 ** (tilt_db * octaves / 20.0), len(samples)).astype(np.float32)


def read_aloud(sentence: str, speaker: VirtualSpeaker, emotion: EmotionRule, speed: float = 1.0) -> Reading:
    """Read `sentence`; `speed` 1.25 is a quarter faster.

    Raises TeacherFailed when flite fails or says nothing.
    """
    stretch = speaker.pace * emotion.duration * speaker.warp / speed
    deviation_hz = F0_DEVIATION_HZ[speaker.base] * emotion.f0_range * speaker.f0_shift
    handle, name = tempfile.mkstemp(suffix=".wav")
    os.close(handle)
    try:
        done = subprocess.run(
            [
                "flite", "-voice", speaker.base, "-psdur",
                "--setf", f"duration_stretch={stretch:.4f}",
                "--setf", f"f0_shift={speaker.f0_shift * emotion.f0_mean:.4f}",
                "--setf", f"int_f0_target_stddev={deviation_hz:.3f}",
                "-t", sentence, "-o", name,
            ],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise TeacherFailed(done.stderr)
        samples, rate_hz = soundfile.read(name, dtype="float32")
    finally:
        Path(name).unlink()
    pairs = re.findall(r"(\S+):([0-9.]+)", done.stdout)
    if not pairs or len(samples) == 0:
        raise TeacherFailed(f"flite said nothing for {sentence!r}")
    warped = soxr.resample(samples, rate_hz * speaker.warp, SAMPLE_RATE_HZ)
    shaped = _tilt(warped, emotion.tilt_db)
    loudness = float(np.sqrt(np.mean(np.square(shaped))) + 1e-9)
    shaped = shaped * (0.06 * 10.0 ** (emotion.level_db / 20.0) / loudness)
    shaped = shaped * min(1.0, 0.98 / (float(np.abs(shaped).max()) + 1e-9))
    return Reading(
        samples=np.round(shaped * 32767.0).astype(np.int16),
        phones=tuple(phone for phone, _ in pairs),
        phone_ends_s=tuple(float(end) / speaker.warp for _, end in pairs),
    )
