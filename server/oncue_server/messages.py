"""Records of the store as messages of the contract."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from oncue.v1 import audio_pb2, emotion_pb2, emotion_service_pb2, server_service_pb2, voice_service_pb2
from oncue_engine.requests import EMOTION_NAMES, EmotionWeights, ReferenceOptions
from oncue_server.store import Clip, Record

__all__ = [
    "duration_control_value",
    "emotion_message",
    "reference_options",
    "seconds",
    "voice_message",
    "weights_message",
]


_DURATION_CONTROL = {
    "trained": server_service_pb2.DURATION_CONTROL_TRAINED,
    "constructed": server_service_pb2.DURATION_CONTROL_CONSTRUCTED,
    "experiment": server_service_pb2.DURATION_CONTROL_EXPERIMENT,
}


def voice_message(record: Record, *, built_in: bool) -> voice_service_pb2.Voice:
    """The voice of a record that has a clip."""
    message = voice_service_pb2.Voice(
        name=f"voices/{record.id}",
        display_name=record.display_name,
        labels=dict(record.labels),
        etag=record.etag,
        reference=None if record.clip is None else _reference(record.clip),
        built_in=built_in,
    )
    if not built_in:
        message.create_time.CopyFrom(_time(record.create_time_ns))
        message.update_time.CopyFrom(_time(record.update_time_ns))
    return message


def emotion_message(record: Record) -> emotion_service_pb2.Emotion:
    """The emotion of a record that has a clip, weights or words."""
    message = emotion_service_pb2.Emotion(
        name=f"emotions/{record.id}",
        display_name=record.display_name,
        labels=dict(record.labels),
        create_time=_time(record.create_time_ns),
        update_time=_time(record.update_time_ns),
        etag=record.etag,
    )
    if record.clip is not None:
        message.reference.CopyFrom(_reference(record.clip))
    elif record.weights is not None:
        message.weights.CopyFrom(_weights(record.weights))
    elif record.words is not None:
        message.words = record.words
    return message


def reference_options(message: audio_pb2.ReferenceOptions) -> ReferenceOptions:
    """What the engine takes; the usual options for a message that is not set."""
    return ReferenceOptions(trim_silence=message.trim_silence, keep_level=message.keep_level)


def weights_message(weights: EmotionWeights | None) -> emotion_pb2.EmotionWeights | None:
    """Weights by name; None for None."""
    return None if weights is None else _weights(weights.weights)


def duration_control_value(control: str) -> server_service_pb2.DurationControl.ValueType:
    """The enum's value for the engine's word."""
    return _DURATION_CONTROL[control]


def seconds(value_s: float) -> Duration:
    """A Duration to the nearest microsecond."""
    duration = Duration()
    duration.FromMicroseconds(round(value_s * 1e6))
    return duration


def _weights(weights: tuple[float, ...]) -> emotion_pb2.EmotionWeights:
    return emotion_pb2.EmotionWeights(**dict(zip(EMOTION_NAMES, weights, strict=True)))


def _reference(clip: Clip) -> audio_pb2.ReferenceAudio:
    return audio_pb2.ReferenceAudio(
        sha256=clip.sha256,
        size_bytes=clip.size_bytes,
        duration=seconds(clip.duration_s),
        sample_rate_hz=clip.sample_rate_hz,
        loudness_dbfs=clip.loudness_dbfs,
        quality=audio_pb2.ReferenceQuality(
            peak=clip.peak,
            clipped_share=clip.clipped_share,
            silent_share=clip.silent_share,
            warnings=clip.warnings,
            applied_gain_db=clip.applied_gain_db,
            trimmed_start=seconds(clip.trimmed_start_s),
            trimmed_end=seconds(clip.trimmed_end_s),
        ),
        options=audio_pb2.ReferenceOptions(trim_silence=clip.options.trim_silence, keep_level=clip.options.keep_level),
    )


def _time(nanoseconds: int) -> Timestamp:
    stamp = Timestamp()
    stamp.FromNanoseconds(nanoseconds)
    return stamp
