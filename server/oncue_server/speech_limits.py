"""Checks of what an utterance asks for, each with its reason, field and limit. What the text itself allows is the
engine's to say."""

from __future__ import annotations

import math
from collections.abc import Iterable

from oncue.v1 import audio_pb2, speech_service_pb2
from oncue_engine.errors import InvalidRequest
from oncue_engine.requests import LengthPolicy, Pacing, PacingMode, Sampling, TargetSamples, TargetTokens

__all__ = [
    "DEFAULT_LEAD_S",
    "MAX_SAMPLE_RATE_HZ",
    "MAX_UNARY_RESPONSE_BYTES",
    "MIN_SAMPLE_RATE_HZ",
    "STREAM_ENCODINGS",
    "UNARY_ENCODINGS",
    "audio_format",
    "emotion_strength",
    "length",
    "length_policy",
    "pacing",
    "sampling",
    "start_sample",
    "text",
    "unary_size",
]

MAX_UNARY_RESPONSE_BYTES = 4 * 1024 * 1024
"""What a gRPC client receives by default."""
_UNARY_RESERVE_BYTES = 4096
"""Room in the unary answer for all but the audio."""
MIN_SAMPLE_RATE_HZ = 8000
MAX_SAMPLE_RATE_HZ = 48000
DEFAULT_LEAD_S = 2.0

STREAM_ENCODINGS = (audio_pb2.AUDIO_ENCODING_PCM_S16, audio_pb2.AUDIO_ENCODING_PCM_F32)
UNARY_ENCODINGS = (*STREAM_ENCODINGS, audio_pb2.AUDIO_ENCODING_WAV)

_INT64_MAX = 2**63 - 1


def text(value: str, max_chars: int, field: str) -> str:
    """Raises InvalidRequest (TEXT_EMPTY, TEXT_TOO_LONG)."""
    if not value.strip():
        raise InvalidRequest("the text is empty or blank", reason="TEXT_EMPTY", field=field)
    if len(value) > max_chars:
        raise InvalidRequest(
            f"the text has {len(value)} characters; at most {max_chars} are spoken in one utterance",
            reason="TEXT_TOO_LONG",
            field=field,
            metadata={"max_chars": str(max_chars), "chars": str(len(value))},
        )
    return value


def emotion_strength(emotion: speech_service_pb2.UtteranceEmotion, field: str) -> float:
    """Raises InvalidRequest (EMOTION_STRENGTH_INVALID)."""
    if not emotion.HasField("strength"):
        return 1.0
    return _between(emotion.strength, 0.0, 1.0, "EMOTION_STRENGTH_INVALID", field)


def audio_format(
    message: audio_pb2.AudioFormat,
    native_rate_hz: int,
    encodings: tuple[audio_pb2.AudioEncoding.ValueType, ...],
    field: str,
) -> audio_pb2.AudioFormat:
    """The format with both fields set. Raises InvalidRequest (ENCODING_UNSUPPORTED, SAMPLE_RATE_UNSUPPORTED)."""
    encoding = message.encoding or audio_pb2.AUDIO_ENCODING_PCM_S16
    if encoding not in encodings:
        names = ",".join(audio_pb2.AudioEncoding.Name(known) for known in encodings)
        raise InvalidRequest(
            f"encoding {encoding} is not one of {names}",
            reason="ENCODING_UNSUPPORTED",
            field=f"{field}.encoding",
            metadata={"supported": names},
        )
    rate_hz = message.sample_rate_hz if message.HasField("sample_rate_hz") else native_rate_hz
    if not MIN_SAMPLE_RATE_HZ <= rate_hz <= MAX_SAMPLE_RATE_HZ:
        raise InvalidRequest(
            f"{rate_hz} Hz; the rate must be {MIN_SAMPLE_RATE_HZ} to {MAX_SAMPLE_RATE_HZ} Hz",
            reason="SAMPLE_RATE_UNSUPPORTED",
            field=f"{field}.sample_rate_hz",
            metadata={"min_hz": str(MIN_SAMPLE_RATE_HZ), "max_hz": str(MAX_SAMPLE_RATE_HZ)},
        )
    return audio_pb2.AudioFormat(encoding=encoding, sample_rate_hz=rate_hz)


