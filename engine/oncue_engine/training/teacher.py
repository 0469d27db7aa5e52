"""The teacher: one sentence read by a virtual speaker, with the phones it said and when.

flite (Debian package) reads; the speaker's F0 and the pace are its own settings; formants move by resampling
(virtual_speakers.py); emotions are acted afterwards (acting.py).
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

from oncue_engine.training.acting import act
from oncue_engine.training.virtual_speakers import EMOTION_RULES, EmotionRule, VirtualSpeaker

__all__ = ["SAMPLE_RATE_HZ", "Reading", "TeacherFailed", "read_aloud"]

SAMPLE_RATE_HZ = 16000
BASE_F0_DEVIATION_HZ = {"slt": 26.0, "rms": 17.0, "awb": 22.0, "kal16": 14.0}
"""F0 standard deviation of each base voice as it comes: flite takes an absolute value."""


class TeacherFailed(RuntimeError):
    """flite could not read the sentence."""


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    samples: npt.NDArray[np.int16]
    """[num_samples] at 16 kHz."""
    phones: tuple[str, ...]
    """flite's names, `pau` for silence."""
    phone_ends_s: tuple[float, ...]


def read_aloud(sentence: str, speaker: VirtualSpeaker, emotion: EmotionRule, speed: float = 1.0) -> Reading:
    """Read `sentence`; `speed` 1.25 is a quarter faster.

    Raises TeacherFailed when flite fails or says nothing.
    """
    stretch = speaker.pace * emotion.duration * speaker.warp / speed
    deviation_hz = BASE_F0_DEVIATION_HZ[speaker.base] * speaker.f0_shift
    handle, name = tempfile.mkstemp(suffix=".wav")
    os.close(handle)
    try:
        done = subprocess.run(
            [
                "flite", "-voice", speaker.base, "-psdur",
                "--setf", f"duration_stretch={stretch:.4f}",
                "--setf", f"f0_shift={speaker.f0_shift:.4f}",
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
    neutral = emotion is EMOTION_RULES[0]
    shaped = warped if neutral else act(warped, SAMPLE_RATE_HZ, emotion)
    loudness = float(np.sqrt(np.mean(np.square(shaped))) + 1e-9)
    shaped = shaped * (0.06 * 10.0 ** (emotion.level_db / 20.0) / loudness)
    shaped = shaped * min(1.0, 0.98 / (float(np.abs(shaped).max()) + 1e-9))
    return Reading(
        samples=np.round(shaped * 32767.0).astype(np.int16),
        phones=tuple(phone for phone, _ in pairs),
        phone_ends_s=tuple(float(end) / speaker.warp for _, end in pairs),
    )
