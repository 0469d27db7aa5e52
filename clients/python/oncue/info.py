"""What a server says about itself, and about a text before it speaks it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from oncue.emotions import weights_of
from oncue.v1 import server_service_pb2, speech_service_pb2

__all__ = ["Limits", "SegmentPlan", "ServerInfo", "UtterancePlan", "server_info", "utterance_plan"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a server."""

    max_text_chars: int
    max_tokens_per_segment: int
    min_reference_s: float
    max_reference_s: float
    max_inline_audio_bytes: int
    max_upload_bytes: int
    max_unary_response_bytes: int
    min_sample_rate_hz: int
    max_sample_rate_hz: int
    requests_per_second: float
    """0: no limit."""


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """The truth about a server and its model."""

    model: str
    fingerprint: str
    """The same speech needs the same fingerprint."""
    version: str
    languages: tuple[str, ...]
    emotions: tuple[str, ...]
    """Names that weights may use; empty when the model takes none."""
    emotion_from_clips: bool
    emotion_from_words: bool
    native_rate_hz: int
    token_rate_hz: float
    duration_control: str
    """`trained`: the model was taught to speak in a given number of tokens; `constructed`: the server forces it;
    `experiment`: that, and the model is told, whether it was taught to listen or not."""
    default_voice: str
    """`voices/{id}`, or empty."""
    limits: Limits
    decoding: str
    """`streaming`: audio leaves while later tokens are drawn; `reference`: beams, as the public implementation has."""


@dataclass(frozen=True, slots=True)
class SegmentPlan:
    """A stretch of text, [char_begin, char_end) of what was asked, that is spoken in one run."""

    text: str
    """As it will be read."""
    char_begin: int
    char_end: int
    num_text_tokens: int
    natural_tokens: int


@dataclass(frozen=True, slots=True)
class UtterancePlan:
    """How a text will be read and how long it can be; samples are at `sample_rate_hz`."""

    segments: tuple[SegmentPlan, ...]
    sample_rate_hz: int
    natural_samples: int
    min_samples: int
    max_samples: int
    comfortable_min_samples: int
    comfortable_max_samples: int
    """The narrower range in which it also sounds natural."""
    natural_tokens: int
    min_tokens: int
    max_tokens: int
    emotion_weights: Mapping[str, float] | None
    """What an emotion by weights or in words comes down to; None for a clip or no emotion."""
    duration_control: str
    """How a length would be reached: as ServerInfo.duration_control; `unspecified` by a server that does not say."""


def server_info(message: server_service_pb2.ServerInfo) -> ServerInfo:
    """The value of a message."""
    limits = message.limits
    return ServerInfo(
        model=message.model,
        fingerprint=message.fingerprint,
        version=message.version,
        languages=tuple(message.languages),
        emotions=tuple(message.emotions),
        emotion_from_clips=message.emotion_from_clips,
        emotion_from_words=message.emotion_from_words,
        native_rate_hz=message.native_rate_hz,
        token_rate_hz=message.token_rate_hz,
        duration_control=_control(message.duration_control),
        default_voice=message.default_voice,
        limits=Limits(
            max_text_chars=limits.max_text_chars,
            max_tokens_per_segment=limits.max_tokens_per_segment,
            min_reference_s=limits.min_reference_duration.ToNanoseconds() / 1e9,
            max_reference_s=limits.max_reference_duration.ToNanoseconds() / 1e9,
            max_inline_audio_bytes=limits.max_inline_audio_bytes,
            max_upload_bytes=limits.max_upload_bytes,
            max_unary_response_bytes=limits.max_unary_response_bytes,
            min_sample_rate_hz=limits.min_sample_rate_hz,
            max_sample_rate_hz=limits.max_sample_rate_hz,
            requests_per_second=limits.requests_per_second,
        ),
        decoding=server_service_pb2.Decoding.Name(message.decoding).removeprefix("DECODING_").lower(),
    )


def utterance_plan(message: speech_service_pb2.PlanUtteranceResponse) -> UtterancePlan:
    """The value of a message."""
    return UtterancePlan(
        segments=tuple(
            SegmentPlan(
                text=segment.text,
                char_begin=segment.char_begin,
                char_end=segment.char_end,
                num_text_tokens=segment.num_text_tokens,
                natural_tokens=segment.natural_tokens,
            )
            for segment in message.segments
        ),
        sample_rate_hz=message.sample_rate_hz,
        natural_samples=message.natural_samples,
        min_samples=message.min_samples,
        max_samples=message.max_samples,
        comfortable_min_samples=message.comfortable_min_samples,
        comfortable_max_samples=message.comfortable_max_samples,
        natural_tokens=message.natural_tokens,
        min_tokens=message.min_tokens,
        max_tokens=message.max_tokens,
        emotion_weights=weights_of(message.emotion_weights) if message.HasField("emotion_weights") else None,
        duration_control=_control(message.duration_control),
    )


def _control(value: server_service_pb2.DurationControl.ValueType) -> str:
    return server_service_pb2.DurationControl.Name(value).removeprefix("DURATION_CONTROL_").lower()
