"""What comes out of the engine: plans, the events of an utterance, and what it says of itself.

Every time is an integer sample index at the utterance's own output rate, from 0 at its first sample.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from .requests import EmotionWeights, Sampling

__all__ = [
    "AudioChunk",
    "EngineInfo",
    "Event",
    "Failed",
    "Finished",
    "SegmentPlan",
    "Started",
    "UtterancePlan",
]


@dataclass(frozen=True, slots=True)
class SegmentPlan:
    """A stretch of text spoken in one run of the T2S: [char_begin, char_end) of the original text."""

    text: str
    """As it will be read, after normalisation."""
    char_begin: int
    char_end: int
    num_text_tokens: int
    natural_tokens: int
    """Predicted semantic tokens at the natural pace."""


@dataclass(frozen=True, slots=True)
class UtterancePlan:
    """How a text will be read, and how long it can be, in samples at the request's output rate."""

    segments: tuple[SegmentPlan, ...]
    natural_samples: int
    min_samples: int
    max_samples: int
    natural_tokens: int
    min_tokens: int
    max_tokens: int
    comfortable_min_samples: int
    comfortable_max_samples: int
    """The narrower range in which it also sounds natural."""
    duration_control: str
    """How a length would be reached: EngineInfo.duration_control."""
    emotion_weights: EmotionWeights | None = None
    """What the request's emotion comes down to: as in Started."""


@dataclass(frozen=True, slots=True)
class Started:
    """First event of an utterance."""

    seed: int
    sample_rate_hz: int
    num_segments: int
    planned_samples: int | None
    """Known only when a length was asked for."""
    sampling: Sampling
    """What the tokens are drawn with."""
    emotion_weights: EmotionWeights | None = None
    """The weights of the request, or those that were found for its words, after bias and cap; strength is not applied.

    A request with these weights, and without bias and cap, is spoken the same. None where the emotion comes from a
    clip.
    """


@dataclass(frozen=True, slots=True, eq=False)
class AudioChunk:
    """A run of settled samples. `first_sample` of the next chunk is `first_sample + len(samples)` of this one."""

    sequence: int
    first_sample: int
    samples: npt.NDArray[np.float32]
    """[num_samples], in [-1, 1], mono, at the output rate."""
    codes_generated: int
    """Semantic tokens generated so far in the whole utterance, when this chunk was made."""


@dataclass(frozen=True, slots=True)
class Finished:
    """Last event of an utterance that went well."""

    total_samples: int
    total_codes: int
    seed: int
    time_to_first_audio_s: float
    generation_s: float
    prompt_encodes: int
    """Prompt encoder passes (speaker or emotion) that this utterance caused: 0 when all was cached."""
    fewest_flow_steps: int
    """Flow steps of the chunk that had the fewest; the model's own number unless the request was flexible."""
    reason: str
    """`complete`, or `token_limit` when free speech was cut at the model's limit."""


@dataclass(frozen=True, slots=True)
class Failed:
    """Last event of an utterance that did not: the error to report. After a cancel no event follows at all."""

    error: Exception


Event = Started | AudioChunk | Finished | Failed


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """The truth about what is loaded."""

    model: str
    """`nano`, a folder's name, or a hub id."""
    fingerprint: str
    """SHA-256 (hex, first 16 digits) over all weight files: the same speech needs the same fingerprint."""
    version: str
    languages: tuple[str, ...]
    emotions: tuple[str, ...]
    """Names of EMOTION_NAMES that weights may use; empty when the model has no bank."""
    emotion_from_clips: bool
    emotion_from_words: bool
    native_rate_hz: int
    token_rate_hz: float
    duration_control: str
    """`trained` (tied duration row), `constructed` (forced stop and frame budget only), or `experiment` (those, and the
    length told in a row that the model may not have been trained to read)."""
    max_text_chars: int
    max_tokens_per_segment: int
    max_reference_s: float
    min_reference_s: float
    decoding: str
    """`streaming` or `reference` (EngineOptions)."""
    sampling: Sampling
    """Of requests that set none."""
    limits: Mapping[str, int] = field(default_factory=dict)
