"""Every kind of bad input over a real socket: code, reason, field and limit; then the server serves the next call."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import grpc.aio
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from oncue.v1 import (
    audio_pb2,
    emotion_pb2,
    emotion_service_pb2,
    server_service_pb2,
    speech_service_pb2,
    voice_service_pb2,
)
from oncue_server.app import RunningServer

from .asking import TEXT, Refusal, Stubs, refusal_of, stream_request, wav

INVALID = grpc.StatusCode.INVALID_ARGUMENT
Call = Callable[[Stubs], Awaitable[Any]]


async def refused(call: Call, stubs: Stubs) -> Refusal:
    """What the call is refused with; the server then still answers."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(stubs)
    info = await stubs.server.GetServerInfo(server_service_pb2.GetServerInfoRequest())
    assert info.info.model
    return refusal_of(caught.value)


def streamed(request: Any) -> Call:
    async def call(stubs: Stubs) -> None:
        async for _ in stubs.speech.StreamSynthesize(request):
            pass

    return call


def unary(**utterance: Any) -> Call:
    request = speech_service_pb2.SynthesizeRequest(utterance=speech_service_pb2.Utterance(**utterance))

    async def call(stubs: Stubs) -> None:
        await stubs.speech.Synthesize(request)

    return call


def planned(**utterance: Any) -> Call:
    request = speech_service_pb2.PlanUtteranceRequest(utterance=speech_service_pb2.Utterance(**utterance))

    async def call(stubs: Stubs) -> None:
        await stubs.speech.PlanUtterance(request)

    return call


def in_every_way(**utterance: Any) -> Iterator[Call]:
    yield streamed(stream_request(**{"text": TEXT, **utterance}))
    yield unary(**{"text": TEXT, **utterance})
    yield planned(**{"text": TEXT, **utterance})


def create_voice(**fields: Any) -> Call:
    async def call(stubs: Stubs) -> None:
        await stubs.voices.CreateVoice(voice_service_pb2.CreateVoiceRequest(**fields))

    return call


def create_emotion(**fields: Any) -> Call:
    async def call(stubs: Stubs) -> None:
        await stubs.emotions.CreateEmotion(emotion_service_pb2.CreateEmotionRequest(**fields))

    return call


# Text


@pytest.mark.parametrize("text", ["", " ", "\n\t \u3000"], ids=["empty", "space", "blank"])
async def test_empty_text(stubs: Stubs, text: str) -> None:
    for call in in_every_way(text=text):
        refusal = await refused(call, stubs)
        assert (refusal.code, refusal.reason, refusal.field) == (INVALID, "TEXT_EMPTY", "utterance.text")


@pytest.mark.parametrize("text", ["...", "?!", "—", "\u200b\u200b"])
async def test_text_with_nothing_to_pronounce(stubs: Stubs, text: str) -> None:
    for call in in_every_way(text=text):
        refusal = await refused(call, stubs)
        assert refusal.code is INVALID
        assert refusal.reason in ("TEXT_UNPRONOUNCEABLE", "TEXT_EMPTY")
        assert refusal.field == "utterance.text"


async def test_text_over_the_limit(stubs: Stubs) -> None:
    info = (await stubs.server.GetServerInfo(server_service_pb2.GetServerInfoRequest())).info
    most = info.limits.max_text_chars
    for call in in_every_way(text=("word " * most)[: most + 1]):
        refusal = await refused(call, stubs)
        assert (refusal.code, refusal.reason, refusal.field) == (INVALID, "TEXT_TOO_LONG", "utterance.text")
        assert refusal.limits["max_chars"] == str(most)


# Emotion


def weights(**named: float) -> emotion_pb2.EmotionSource:
    return emotion_pb2.EmotionSource(weights=emotion_pb2.EmotionWeights(**named))


def inline(source: emotion_pb2.EmotionSource, **fields: Any) -> speech_service_pb2.UtteranceEmotion:
    return speech_service_pb2.UtteranceEmotion(inline=source, **fields)


