"""Emotion by weights over a real socket: told, heard, kept, scaled, and the same twice."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import grpc.aio
import numpy as np
import numpy.typing as npt
import pytest

from oncue.v1 import emotion_pb2, emotion_service_pb2, server_service_pb2, speech_service_pb2
from oncue_engine.options import EngineOptions
from oncue_server.app import serving
from oncue_server.settings import Settings

from .asking import TEXT, Stubs, refusal_of, stream_request, stubs_of, wav

HAS = ("happy", "angry", "sad", "afraid", "disgusted", "surprised", "calm")


def inline(strength: float | None = None, **weights: float) -> speech_service_pb2.UtteranceEmotion:
    source = emotion_pb2.EmotionSource(weights=emotion_pb2.EmotionWeights(**weights))
    return speech_service_pb2.UtteranceEmotion(inline=source, strength=strength)


async def spoken(stubs: Stubs, **utterance: Any) -> tuple[speech_service_pb2.SynthesisStarted, npt.NDArray[np.int16]]:
    length = speech_service_pb2.Length(tokens=40, policy=speech_service_pb2.LENGTH_POLICY_FORCE)
    events = [event async for event in stubs.speech.StreamSynthesize(stream_request(TEXT, length=length, **utterance))]
    audio = b"".join(event.audio.payload for event in events if event.HasField("audio"))
    return events[0].started, np.frombuffer(audio, dtype=np.int16)


async def test_the_server_tells_which_emotions_it_has(stubs: Stubs) -> None:
    info = (await stubs.server.GetServerInfo(server_service_pb2.GetServerInfoRequest())).info
    assert tuple(info.emotions) == HAS


async def test_weights_are_heard_and_told(stubs: Stubs) -> None:
    started, own = await spoken(stubs)
    assert not started.HasField("emotion_weights")
    heard = [own]
    for emotion in (inline(happy=0.75), inline(sad=0.75), inline(happy=0.75, sad=0.25), inline(0.5, happy=0.75)):
        started, samples = await spoken(stubs, emotion=emotion)
        assert started.emotion_weights == emotion.inline.weights
        _, same = await spoken(stubs, emotion=emotion)
        assert np.array_equal(samples, same)
        assert not any(np.array_equal(samples, other) for other in heard)
        heard.append(samples)
    _, none = await spoken(stubs, emotion=inline(0.0, happy=0.75))
    assert np.abs(none.astype(int) - own).max() <= 4  # 0 of an emotion is the voice's own, up to rounding


@pytest.mark.parametrize("name", HAS)
async def test_each_emotion_is_mixed_with_the_row_of_its_own(stubs: Stubs, name: str) -> None:
    _, samples = await spoken(stubs, emotion=inline(**{name: 1.0}))
    other = HAS[(HAS.index(name) + 1) % len(HAS)]
    _, others = await spoken(stubs, emotion=inline(**{other: 1.0}))
    assert not np.array_equal(samples, others)


async def test_registered_weights_are_as_good_as_inline_ones(stubs: Stubs) -> None:
    weights = inline(afraid=0.5, surprised=0.25).inline
    made = await stubs.emotions.CreateEmotion(
        emotion_service_pb2.CreateEmotionRequest(emotion_id="startled", source=weights)
    )
    assert made.weights == made.emotion.weights == weights.weights
    started, samples = await spoken(stubs, emotion=speech_service_pb2.UtteranceEmotion(name="emotions/startled"))
    assert started.emotion_weights == weights.weights
    _, inlined = await spoken(stubs, emotion=inline(afraid=0.5, surprised=0.25))
    assert np.array_equal(samples, inlined)


async def test_a_plan_tells_the_weights(stubs: Stubs) -> None:
    request = speech_service_pb2.PlanUtteranceRequest(
        utterance=speech_service_pb2.Utterance(text=TEXT, emotion=inline(sad=0.5))
    )
    assert (await stubs.speech.PlanUtterance(request)).emotion_weights == emotion_pb2.EmotionWeights(sad=0.5)


async def test_a_registered_emotion_that_another_model_had(tiny_model_dir: Path, tmp_path: Path) -> None:
    """The name is at fault, not a field that the request does not have."""
    bare = Path(shutil.copytree(tiny_model_dir, tmp_path / "bare"))
    (bare / "emotion_bank.safetensors").unlink()

    def settings(model: Path) -> Settings:
        return Settings(str(model), "127.0.0.1:0", tmp_path / "data", engine=EngineOptions(threads=1), drain_s=5)

    async with serving(settings(tiny_model_dir)) as server, grpc.aio.insecure_channel(server.address) as channel:
        await stubs_of(channel).emotions.CreateEmotion(
            emotion_service_pb2.CreateEmotionRequest(emotion_id="glad", source=inline(happy=0.5).inline)
        )
    async with serving(settings(bare)) as server, grpc.aio.insecure_channel(server.address) as channel:
        assert list(server.info.emotions) == []
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await spoken(stubs_of(channel), emotion=speech_service_pb2.UtteranceEmotion(name="emotions/glad"))
    refusal = refusal_of(caught.value)
    assert (refusal.reason, refusal.field) == ("EMOTION_WEIGHTS_UNSUPPORTED", "utterance.emotion.name")


async def test_bias_and_cap_are_told_and_can_be_replayed(stubs: Stubs) -> None:
    asked = inline(0.7, happy=0.7, sad=0.6, calm=0.9)
    heard = []
    for options in ({"apply_bias": True}, {"cap_sum": True}, {"apply_bias": True, "cap_sum": True}):
        emotion = speech_service_pb2.UtteranceEmotion(inline=asked.inline, strength=0.7, **options)
        started, samples = await spoken(stubs, emotion=emotion)
        weights = {field.name: value for field, value in started.emotion_weights.ListFields()}
        if "cap_sum" in options:
            assert sum(weights.values()) == pytest.approx(0.8)
        if "apply_bias" in options:
            assert weights["calm"] / weights["sad"] == pytest.approx(0.9 * 0.5625 / 0.6)
        _, again = await spoken(stubs, emotion=inline(0.7, **weights))
        assert np.array_equal(samples, again)
        request = speech_service_pb2.PlanUtteranceRequest(
            utterance=speech_service_pb2.Utterance(text=TEXT, emotion=emotion)
        )
        assert (await stubs.speech.PlanUtterance(request)).emotion_weights == started.emotion_weights
        assert not any(np.array_equal(samples, other) for other in heard)
        heard.append(samples)


async def test_rows_by_chance_come_from_the_seed(stubs: Stubs) -> None:
    source = inline(happy=0.75, sad=0.25).inline
    by_chance = speech_service_pb2.UtteranceEmotion(inline=source, random_style=True)
    nearest = speech_service_pb2.UtteranceEmotion(inline=source)
    for seed in (1, 2):
        _, first = await spoken(stubs, emotion=by_chance, seed=seed)
        _, plain = await spoken(stubs, emotion=nearest, seed=seed)
        _, again = await spoken(stubs, emotion=by_chance, seed=seed)
        assert np.array_equal(first, again)
        assert not np.array_equal(first, plain)


async def test_strength_cuts_the_decimals_that_were_meant(stubs: Stubs) -> None:
    """As a 32-bit number 0.7 is a little less, and half of that would be cut to 0.3499."""
    _, half = await spoken(stubs, emotion=inline(0.5, happy=0.7))
    _, whole = await spoken(stubs, emotion=inline(happy=0.35))
    assert np.array_equal(half, whole)


@pytest.mark.parametrize("option", ["apply_bias", "cap_sum", "random_style"])
async def test_an_emotion_by_a_clip_has_no_weights_to_change(stubs: Stubs, option: str) -> None:
    source = emotion_pb2.EmotionSource(audio=wav(2.0))
    for emotion in (
        speech_service_pb2.UtteranceEmotion(inline=source, **{option: True}),
        await _registered_clip(stubs, option),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await spoken(stubs, emotion=emotion)
        refusal = refusal_of(caught.value)
        assert (refusal.code, refusal.reason) == (
            grpc.StatusCode.INVALID_ARGUMENT,
            "EMOTION_OPTION_WITHOUT_WEIGHTS",
        )
        assert refusal.field == f"utterance.emotion.{option}"


async def _registered_clip(stubs: Stubs, option: str) -> speech_service_pb2.UtteranceEmotion:
    id_ = f"clip-{option.replace('_', '-')}"
    await stubs.emotions.CreateEmotion(
        emotion_service_pb2.CreateEmotionRequest(emotion_id=id_, source=emotion_pb2.EmotionSource(audio=wav(2.0)))
    )
    return speech_service_pb2.UtteranceEmotion(name=f"emotions/{id_}", **{option: True})
