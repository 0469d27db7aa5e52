"""A model of five languages behind a real server."""

from __future__ import annotations

from collections.abc import AsyncIterator

import grpc.aio
import pytest

from oncue.v1 import server_service_pb2, speech_service_pb2, voice_service_pb2
from oncue_engine.checkpoints.random_folder import make_random_public_25
from oncue_engine.options import EngineOptions
from oncue_server.app import serving
from oncue_server.settings import Settings

from .asking import Stubs, refusal_of, stubs_of, wav


@pytest.fixture(scope="module")
async def newer(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stubs]:
    settings = Settings(
        model=str(make_random_public_25(tmp_path_factory.mktemp("public") / "newer", "small")),
        address="127.0.0.1:0",
        data_dir=tmp_path_factory.mktemp("data"),
        requests_per_second=0,
        drain_s=5,
        engine=EngineOptions(threads=1),
    )
    async with serving(settings) as running, grpc.aio.insecure_channel(running.address) as channel:
        stubs = stubs_of(channel)
        await stubs.voices.CreateVoice(
            voice_service_pb2.CreateVoiceRequest(voice_id="buzz", voice=voice_service_pb2.Voice(), audio=wav(3.0))
        )
        yield stubs


def utterance(text: str, language: str, samples: int) -> speech_service_pb2.Utterance:
    length = speech_service_pb2.Length(samples=samples, policy=speech_service_pb2.LENGTH_POLICY_FORCE)
    return speech_service_pb2.Utterance(text=text, voice="voices/buzz", language=language, length=length, seed=7)


async def test_every_language_is_spoken_in_the_length_asked(newer: Stubs) -> None:
    info = (await newer.server.GetServerInfo(server_service_pb2.GetServerInfoRequest())).info
    assert list(info.languages) == ["zh", "en", "ja", "es", "ar"]
    heard = set[bytes]()
    for language in info.languages:
        for tag in (language, f"{language}-001"):
            answer = await newer.speech.Synthesize(
                speech_service_pb2.SynthesizeRequest(utterance=utterance("OK 25", tag, 22_051))
            )
            assert answer.finished.total_samples == 22_051 == len(answer.audio) // 2
            heard.add(answer.audio)
    assert len(heard) == len(info.languages)


async def test_another_language_is_refused_with_the_list(newer: Stubs) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await newer.speech.PlanUtterance(
            speech_service_pb2.PlanUtteranceRequest(utterance=utterance("Bonjour", "fr", 22_050))
        )
    refusal = refusal_of(caught.value)
    assert (refusal.reason, refusal.field) == ("LANGUAGE_UNSUPPORTED", "utterance.language")
    assert refusal.limits == {"supported": "zh,en,ja,es,ar"}