@pytest.mark.parametrize("value", [math.nan, math.inf, -0.1, 1.21])
async def test_emotion_weights_out_of_range(stubs: Stubs, value: float) -> None:
    refusal = await refused(streamed(stream_request(emotion=inline(weights(sad=value)))), stubs)
    assert (refusal.code, refusal.reason) == (INVALID, "EMOTION_VECTOR_INVALID")
    assert refusal.field == "utterance.emotion.inline.weights.sad"
    assert (refusal.limits["min"], refusal.limits["max"]) == ("0", "1.2")
    refusal = await refused(create_emotion(emotion_id="odd", source=weights(sad=value)), stubs)
    assert (refusal.code, refusal.reason) == (INVALID, "EMOTION_VECTOR_INVALID")
    assert refusal.field == "source.weights.sad"


async def test_emotion_weights_that_are_all_zero(stubs: Stubs) -> None:
    refusal = await refused(streamed(stream_request(emotion=inline(weights()))), stubs)
    assert (refusal.code, refusal.reason) == (INVALID, "EMOTION_VECTOR_INVALID")


async def test_an_emotion_that_the_model_does_not_have(stubs: Stubs) -> None:
    """The field is named, and the list of what there is; nothing becomes something near it."""
    source = weights(happy=0.5, melancholic=0.25)
    calls = (
        (streamed(stream_request(emotion=inline(source))), "utterance.emotion.inline.weights.melancholic"),
        (create_emotion(emotion_id="blue", source=source), "source.weights.melancholic"),
    )
    for call, field in calls:
        refusal = await refused(call, stubs)
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNIMPLEMENTED, "EMOTION_UNSUPPORTED")
        assert refusal.field == field
        assert refusal.limits == {"supported": "happy,angry,sad,afraid,disgusted,surprised,calm"}


async def test_emotion_in_words_is_not_there_yet(stubs: Stubs) -> None:
    words = emotion_pb2.EmotionSource(words="gently, with a smile")
    refusal = await refused(streamed(stream_request(emotion=inline(words))), stubs)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNIMPLEMENTED, "EMOTION_WORDS_UNSUPPORTED")
    assert refusal.field == "utterance.emotion.inline.words"
    refusal = await refused(create_emotion(emotion_id="gentle", source=words), stubs)
    assert (refusal.code, refusal.field) == (grpc.StatusCode.UNIMPLEMENTED, "source.words")


async def test_no_emotion_source_at_all(stubs: Stubs) -> None:
    empty = speech_service_pb2.UtteranceEmotion(strength=0.5)
    refusal = await refused(streamed(stream_request(emotion=empty)), stubs)
    assert (refusal.code, refusal.reason) == (INVALID, "EMOTION_SOURCE_REQUIRED")
    refusal = await refused(create_emotion(emotion_id="nothing"), stubs)
    assert (refusal.reason, refusal.field) == ("EMOTION_SOURCE_REQUIRED", "source")


async def test_unknown_and_malformed_emotion_names(stubs: Stubs) -> None:
    def named(name: str) -> Call:
        return streamed(stream_request(emotion=speech_service_pb2.UtteranceEmotion(name=name)))

    refusal = await refused(named("emotions/nobody"), stubs)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "EMOTION_NOT_FOUND")
    assert refusal.field == "utterance.emotion.name"
    refusal = await refused(named("happy"), stubs)
    assert (refusal.code, refusal.reason) == (INVALID, "EMOTION_NAME_INVALID")


@pytest.mark.parametrize("strength", [math.nan, -0.1, 1.5])
async def test_emotion_strength_out_of_range(stubs: Stubs, strength: float) -> None:
    emotion = inline(emotion_pb2.EmotionSource(audio=wav(1.5)), strength=strength)
    refusal = await refused(streamed(stream_request(emotion=emotion)), stubs)
    assert (refusal.code, refusal.field) == (INVALID, "utterance.emotion.strength")
    assert (refusal.limits["min"], refusal.limits["max"]) == ("0", "1")


async def raw_call(stubs: Stubs, method: str, raw: bytes) -> bytes:
    return await stubs.channel.unary_unary(method)(raw)