def length(message: speech_service_pb2.Length, field: str) -> TargetSamples | TargetTokens:
    """Raises InvalidRequest (LENGTH_REQUIRED, LENGTH_INVALID). What the text allows is the engine's to say."""
    target = message.WhichOneof("target")
    if target is None:
        raise InvalidRequest("set samples or tokens", reason="LENGTH_REQUIRED", field=field)
    value = message.samples if target == "samples" else message.tokens
    if value < 1:
        raise InvalidRequest(
            f"{target} is {value}; it must be at least 1",
            reason="LENGTH_INVALID",
            field=f"{field}.{target}",
            metadata={"min": "1"},
        )
    return TargetSamples(value) if target == "samples" else TargetTokens(value)


def length_policy(message: speech_service_pb2.Length, field: str) -> LengthPolicy:
    """Raises InvalidRequest (ENUM_UNKNOWN)."""
    if message.policy == speech_service_pb2.LENGTH_POLICY_FORCE:
        return LengthPolicy.FORCE
    _known_enum(message.policy, speech_service_pb2.LengthPolicy.values(), f"{field}.policy")
    return LengthPolicy.STRICT


def sampling(message: speech_service_pb2.Sampling, field: str) -> Sampling:
    """Settings with the defaults filled in. Raises InvalidRequest (SAMPLING_INVALID)."""
    default = Sampling()

    def value(name: str, low: float, high: float) -> float:
        if not message.HasField(name):  # type: ignore[arg-type]  # one of the four names below
            return float(getattr(default, name))
        return _between(getattr(message, name), low, high, "SAMPLING_INVALID", f"{field}.{name}")

    return Sampling(
        temperature=value("temperature", 0.0, 2.0),
        top_k=int(value("top_k", 0, 1000)),
        top_p=value("top_p", 1e-6, 1.0),
        repetition_penalty=value("repetition_penalty", 1.0, 20.0),
    )


def pacing(message: speech_service_pb2.Pacing, sample_rate_hz: int, field: str) -> Pacing:
    """Pacing with the default lead filled in. Raises InvalidRequest (ENUM_UNKNOWN, PACING_INVALID)."""
    _known_enum(message.mode, speech_service_pb2.PacingMode.values(), f"{field}.mode")
    unpaced = message.mode == speech_service_pb2.PACING_MODE_UNPACED
    lead_field = f"{field}.max_lead_samples"
    if not message.HasField("max_lead_samples"):
        return (
            Pacing(PacingMode.UNPACED)
            if unpaced
            else Pacing(PacingMode.REALTIME, round(DEFAULT_LEAD_S * sample_rate_hz))
        )
    if unpaced:
        raise InvalidRequest("UNPACED has no lead", reason="PACING_INVALID", field=lead_field)
    lead = _between(message.max_lead_samples, 1, _INT64_MAX, "PACING_INVALID", lead_field)
    return Pacing(PacingMode.REALTIME, int(lead))


def start_sample(value: int) -> int:
    """Raises InvalidRequest (START_SAMPLE_INVALID)."""
    return int(_between(value, 0, _INT64_MAX, "START_SAMPLE_INVALID", "start_sample"))


def unary_size(num_samples: int, encoding: audio_pb2.AudioEncoding.ValueType) -> None:
    """Raises InvalidRequest (RESPONSE_TOO_LARGE) when so much audio does not fit into one message."""
    width = 4 if encoding == audio_pb2.AUDIO_ENCODING_PCM_F32 else 2
    max_samples = (MAX_UNARY_RESPONSE_BYTES - _UNARY_RESERVE_BYTES) // width
    if num_samples > max_samples:
        raise InvalidRequest(
            f"about {num_samples} samples do not fit into one message: use StreamSynthesize",
            reason="RESPONSE_TOO_LARGE",
            field="utterance",
            metadata={
                "max_samples": str(max_samples),
                "samples": str(num_samples),
                "max_bytes": str(MAX_UNARY_RESPONSE_BYTES),
                "use": "oncue.v1.SpeechService/StreamSynthesize",
            },
        )


def _known_enum(value: int, known: Iterable[int], field: str) -> None:
    values = tuple(known)
    if value not in values:
        raise InvalidRequest(
            f"{value} is not a value of this field",
            reason="ENUM_UNKNOWN",
            field=field,
            metadata={"known": ",".join(str(number) for number in values)},
        )


def _between(value: float, low: float, high: float, reason: str, field: str) -> float:
    if math.isnan(value) or not low <= value <= high:
        raise InvalidRequest(
            f"{value}; it must be {low:g} to {high:g}",
            reason=reason,
            field=field,
            metadata={"min": f"{low:g}", "max": f"{high:g}"},
        )
    return value
