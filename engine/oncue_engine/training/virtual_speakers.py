"""Virtual speakers and acted emotions, made from the four CMU voices of `flite`.

A speaker is a base voice read at another F0 and then resampled by `warp`: resampling scales the formants with F0, as a
longer or shorter vocal tract does, and the reading pace is corrected for it beforehand. An emotion is a prosody rule
(pace, F0 mean and range, level, spectral tilt), so that the evaluation can measure it back.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

__all__ = ["EMOTION_RULES", "EmotionRule", "VirtualSpeaker", "held_out_speakers", "training_speakers"]


@dataclass(frozen=True, slots=True)
class VirtualSpeaker:
    name: str
    base: str
    """A flite voice: slt, rms, awb or kal16."""
    warp: float
    """Formants and F0 are multiplied by it."""
    f0_shift: float
    """F0 is multiplied by it as well, without the formants."""
    pace: float
    """Speaker's own tempo: durations are multiplied by it."""


@dataclass(frozen=True, slots=True)
class EmotionRule:
    name: str
    duration: float
    """Durations are multiplied by it."""
    f0_mean: float
    f0_range: float
    """The F0 standard deviation is multiplied by it."""
    level_db: float
    tilt_db: float
    """Gain at 4 kHz against 250 Hz."""


EMOTION_RULES: tuple[EmotionRule, ...] = (
    EmotionRule("calm", 1.0, 1.0, 1.0, 0.0, 0.0),
    EmotionRule("happy", 0.92, 1.16, 1.6, 2.0, 3.0),
    EmotionRule("angry", 0.84, 1.02, 1.3, 6.0, 7.0),
    EmotionRule("sad", 1.25, 0.86, 0.45, -6.0, -6.0),
    EmotionRule("afraid", 0.80, 1.28, 0.5, -2.0, 1.0),
    EmotionRule("disgusted", 1.18, 0.92, 1.4, 1.0, -3.0),
    EmotionRule("surprised", 1.02, 1.32, 2.1, 3.0, 2.0),
)

F0_DEVIATION_HZ = {"slt": 26.0, "rms": 17.0, "awb": 22.0, "kal16": 14.0}
"""F0 standard deviation of each base voice as it comes (flite takes an absolute value)."""

_BASES = ("slt", "rms", "awb", "kal16")


def _draw(count: int, seed: int, prefix: str) -> tuple[VirtualSpeaker, ...]:
    rng = random.Random(seed)
    speakers = []
    for i in range(count):
        base = _BASES[i % 4] if i % 8 != 7 else "slt"  # the diphone voice speaks half as often as the others
        # warps spread evenly with jitter, so that neighbours differ by more than the jitter
        position = (i // 4 + rng.uniform(0.2, 0.8)) / max(1, -(-count // 4))
        low, high = (0.80, 1.12) if base == "slt" else (0.88, 1.26)
        speakers.append(
            VirtualSpeaker(
                name=f"{prefix}{i:02d}",
                base=base,
                warp=round(low + (high - low) * position, 4),
                f0_shift=round(rng.uniform(0.86, 1.18), 4),
                pace=round(rng.uniform(0.92, 1.1), 4),
            )
        )
    return tuple(speakers)


def training_speakers() -> tuple[VirtualSpeaker, ...]:
    """48 speakers; the first four are the base voices as they are."""
    plain = tuple(VirtualSpeaker(f"base-{base}", base, 1.0, 1.0, 1.0) for base in _BASES)
    return plain + _draw(44, seed=1, prefix="train-")


def held_out_speakers() -> tuple[VirtualSpeaker, ...]:
    """10 speakers that no training item uses."""
    return _draw(10, seed=77, prefix="held-")
