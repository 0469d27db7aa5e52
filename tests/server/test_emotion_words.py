"""Emotion in words over a real socket: understood once, told, kept as words, and never in the way of audio."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from oncue.v1 import emotion_pb2, emotion_service_pb2, server_service_pb2, speech_service_pb2
from oncue_engine.options import EngineOptions
from oncue_server.app import serving
from oncue_server.settings import Settings

from .asking import TEXT, Stubs, refusal_of, stream_request, stubs_of

WORDS = "tired, but proud"


@pytest.fixture(scope="module")
async def worded(tiny_words_model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stubs]:
    """A server whose model takes words."""
    data = tmp_path_factory.mktemp("worded")
    settings = Settings(
        str(tiny_words_model_dir),
        "127.0.0.1:0",
        data,
        engine=EngineOptions(threads=1),
        requests_per_second=0,
        drain_s=5,
    )
    async with serving(settings) as server, grpc.aio.insecure_channel(server.address) as channel:
        yield stubs_of(channel)


def inline(words: str, strength: float | None = None) -> speech_service_pb2.UtteranceEmotion:
    return speech_service_pb2.UtteranceEmotion(inline=emotion_pb2.EmotionSource(words=words), strength=strength)


def named(weights: emotion_pb2.EmotionWeights) -> dict[str, float]:
    return {field.name: value for field, value in weights.ListFields()}


async def spoken(stubs: Stubs, **utterance: Any) -> tuple[speech_service_pb2.SynthesisStarted, bytes]:
    length = speech_service_pb2.Length(tokens=40, policy=speech_service_pb2.LENGTH_POLICY_FORCE)
    events = [event async for event in stubs.speech.StreamSynthesize(stream_request(TEXT, length=length, **utterance))]
    return events[0].started, b"".join(event.audio.payload for event in events if event.HasField("audio"))


async def test_words_are_spoken_as_the_weights_that_are_told(worded: Stubs) -> None:
    info = (await worded.server.GetServerInfo(server_service_pb2.GetServerInfoRequest())).info
    assert info.emotion_from_words
    started, audio = await spoken(worded, emotion=inline(WORDS, 0.75))
    weights = started.emotion_weights
    assert sum(named(weights).values()) == pytest.approx(1.0, abs=1e-5)
    assert set(named(weights)) <= set(info.emotions)
    assert started.emotion_strength == 0.75
    source = emotion_pb2.EmotionSource(weights=weights)
    _, same = await spoken(worded, emotion=speech_service_pb2.UtteranceEmotion(inline=source, strength=0.75))
    _, again = await spoken(worded, emotion=inline(f"  {WORDS}\n", 0.75))
    assert audio == same == again
    _, other = await spoken(worded, emotion=inline("sad", 0.75))
    assert audio != other
    request = speech_service_pb2.PlanUtteranceRequest(
        utterance=speech_service_pb2.Utterance(text=TEXT, emotion=inline(WORDS))
    )
    assert (await worded.speech.PlanUtterance(request)).emotion_weights == weights


async def test_an_emotion_is_registered_in_words(worded: Stubs) -> None:
    source = emotion_pb2.EmotionSource(words=WORDS)
    made = await worded.emotions.CreateEmotion(
        emotion_service_pb2.CreateEmotionRequest(emotion_id="after-the-race", source=source)
    )
    assert made.emotion.words == WORDS and made.prompt_encodes == 0
    assert (await worded.emotions.ListEmotions(emotion_service_pb2.ListEmotionsRequest())).emotions == [made.emotion]
    started, audio = await spoken(worded, emotion=speech_service_pb2.UtteranceEmotion(name=made.emotion.name))
    assert started.emotion_weights == made.weights
    _, inlined = await spoken(worded, emotion=inline(WORDS))
    assert audio == inlined


@pytest.mark.parametrize("words", ["", "   ", "x" * 201])
async def test_words_that_say_nothing_or_too_much(worded: Stubs, words: str) -> None:
    async def spoken_so() -> None:
        await spoken(worded, emotion=inline(words))

    async def registered() -> None:
        source = emotion_pb2.EmotionSource(words=words)
        await worded.emotions.CreateEmotion(
            emotion_service_pb2.CreateEmotionRequest(emotion_id="nothing", source=source)
        )

    calls: tuple[tuple[Callable[[], Awaitable[None]], str], ...] = (
        (spoken_so, "utterance.emotion.inline.words"),
        (registered, "source.words"),
    )
    for call, field in calls:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call()
        refusal = refusal_of(caught.value)
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "EMOTION_WORDS_INVALID")
        assert refusal.field == field
        assert refusal.limits == {"min_chars": "1", "max_chars": "200"}