async def test_two_emotion_sources(stubs: Stubs) -> None:
    """Generated code cannot send two members of a oneof; other clients can, and the last would silently win."""
    parts = [
        emotion_service_pb2.CreateEmotionRequest(emotion_id="two", source=source).SerializeToString()
        for source in (weights(happy=0.5), emotion_pb2.EmotionSource(audio=wav(1.5)))
    ]
    refusal = await refused(
        lambda stubs: raw_call(stubs, "/oncue.v1.EmotionService/CreateEmotion", b"".join(parts)), stubs
    )
    assert (refusal.code, refusal.reason, refusal.field) == (INVALID, "EMOTION_SOURCE_CONFLICT", "source")
    emotions = [speech_service_pb2.UtteranceEmotion(name="emotions/sad"), inline(weights(sad=1.0))]
    raw = b"".join(
        speech_service_pb2.SynthesizeRequest(
            utterance=speech_service_pb2.Utterance(text=TEXT, emotion=emotion)
        ).SerializeToString()
        for emotion in emotions
    )
    refusal = await refused(lambda stubs: raw_call(stubs, "/oncue.v1.SpeechService/Synthesize", raw), stubs)
    assert (refusal.code, refusal.reason) == (INVALID, "EMOTION_SOURCE_CONFLICT")
    assert refusal.field == "utterance.emotion"


async def test_bytes_that_are_no_request(stubs: Stubs) -> None:
    refusal = await refused(lambda stubs: raw_call(stubs, "/oncue.v1.SpeechService/Synthesize", b"\xff\xff"), stubs)
    assert (refusal.code, refusal.reason) == (INVALID, "MALFORMED_REQUEST")


# Voice


async def test_unknown_and_malformed_voices(stubs: Stubs) -> None:
    for call in in_every_way(voice="voices/nobody"):
        refusal = await refused(call, stubs)
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "VOICE_NOT_FOUND")
        assert (refusal.field, refusal.limits["name"]) == ("utterance.voice", "voices/nobody")
    for name in ("low", "voices/", "voices/../low", "emotions/low", "voices/LOW", "voices/low/x"):
        refusal = await refused(streamed(stream_request(voice=name)), stubs)
        assert (refusal.code, refusal.reason) == (INVALID, "VOICE_NAME_INVALID"), name
        assert refusal.field == "utterance.voice"


async def test_duplicate_voice_id(stubs: Stubs) -> None:
    await create_voice(voice_id="twice", audio=wav(1.5))(stubs)
    refusal = await refused(create_voice(voice_id="twice", audio=wav(1.5)), stubs)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.ALREADY_EXISTS, "VOICE_EXISTS")
    assert (refusal.field, refusal.limits["name"]) == ("voice_id", "voices/twice")
    refusal = await refused(create_voice(voice_id="low", audio=wav(1.5)), stubs)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.ALREADY_EXISTS, "VOICE_EXISTS")


@pytest.mark.parametrize(
    "id_", ["", "a", "ab", "1ab", "-ab", "Abc", "a_c", "a.c", "../x", "a/b", "abc\n", "a" * 64, "äbc", "a\x00c"]
)
async def test_bad_ids(stubs: Stubs, id_: str) -> None:
    refusal = await refused(create_voice(voice_id=id_, audio=wav(1.5)), stubs)
    assert (refusal.code, refusal.reason, refusal.field) == (INVALID, "VOICE_ID_INVALID", "voice_id")
    assert refusal.limits["pattern"] == "[a-z][a-z0-9-]{2,62}"
    refusal = await refused(create_emotion(emotion_id=id_, source=weights(happy=1)), stubs)
    assert (refusal.code, refusal.reason, refusal.field) == (INVALID, "EMOTION_ID_INVALID", "emotion_id")


# Reference audio


def zeros(seconds: float) -> bytes:
    return wav(seconds, level=0.0)


