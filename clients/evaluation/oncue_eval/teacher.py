"""The teacher reading faster or slower: what a change of pace alone costs the recogniser."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile  # type: ignore[import-untyped]

from oncue_eval.material import RATE_HZ

__all__ = ["TEACHERS", "teacher_available", "teacher_reads"]

TEACHERS = ("slt", "rms", "awb")
"""Voices of Debian's `flite`, as they come."""


def teacher_available() -> bool:
    """True where flite is installed."""
    return shutil.which("flite") is not None


def teacher_reads(sentence: str, voice: str, stretch: float = 1.0) -> npt.NDArray[np.float32]:
    """[num_samples] at RATE_HZ; `stretch` 1.25 takes a quarter longer. Blocks.

    Raises OSError and subprocess.CalledProcessError when flite fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sentence.wav"
        setting = f"duration_stretch={stretch:.4f}"
        command = ["flite", "-voice", voice, "--setf", setting, "-t", sentence, "-o", str(path)]
        subprocess.run(command, check=True, capture_output=True)
        samples, rate_hz = soundfile.read(path, dtype="float32")
    if rate_hz != RATE_HZ:
        raise ValueError(f"flite's {voice} speaks at {rate_hz} Hz, not at {RATE_HZ} Hz")
    return np.asarray(samples, np.float32)
