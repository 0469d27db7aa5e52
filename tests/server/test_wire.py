"""Two members of one oneof on the wire are refused, wherever they stand."""

from __future__ import annotations

import pytest

from oncue.v1 import emotion_pb2, emotion_service_pb2, speech_service_pb2, voice_service_pb2
from oncue_engine.errors import InvalidRequest
from oncue_server import wire

WEIGHTS = emotion_pb2.EmotionSource(weights=emotion_pb2.EmotionWeights(happy=0.5))
WORDS = emotion_pb2.EmotionSource(words="gently")


def test_a_plain_message_parses_to_itself() -> None:
    message = speech_service_pb2.StreamSynthesizeRequest(
        utterance=speech_service_pb2.Utterance(
            text="Hello.",
            emotion=speech_service_pb2.UtteranceEmotion(inline=WEIGHTS, strength=0.5),
            length=speech_service_pb2.Length(samples=5),
        )
    )
    assert wire.parse(speech_service_pb2.StreamSynthesizeRequest, message.SerializeToString()) == message


def test_two_sources_in_one_message() -> None:
    raw = WEIGHTS.SerializeToString() + WORDS.SerializeToString()
    with pytest.raises(InvalidRequest) as caught:
        wire.parse(emotion_pb2.EmotionSource, raw)
    assert caught.value.reason == "EMOTION_SOURCE_CONFLICT"
    assert caught.value.metadata == {"first": "weights", "second": "words"}


def test_two_sources_deep_inside_and_in_parts_that_are_merged() -> None:
    """The same field twice is one message to a parser: each part alone is innocent."""
    parts = [emotion_service_pb2.CreateEmotionRequest(source=source).SerializeToString() for source in (WEIGHTS, WORDS)]
    for part in parts:
        wire.parse(emotion_service_pb2.CreateEmotionRequest, part)
    with pytest.raises(InvalidRequest) as caught:
        wire.parse(emotion_service_pb2.CreateEmotionRequest, b"".join(parts))
    assert (caught.value.reason, caught.value.field) == ("EMOTION_SOURCE_CONFLICT", "source")


def test_other_oneofs_have_their_own_reason() -> None:
    two = (
        speech_service_pb2.Length(samples=5).SerializeToString()
        + speech_service_pb2.Length(tokens=5).SerializeToString()
    )
    raw = b"\x22" + bytes([len(two)]) + two  # Utterance.length
    with pytest.raises(InvalidRequest) as caught:
        wire.parse(speech_service_pb2.Utterance, raw)
    assert (caught.value.reason, caught.value.field) == ("ONEOF_CONFLICT", "length")


def test_repeating_the_same_member_is_no_conflict() -> None:
    raw = speech_service_pb2.Length(samples=5).SerializeToString() * 2
    assert wire.parse(speech_service_pb2.Length, raw).samples == 5


def test_optional_scalars_are_not_taken_for_oneofs_of_two() -> None:
    sampling = speech_service_pb2.Sampling(temperature=0.5, top_k=3, top_p=0.5, repetition_penalty=2.0)
    assert wire.parse(speech_service_pb2.Sampling, sampling.SerializeToString()) == sampling


def test_labels_and_unknown_fields_pass() -> None:
    request = voice_service_pb2.CreateVoiceRequest(
        voice_id="abc", voice=voice_service_pb2.Voice(labels={"a": "1", "b": "2"})
    )
    unknown = b"\xf8\x3f\x01"  # field 1023, varint 1
    parsed = wire.parse(voice_service_pb2.CreateVoiceRequest, request.SerializeToString() + unknown)
    assert dict(parsed.voice.labels) == {"a": "1", "b": "2"}


@pytest.mark.parametrize("raw", [b"\xff\xff\xff", b"\x0a\x02\xff\xfe"], ids=["no message", "no UTF-8"])
def test_bytes_that_are_no_message(raw: bytes) -> None:
    with pytest.raises(InvalidRequest) as caught:
        wire.parse(speech_service_pb2.Utterance, raw)
    assert caught.value.reason == "MALFORMED_REQUEST"