@pytest.mark.parametrize(
    ("audio", "reason"),
    [
        (b"", "REFERENCE_EMPTY"),
        (b"this is no audio at all" * 100, "REFERENCE_NOT_AUDIO"),
        (wav(2.0)[:30], "REFERENCE_NOT_AUDIO"),
        (zeros(2.0), "REFERENCE_SILENT"),
        (wav(0.9), "REFERENCE_TOO_SHORT"),
        (b"\x00" * (3 * 1024 * 1024 + 1), "REFERENCE_TOO_LARGE"),
    ],
    ids=["empty", "text", "cut header", "silent", "short", "large"],
)
async def test_bad_reference_audio(stubs: Stubs, audio: bytes, reason: str) -> None:
    ways: list[tuple[Call, str]] = [
        (create_voice(voice_id="bad-clip", audio=audio), "audio"),
        (create_emotion(emotion_id="bad-clip", source=emotion_pb2.EmotionSource(audio=audio)), "source.audio"),
        (
            streamed(stream_request(emotion=inline(emotion_pb2.EmotionSource(audio=audio)))),
            "utterance.emotion.inline.audio",
        ),
    ]
    for call, field in ways:
        refusal = await refused(call, stubs)
        assert (refusal.code, refusal.reason, refusal.field) == (INVALID, reason, field)
        if reason == "REFERENCE_TOO_SHORT":
            assert refusal.limits["min_seconds"] == "1"
        if reason == "REFERENCE_TOO_LARGE":
            assert refusal.limits["max_bytes"] == str(3 * 1024 * 1024)
    missing = await refused(
        lambda stubs: stubs.voices.GetVoice(voice_service_pb2.GetVoiceRequest(name="voices/bad-clip")), stubs
    )
    assert missing.code is grpc.StatusCode.NOT_FOUND


def upload(parts: list[Any]) -> Call:
    async def requests() -> AsyncIterator[voice_service_pb2.UploadVoiceRequest]:
        for part in parts:
            yield part

    async def call(stubs: Stubs) -> None:
        await stubs.voices.UploadVoice(requests())

    return call


def header(id_: str = "uploaded-badly") -> voice_service_pb2.UploadVoiceRequest:
    return voice_service_pb2.UploadVoiceRequest(header=voice_service_pb2.UploadVoiceHeader(voice_id=id_))


def part(data: bytes) -> voice_service_pb2.UploadVoiceRequest:
    return voice_service_pb2.UploadVoiceRequest(data=data)


@pytest.mark.parametrize(
    ("parts", "reason", "field"),
    [
        ([], "UPLOAD_HEADER_REQUIRED", "header"),
        ([part(b"x")], "UPLOAD_HEADER_REQUIRED", "header"),
        ([header("X")], "VOICE_ID_INVALID", "header.voice_id"),
        ([header()], "REFERENCE_EMPTY", "data"),
        ([header(), header()], "UPLOAD_HEADER_DUPLICATE", "header"),
        ([header(), part(b"")], "UPLOAD_PART_EMPTY", "data"),
        ([header(), part(b"x" * (256 * 1024 + 1))], "UPLOAD_PART_TOO_LARGE", "data"),
        ([header(), part(b"no audio")], "REFERENCE_NOT_AUDIO", "data"),
        ([header(), *[part(b"x" * (256 * 1024))] * 256, part(b"x")], "REFERENCE_TOO_LARGE", "data"),
    ],
    ids=["nothing", "no header", "bad id", "no parts", "two headers", "empty part", "large part", "text", "64 MiB + 1"],
)
async def test_bad_uploads(stubs: Stubs, parts: list[Any], reason: str, field: str) -> None:
    refusal = await refused(upload(parts), stubs)
    assert (refusal.code, refusal.reason, refusal.field) == (INVALID, reason, field)
    if reason == "REFERENCE_TOO_LARGE":
        assert refusal.limits["max_bytes"] == str(64 * 1024 * 1024)


# Length


def length(**fields: Any) -> speech_service_pb2.Length:
    return speech_service_pb2.Length(**fields)


@pytest.mark.parametrize("target", ["samples", "tokens"])
@pytest.mark.parametrize("value", [0, -1, -(2**31)])
async def test_lengths_that_are_not_positive(stubs: Stubs, target: str, value: int) -> None:
    for call in in_every_way(length=length(**{target: value})):
        refusal = await refused(call, stubs)
        assert (refusal.code, refusal.reason) == (INVALID, "LENGTH_NOT_POSITIVE")
        assert refusal.field == f"utterance.length.{target}"


