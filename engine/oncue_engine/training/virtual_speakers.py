"""Virtual speakers and acted emotions, made from the four CMU voices of `flite`.

A speaker is a base voice read at another F0 and then resampled by `warp`: resampling scales the formants with F0, as a
longer or shorter vocal tract does, and the reading pace is corrected for it beforehand. An emotion is a prosody rule
(pace; mean, range and course of F0; level and its course; sway, spectral tilt, breath), so that the evaluation can
measure it back.
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
    """What an emotion does to neutral speech (acting.py does it)."""

    name: str
    duration: float
    """Durations are multiplied by it."""
    f0_mean: float
    f0_range: float
    """The deviation of F0 from its median, in octaves, is multiplied by it."""
    level_db: float
    tilt_db: float
    """Gain at 4 kHz against 250 Hz."""
    f0_slope: float = 0.0
    """Octaves that F0 rises over a phrase."""
    level_slope_db: float = 0.0
    """Decibels that the level rises over a phrase."""
    sway_hz: float = 0.0
    """F0 and level sway together at this rate: a lilt, a drawl, a tremor."""
    sway_octaves: float = 0.0
    sway_db: float = 0.0
    breath: float = 0.0
    """Noise above 1.5 kHz, as a share of the local level."""


EMOTION_RULES: tuple[EmotionRule, ...] = (
    EmotionRule("calm", 1.0, 1.0, 1.0, 0.0, 0.0),
    EmotionRule("happy", 0.92, 1.18, 1.4, 2.0, 3.0, f0_slope=0.1, sway_hz=4.0, sway_octaves=0.16, sway_db=2.0),
    EmotionRule("angry", 0.82, 1.08, 1.3, 6.0, 7.0, f0_slope=-0.8, level_slope_db=-10.0),
    EmotionRule("sad", 1.28, 0.85, 0.35, -6.0, -6.0, f0_slope=-0.45, level_slope_db=-4.0, breath=0.01),
    EmotionRule("afraid", 0.80, 1.28, 0.6, -2.0, 1.0, sway_hz=7.5, sway_octaves=0.12, sway_db=3.0),
    EmotionRule("disgusted", 1.20, 0.88, 1.1, 1.0, -3.0, sway_hz=2.0, sway_octaves=0.26, sway_db=4.0),
    EmotionRule("surprised", 0.98, 1.25, 1.5, 3.0, 2.0, f0_slope=0.9, level_slope_db=8.0),
)
"""No absolute cue alone tells an emotion: a prompt's features are normalised, so level and tilt are not in them."""

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
