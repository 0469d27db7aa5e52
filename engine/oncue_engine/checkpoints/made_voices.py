"""Voices of random models: clips that are made, not recorded."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import soundfile  # type: ignore[import-untyped]

__all__ = ["write_made_voices"]


def write_made_voices(folder: Path, rate_hz: int) -> None:
    """Two clips of 3 s that sound like vowels: harmonics under two resonances, with a slow sway in pitch and level."""
    folder.mkdir(exist_ok=True)
    voices = [("low", 110.0, 500.0), ("high", 210.0, 800.0)]
    time = np.arange(3 * rate_hz) / rate_hz
    for name, pitch_hz, resonance_hz in voices:
        phase = 2 * np.pi * np.cumsum(pitch_hz * (1 + 0.05 * np.sin(2 * np.pi * 0.7 * time))) / rate_hz
        wave = np.zeros_like(time)
        for harmonic in range(1, int(4000 / pitch_hz)):
            frequency = harmonic * pitch_hz
            gain = math.exp(-(((frequency - resonance_hz) / 400.0) ** 2)) + 0.1 / harmonic
            wave += gain * np.sin(harmonic * phase)
        wave *= 0.6 + 0.4 * np.sin(2 * np.pi * 1.5 * time)
        soundfile.write(folder / f"{name}.wav", (0.5 * wave / np.abs(wave).max()).astype(np.float32), rate_hz)
    index = {"voices": [{"id": name, "file": f"{name}.wav", "display_name": name.title()} for name, _, _ in voices]}
    (folder / "voices.json").write_text(json.dumps(index), encoding="utf-8")
