"""A server whose model is of the second kind: the same contract, and the truth about what it has not."""

from __future__ import annotations

from collections.abc import AsyncIterator

import grpc.aio
import pytest

from oncue.v1 import audio_pb2, emotion_pb2, server_service_pb2, speech_service_pb2
from oncue_engine.checkpoints.random_cosyvoice2 import make_random_cosyvoice2
from oncue_engine.options import EngineOptions
from oncue_server.app import serving
from oncue_server.settings import Settings

from .asking import LONG_TEXT, TEXT, Stubs, refusal_of, stream_request, stubs_of, wav

RATE_HZ = 48_000
FORMAT = audio_pb2.AudioFormat(encoding=audio_pb2.AUDIO_ENCODING_PCM_S16, sample_rate_hz=RATE_HZ)


@pytest.fixture(scope="module")
async def stubs(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stubs]:
    folder = tmp_path_factory.mktemp("second")
    settings = Settings(
        model=str(make_random_cosyvoice2(folder / "model")),
        address="127.0.0.1:0",
        data_dir=folder / "data",
        requests_per_second=0,
        drain_s=5,
        engine=EngineOptions(threads=1),
    )
    async with serving(settings) as running, grpc.aio.insecure_channel(running.address) as channel:
        yield stubs_of(channel)


async def test_it_streams_and_the_unary_answer_is_the_stream(stubs: Stubs) -> None:
    samples = 5 * RATE_HZ + 7
    request = stream_request(LONG_TEXT, format=FORMAT, length=speech_service_pb2.Length(samples=samples))
    events = [event async for event in stubs.speech.StreamSynthesize(request)]
    kinds = [event.WhichOneof("event") for event in events]
    assert kinds[0] == "started" and kinds[-1] == "finished" and set(kinds[1:-1]) == {"audio"}
    audio = [event.audio for event in events[1:-1]]
    assert len(audio) > 2 and audio[0].codes_generated < events[-1].finished.total_codes / 2
    assert sum(each.num_samples for each in audio) == events[-1].finished.total_samples == samples
    answer = await stubs.speech.Synthesize(speech_service_pb2.SynthesizeRequest(utterance=request.utterance))
    assert answer.audio == b"".join(each.payload for each in audio)


async def test_the_server_says_what_it_has(stubs: Stubs) -> None:
    info = (await stubs.server.GetServerInfo(server_service_pb2.GetServerInfoRequest())).info
    assert (info.native_rate_hz, info.token_rate_hz) == (24_000, 25)
    assert list(info.languages) == ["zh", "en"]
    assert list(info.emotions) == [] and not info.emotion_from_words and not info.emotion_from_clips
    assert info.duration_control == server_service_pb2.DURATION_CONTROL_CONSTRUCTED


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (emotion_pb2.EmotionSource(weights=emotion_pb2.EmotionWeights(happy=0.5)), "EMOTION_UNSUPPORTED"),
        (emotion_pb2.EmotionSource(words="merry"), "EMOTION_WORDS_UNSUPPORTED"),
        (emotion_pb2.EmotionSource(audio=wav(2.0)), "EMOTION_CLIPS_UNSUPPORTED"),
    ],
)
async def test_an_emotion_is_refused_with_a_reason(
    stubs: Stubs, source: emotion_pb2.EmotionSource, reason: str
) -> None:
    request = stream_request(TEXT, emotion=speech_service_pb2.UtteranceEmotion(inline=source))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stubs.speech.StreamSynthesize(request).read()
    refusal = refusal_of(caught.value)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNIMPLEMENTED, reason)