@pytest.mark.parametrize("target", ["samples", "tokens"])
async def test_lengths_outside_the_possible_range(stubs: Stubs, target: str) -> None:
    plan = await stubs.speech.PlanUtterance(
        speech_service_pb2.PlanUtteranceRequest(utterance=speech_service_pb2.Utterance(text=TEXT))
    )
    low, high = getattr(plan, f"min_{target}"), getattr(plan, f"max_{target}")
    assert 0 < low < getattr(plan, f"natural_{target}") < high
    for value in (low - 1, high + 1):
        for call in in_every_way(length=length(**{target: value})):
            refusal = await refused(call, stubs)
            assert refusal.code is grpc.StatusCode.FAILED_PRECONDITION
            assert (refusal.reason, refusal.field) == ("DURATION_INFEASIBLE", f"utterance.length.{target}")
            assert (refusal.limits[f"min_{target}"], refusal.limits[f"max_{target}"]) == (str(low), str(high))


async def test_tokens_over_the_maximum_even_by_force(stubs: Stubs) -> None:
    info = (await stubs.server.GetServerInfo(server_service_pb2.GetServerInfoRequest())).info
    force = length(tokens=info.limits.max_tokens_per_segment + 1, policy=speech_service_pb2.LENGTH_POLICY_FORCE)
    refusal = await refused(streamed(stream_request(length=force)), stubs)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "DURATION_INFEASIBLE")
    assert refusal.field == "utterance.length.tokens"
    assert refusal.limits["max_tokens_per_segment"] == str(info.limits.max_tokens_per_segment)


async def test_a_length_without_a_target(stubs: Stubs) -> None:
    refusal = await refused(streamed(stream_request(length=length())), stubs)
    assert (refusal.code, refusal.reason, refusal.field) == (INVALID, "LENGTH_REQUIRED", "utterance.length")


# Format, enums, settings


@pytest.mark.parametrize("rate_hz", [0, -1, 7999, 48001, 96000])
async def test_unsupported_rates(stubs: Stubs, rate_hz: int) -> None:
    for call in in_every_way(format=audio_pb2.AudioFormat(sample_rate_hz=rate_hz)):
        refusal = await refused(call, stubs)
        assert (refusal.code, refusal.reason) == (INVALID, "SAMPLE_RATE_UNSUPPORTED")
        assert refusal.field == "utterance.format.sample_rate_hz"
        assert (refusal.limits["min_hz"], refusal.limits["max_hz"]) == ("8000", "48000")


async def test_unsupported_encodings(stubs: Stubs) -> None:
    wav_stream = streamed(stream_request(format=audio_pb2.AudioFormat(encoding=audio_pb2.AUDIO_ENCODING_WAV)))
    refusal = await refused(wav_stream, stubs)
    assert (refusal.code, refusal.reason) == (INVALID, "ENCODING_UNSUPPORTED")
    assert refusal.field == "utterance.format.encoding"
    assert refusal.limits["supported"] == "AUDIO_ENCODING_PCM_S16,AUDIO_ENCODING_PCM_F32"
    for call in in_every_way(format=audio_pb2.AudioFormat(encoding=77)):  # type: ignore[arg-type]
        refusal = await refused(call, stubs)
        assert (refusal.code, refusal.reason) == (INVALID, "ENCODING_UNSUPPORTED")


async def test_unknown_enum_values(stubs: Stubs) -> None:
    policy = length(tokens=20, policy=9)
    refusal = await refused(streamed(stream_request(length=policy)), stubs)
    assert (refusal.code, refusal.reason, refusal.field) == (INVALID, "ENUM_UNKNOWN", "utterance.length.policy")
    request = stream_request()
    request.pacing.mode = 9
    refusal = await refused(streamed(request), stubs)
    assert (refusal.code, refusal.reason, refusal.field) == (INVALID, "ENUM_UNKNOWN", "pacing.mode")
    assert refusal.limits["known"] == "0,1,2"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", -0.1),
        ("temperature", math.nan),
        ("temperature", 2.1),
        ("top_k", -1),
        ("top_p", 0.0),
        ("top_p", 1.1),
        ("top_p", math.nan),
        ("repetition_penalty", 0.9),
        ("repetition_penalty", math.inf),
    ],
)
async def test_sampling_out_of_range(stubs: Stubs, name: str, value: float) -> None:
    sampling = speech_service_pb2.Sampling(**{name: value})
    refusal = await refused(streamed(stream_request(sampling=sampling)), stubs)
    assert (refusal.code, refusal.field) == (INVALID, f"utterance.sampling.{name}")
    assert {"min", "max"} <= refusal.limits.keys()


