"""Emotion in words through a public model's Qwen, over a real socket: seconds of work that hold up nobody."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from google.protobuf.duration_pb2 import Duration

from oncue.v1 import emotion_pb2, emotion_service_pb2, server_service_pb2, speech_service_pb2
from oncue_engine.options import EngineOptions
from oncue_engine.words.qwen_words import QwenWords
from oncue_server.app import RunningServer, serving
from oncue_server.settings import Settings

from .asking import TEXT, Stubs, refusal_of, stream_request, stubs_of

WORDS = "tired, but proud"
FOUND = {"happy": 0.3, "melancholic": 0.7, "calm": 0.1}


@asynccontextmanager
async def running(model: Path, data: Path) -> AsyncIterator[tuple[RunningServer, Stubs]]:
    settings = Settings(
        str(model), "127.0.0.1:0", data, engine=EngineOptions(threads=1), requests_per_second=0, drain_s=5
    )
    async with serving(settings) as server, grpc.aio.insecure_channel(server.address) as channel:
        yield server, stubs_of(channel)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("public-words")


@pytest.fixture(scope="module")
async def public(public_words_model_dir: Path, data: Path) -> AsyncIterator[tuple[RunningServer, Stubs]]:
    async with running(public_words_model_dir, data) as served:
        yield served
        pid = qwen_of(served[0]).pid
        assert pid is not None
    assert not Path(f"/proc/{pid}").exists()


def qwen_of(server: RunningServer) -> QwenWords:
    qwen = server.engine._model.emotion_words
    assert isinstance(qwen, QwenWords)
    return qwen


def inline(words: str, **options: Any) -> speech_service_pb2.UtteranceEmotion:
    return speech_service_pb2.UtteranceEmotion(inline=emotion_pb2.EmotionSource(words=words), **options)


def named(weights: emotion_pb2.EmotionWeights) -> dict[str, float]:
    return {field.name: pytest.approx(value) for field, value in weights.ListFields()}


async def spoken(stubs: Stubs, **utterance: Any) -> tuple[speech_service_pb2.SynthesisStarted, bytes]:
    length = speech_service_pb2.Length(tokens=40, policy=speech_service_pb2.LENGTH_POLICY_FORCE)
    events = [event async for event in stubs.speech.StreamSynthesize(stream_request(TEXT, length=length, **utterance))]
    return events[0].started, b"".join(event.audio.payload for event in events if event.HasField("audio"))


async def planned(stubs: Stubs, words: str) -> emotion_pb2.EmotionWeights:
    utterance = speech_service_pb2.Utterance(text=TEXT, emotion=inline(words))
    return (
        await stubs.speech.PlanUtterance(speech_service_pb2.PlanUtteranceRequest(utterance=utterance))
    ).emotion_weights


@pytest.mark.parametrize("options", [{}, {"strength": 0.5}, {"strength": 0.35, "apply_bias": True, "cap_sum": True}])
async def test_speech_from_words_is_speech_from_the_weights_that_are_told(
    public: tuple[RunningServer, Stubs], options: dict[str, Any]
) -> None:
    _, stubs = public
    info = (await stubs.server.GetServerInfo(server_service_pb2.GetServerInfoRequest())).info
    assert info.emotion_from_words and len(info.emotions) == 8
    started, audio = await spoken(stubs, emotion=inline(WORDS, **options))
    if "apply_bias" not in options:
        assert FOUND == named(started.emotion_weights)
    source = emotion_pb2.EmotionSource(weights=started.emotion_weights)
    again = speech_service_pb2.UtteranceEmotion(inline=source, strength=options.get("strength"))
    _, same = await spoken(stubs, emotion=again)
    assert audio == same
    _, own = await spoken(stubs)
    assert audio != own


async def test_every_call_tells_the_same_weights(public: tuple[RunningServer, Stubs]) -> None:
    _, stubs = public
    made = await stubs.emotions.CreateEmotion(
        emotion_service_pb2.CreateEmotionRequest(
            emotion_id="proud", source=emotion_pb2.EmotionSource(words=f" {WORDS} ")
        )
    )
    assert FOUND == named(made.weights)
    assert await planned(stubs, WORDS) == made.weights
    started, _ = await spoken(stubs, emotion=speech_service_pb2.UtteranceEmotion(name=made.emotion.name))
    assert started.emotion_weights == made.weights


async def test_an_answer_that_cannot_be_read(public: tuple[RunningServer, Stubs]) -> None:
    _, stubs = public
    create = emotion_service_pb2.CreateEmotionRequest(
        emotion_id="rubbish", source=emotion_pb2.EmotionSource(words="rubbish")
    )
    for call, field in (
        (spoken(stubs, emotion=inline("rubbish")), "utterance.emotion.inline.words"),
        (stubs.emotions.CreateEmotion(create), "source.words"),
        (planned(stubs, "rubbish"), "utterance.emotion.inline.words"),
    ):
        with pytest.raises(grpc.aio.AioRpcError, match="I will not say") as caught:
            await call
        refusal = refusal_of(caught.value)
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.INTERNAL, "EMOTION_WORDS_UNREADABLE")
        assert refusal.field == field


async def test_a_restart_replays_the_same_and_asks_nobody(
    public: tuple[RunningServer, Stubs], public_words_model_dir: Path, data: Path, tmp_path: Path
) -> None:
    started, audio = await spoken(public[1], emotion=inline(WORDS))
    shutil.copytree(data / "emotion_words", tmp_path / "emotion_words")
    async with running(public_words_model_dir, tmp_path) as (server, stubs):
        again, same = await spoken(stubs, emotion=inline(WORDS))
        assert (again.emotion_weights, same) == (started.emotion_weights, audio)
        assert qwen_of(server).pid is None


async def test_a_folder_that_lost_its_qwen_takes_no_words(public_words_model_dir: Path, tmp_path: Path) -> None:
    bare = Path(shutil.copytree(public_words_model_dir, tmp_path / "bare"))
    shutil.rmtree(bare / "qwen0.6bemo4-merge")
    async with running(bare, tmp_path / "data") as (server, stubs):
        assert not server.info.emotion_from_words
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await spoken(stubs, emotion=inline(WORDS))
    refusal = refusal_of(caught.value)
    assert (refusal.reason, refusal.field) == ("EMOTION_WORDS_UNSUPPORTED", "utterance.emotion.inline.words")


async def test_audio_and_every_other_call_go_on_while_words_wait(public: tuple[RunningServer, Stubs]) -> None:
    server, stubs = public
    await planned(stubs, WORDS)
    qwen = qwen_of(server)
    if qwen.pid is None:
        await asyncio.to_thread(qwen.weigh, "gloomy")
    pid = qwen.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)  # a model that takes as long as it likes
    try:
        # More than the event loop has threads for work that blocks.
        waiting = [asyncio.ensure_future(planned(stubs, f"new words {number}")) for number in range(48)]
        await asyncio.sleep(0.3)
        _, audio = await asyncio.wait_for(spoken(stubs), 30)
        assert audio
        assert FOUND == named(await asyncio.wait_for(planned(stubs, WORDS), 30))  # known words do not queue either
        late = stream_request(TEXT, emotion=inline("other words"))
        late.scheduling.start_deadline.CopyFrom(Duration(nanos=300_000_000))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            _ = [event async for event in stubs.speech.StreamSynthesize(late)]
        refusal = refusal_of(caught.value)
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "OVERLOADED")
        assert refusal.field == "scheduling.start_deadline" and refusal.retry_s is not None
        assert not any(call.done() for call in waiting)
        for call in waiting:
            call.cancel()
    finally:
        os.kill(pid, signal.SIGCONT)
    await asyncio.wait(waiting)
