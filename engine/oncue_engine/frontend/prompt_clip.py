"""A reference clip on its way to the prompt encoders: silence at its ends cut, and its level brought into range.

Neither is part of the public pipeline. Cutting is done where it is asked for. The level is touched only where it is
far from any that recordings of speech have, so that all other clips reach the encoders to the bit.

The level of a clip is the RMS of the frames of 20 ms that are less than 40 dB under its loud ones (the 95th
percentile): pauses do not count. Outside LEVEL_RANGE_DBFS it is scaled to the nearer end, and never beyond a peak of 1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, log10

from ..requests import Reference, ReferenceOptions
from .audio import (
    FRAME_SECONDS,
    MIN_SECONDS,
    ReferenceQuality,
    Waveform,
    decode_reference,
    frame_levels,
    quality,
    sounding,
)

__all__ = ["LEVEL_RANGE_DBFS", "MARGIN_SECONDS", "PromptClip", "prompt_clip", "read_prompt", "report"]

LEVEL_RANGE_DBFS = (-36.0, -12.0)
"""Whispers and shouts of a sane recording lie well inside; what lies outside was recorded with a wrong gain."""
MARGIN_SECONDS = 0.1
"""Silence that is left before the first sound and after the last, so that soft onsets and tails stay whole."""

_SOUND_FRAMES = 3
"""Anything shorter than these frames in a row is a click, not a sound."""


@dataclass(frozen=True, slots=True)
class PromptClip:
    """A clip as the encoders get it, and what was done to it."""

    waveform: Waveform
    gain_db: float
    trimmed_start_samples: int
    """At the clip's own rate."""
    trimmed_end_samples: int


def prompt_clip(clip: Waveform, options: ReferenceOptions) -> PromptClip:
    """What a clip that `decode_reference` accepted becomes; the same object where nothing is to be done."""
    begin, end = _sound(clip) if options.trim_silence else (0, len(clip.samples))
    kept = clip
    if end - begin < len(clip.samples):
        kept = replace(clip, samples=clip.samples[begin:end].clone())
    gain_db = 0.0 if options.keep_level else _gain_db(kept)
    if gain_db != 0.0:
        kept = replace(kept, samples=kept.samples * 10 ** (gain_db / 20))
    return PromptClip(kept, gain_db, begin, len(clip.samples) - end)


def read_prompt(reference: Reference) -> Waveform:
    """Read a reference as its options say. Raises ReferenceRejected (`decode_reference`)."""
    return prompt_clip(decode_reference(reference.path), reference.options).waveform


def report(clip: Waveform, options: ReferenceOptions) -> ReferenceQuality:
    """Measure a clip that `decode_reference` accepted, and say what becomes of it."""
    made, level = prompt_clip(clip, options), _level_dbfs(clip)
    measured = quality(clip)
    remarks = list(measured.warnings)
    low, high = LEVEL_RANGE_DBFS
    if not low <= level <= high:
        done = f"taken {abs(made.gain_db):.0f} dB {'louder' if made.gain_db > 0 else 'softer'}"
        remarks.append(f"level: its speech is at {level:.0f} dBFS; {done if made.gain_db else 'taken as it is'}")
    return replace(
        measured,
        warnings=tuple(remarks),
        applied_gain_db=made.gain_db,
        trimmed_start_s=made.trimmed_start_samples / clip.sample_rate_hz,
        trimmed_end_s=made.trimmed_end_samples / clip.sample_rate_hz,
    )


def _level_dbfs(clip: Waveform) -> float:
    loud = frame_levels(clip)[sounding(clip)].double()
    # All there is may be a click after the last whole frame: that says nothing about the level of speech.
    return 10 * log10(loud.square().mean().item()) if len(loud) else LEVEL_RANGE_DBFS[0]


def _gain_db(clip: Waveform) -> float:
    """0 inside the range; a peak over 1, which only files of floats have, is outside of it too."""
    low, high = LEVEL_RANGE_DBFS
    level = _level_dbfs(clip)
    wanted = low - level if level < low else high - level if level > high else 0.0
    return min(wanted, -20 * log10(clip.samples.abs().max().item()))


def _sound(clip: Waveform) -> tuple[int, int]:
    """[begin, end) of the samples between the silence at both ends; at least MIN_SECONDS of them."""
    total = len(clip.samples)
    # An entry for each stretch of frames: whether all of it sounds.
    runs = sounding(clip).unfold(0, _SOUND_FRAMES, 1).all(dim=1).nonzero().flatten().tolist()
    if not runs:
        return 0, total
    frame, margin = max(1, round(FRAME_SECONDS * clip.sample_rate_hz)), round(MARGIN_SECONDS * clip.sample_rate_hz)
    begin = max(0, runs[0] * frame - margin)
    end = min(total, (runs[-1] + _SOUND_FRAMES) * frame + margin)
    least = ceil(MIN_SECONDS * clip.sample_rate_hz)
    if end - begin < least:
        begin = max(0, min((begin + end - least) // 2, total - least))
        end = begin + least
    return begin, end