async def test_pacing_and_start_out_of_range(stubs: Stubs) -> None:
    refusal = await refused(streamed(stream_request(start_sample=-1)), stubs)
    assert (refusal.code, refusal.field, refusal.limits["min"]) == (INVALID, "start_sample", "0")
    request = stream_request(unpaced=False)
    request.pacing.max_lead_samples = 0
    refusal = await refused(streamed(request), stubs)
    assert (refusal.code, refusal.field, refusal.limits["min"]) == (INVALID, "pacing.max_lead_samples", "1")
    request = stream_request(unpaced=True)
    request.pacing.max_lead_samples = 5
    refusal = await refused(streamed(request), stubs)
    assert (refusal.code, refusal.reason) == (INVALID, "PACING_INVALID")


# The unary answer's size


async def test_a_clip_that_does_not_fit_into_one_message_is_refused_before_work_begins(
    stubs: Stubs, server: RunningServer
) -> None:
    text = " ".join([TEXT] * 40)
    before = server.engine.stage_times()
    fmt = audio_pb2.AudioFormat(encoding=audio_pb2.AUDIO_ENCODING_PCM_F32, sample_rate_hz=48000)
    refusal = await refused(unary(text=text, format=fmt), stubs)
    assert (refusal.code, refusal.reason) == (INVALID, "RESPONSE_TOO_LARGE")
    assert "StreamSynthesize" in refusal.limits["use"]
    assert refusal.limits["max_bytes"] == str(4 * 1024 * 1024)
    assert server.engine.stage_times() == before


# Resources


async def test_bad_updates_and_pages(stubs: Stubs) -> None:
    await create_voice(voice_id="to-change", audio=wav(1.5))(stubs)

    def update(paths: list[str], **fields: Any) -> Call:
        voice = voice_service_pb2.Voice(**{"name": "voices/to-change", **fields})
        request = voice_service_pb2.UpdateVoiceRequest(voice=voice, update_mask=FieldMask(paths=paths))
        return lambda stubs: stubs.voices.UpdateVoice(request)

    refusal = await refused(update([]), stubs)
    assert (refusal.code, refusal.reason) == (INVALID, "UPDATE_MASK_INVALID")
    refusal = await refused(update(["reference"]), stubs)
    assert refusal.limits["allowed"] == "display_name,labels"
    refusal = await refused(update(["display_name"], display_name="x" * 129), stubs)
    assert (refusal.reason, refusal.field) == ("DISPLAY_NAME_INVALID", "voice.display_name")
    refusal = await refused(update(["labels"], labels={"": "x"}), stubs)
    assert (refusal.reason, refusal.field) == ("LABELS_INVALID", "voice.labels")
    refusal = await refused(update(["labels"], etag="stale"), stubs)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.ABORTED, "ETAG_MISMATCH")
    refusal = await refused(update(["labels"], name="voices/low"), stubs)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "VOICE_BUILT_IN")
    refusal = await refused(
        lambda stubs: stubs.voices.DeleteVoice(voice_service_pb2.DeleteVoiceRequest(name="voices/low")), stubs
    )
    assert refusal.reason == "VOICE_BUILT_IN"
    refusal = await refused(
        lambda stubs: stubs.voices.ListVoices(voice_service_pb2.ListVoicesRequest(page_size=-1)), stubs
    )
    assert (refusal.code, refusal.reason, refusal.field) == (INVALID, "PAGE_SIZE_INVALID", "page_size")
    refusal = await refused(
        lambda stubs: stubs.voices.ListVoices(voice_service_pb2.ListVoicesRequest(page_token="zz")), stubs
    )
    assert (refusal.code, refusal.reason, refusal.field) == (INVALID, "PAGE_TOKEN_INVALID", "page_token")
