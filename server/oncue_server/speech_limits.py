"""Checks of an utterance that the engine does not make, because it never sees what they are about."""

from __future__ import annotations

from collections.abc import Iterable

from oncue.v1 import audio_pb2, speech_service_pb2
from oncue_engine.errors import InvalidRequest
from oncue_engine.requests import LengthPolicy, LexiconEntry, Pacing, PacingMode, Sampling, TargetSamples, TargetTokens

__all__ = [
    "DEFAULT_LEAD_S",
    "MAX_UNARY_RESPONSE_BYTES",
    "STREAM_ENCODINGS",
    "UNARY_ENCODINGS",
    "audio_format",
    "known_enum",
    "length",
    "length_policy",
    "lexicon",
    "pacing",
    "sampling",
    "unary_size",
]

MAX_UNARY_RESPONSE_BYTES = 4 * 1024 * 1024
"""What a gRPC client receives by default."""
_UNARY_RESERVE_BYTES = 4096
"""Room in the unary answer for all but the audio."""
DEFAULT_LEAD_S = 2.0

STREAM_ENCODINGS = (audio_pb2.AUDIO_ENCODING_PCM_S16, audio_pb2.AUDIO_ENCODING_PCM_F32)
UNARY_ENCODINGS = (*STREAM_ENCODINGS, audio_pb2.AUDIO_ENCODING_WAV)


def audio_format(
    message: audio_pb2.AudioFormat,
    native_rate_hz: int,
    encodings: tuple[audio_pb2.AudioEncoding.ValueType, ...],
    field: str,
) -> audio_pb2.AudioFormat:
    """The format with both fields set. Raises InvalidRequest (ENCODING_UNSUPPORTED)."""
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
    return audio_pb2.AudioFormat(encoding=encoding, sample_rate_hz=rate_hz)


def length(message: speech_service_pb2.Length, field: str) -> TargetSamples | TargetTokens:
    """Raises InvalidRequest (LENGTH_REQUIRED)."""
    match message.WhichOneof("target"):
        case "samples":
            return TargetSamples(message.samples)
        case "tokens":
            return TargetTokens(message.tokens)
        case _:
            raise InvalidRequest("set samples or tokens", reason="LENGTH_REQUIRED", field=field)


def length_policy(message: speech_service_pb2.Length, field: str) -> LengthPolicy:
    """Raises InvalidRequest (ENUM_UNKNOWN)."""
    if message.policy == speech_service_pb2.LENGTH_POLICY_FORCE:
        return LengthPolicy.FORCE
    if message.policy == speech_service_pb2.LENGTH_POLICY_ADVISE:
        return LengthPolicy.ADVISE
    known_enum(message.policy, speech_service_pb2.LengthPolicy.values(), f"{field}.policy")
    return LengthPolicy.STRICT


def lexicon(message: speech_service_pb2.Lexicon) -> tuple[LexiconEntry, ...]:
    """The entries as the engine takes and checks them."""
    return tuple(
        LexiconEntry(
            entry.term,
            reading=entry.reading if entry.HasField("reading") else None,
            pronunciation=entry.pronunciation if entry.HasField("pronunciation") else None,
            language=entry.language if entry.HasField("language") else None,
        )
        for entry in message.entries
    )


def sampling(message: speech_service_pb2.Sampling, default: Sampling) -> Sampling:
    """Settings with the engine's defaults filled in."""
    return Sampling(
        temperature=message.temperature if message.HasField("temperature") else default.temperature,
        top_k=message.top_k if message.HasField("top_k") else default.top_k,
        top_p=message.top_p if message.HasField("top_p") else default.top_p,
        repetition_penalty=message.repetition_penalty
        if message.HasField("repetition_penalty")
        else default.repetition_penalty,
    )


def pacing(message: speech_service_pb2.Pacing, sample_rate_hz: int, field: str) -> Pacing:
    """Pacing with the default lead filled in. Raises InvalidRequest (ENUM_UNKNOWN, PACING_INVALID)."""
    known_enum(message.mode, speech_service_pb2.PacingMode.values(), f"{field}.mode")
    lead = message.max_lead_samples if message.HasField("max_lead_samples") else None
    if message.mode == speech_service_pb2.PACING_MODE_UNPACED:
        if lead is not None:
            raise InvalidRequest("UNPACED has no lead", reason="PACING_INVALID", field=f"{field}.max_lead_samples")
        return Pacing(PacingMode.UNPACED)
    return Pacing(PacingMode.REALTIME, round(DEFAULT_LEAD_S * sample_rate_hz) if lead is None else lead)


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


def known_enum(value: int, known: Iterable[int], field: str, reason: str = "ENUM_UNKNOWN") -> None:
    """Raises InvalidRequest (`reason`) for a number that the contract has no name for."""
    values = tuple(known)
    if value not in values:
        raise InvalidRequest(
            f"{value} is not a value of this field",
            reason=reason,
            field=field,
            metadata={"known": ",".join(str(number) for number in values)},
        )
