"""Streams over a real socket: contiguous, the same as the unary answer, resumable, and ended with their caller."""

from __future__ import annotations

import asyncio
import io
import time
from typing import Any

import grpc.aio
import numpy as np
import pytest
import soundfile

from oncue.v1 import audio_pb2, emotion_pb2, server_service_pb2, speech_service_pb2
from oncue_server.app import RunningServer

from .asking import LONG_TEXT, TEXT, Stubs, stream_request, until, wav

Event = speech_service_pb2.StreamSynthesizeResponse


async def collect(stubs: Stubs, request: Any) -> list[Event]:
    return [event async for event in stubs.speech.StreamSynthesize(request)]


def audio_of(events: list[Event]) -> list[speech_service_pb2.SynthesisAudio]:
    return [event.audio for event in events if event.HasField("audio")]


def payload_of(events: list[Event]) -> bytes:
    return b"".join(audio.payload for audio in audio_of(events))


async def test_a_stream_is_started_then_audio_without_gaps_then_finished(stubs: Stubs) -> None:
    events = await collect(stubs, stream_request(LONG_TEXT))
    kinds = [event.WhichOneof("event") for event in events]
    assert kinds[0] == "started" and kinds[-1] == "finished"
    assert set(kinds[1:-1]) == {"audio"}
    audio, finished = audio_of(events), events[-1].finished
    assert [each.sequence for each in audio] == list(range(len(audio)))
    position = 0
    for each in audio:
        assert each.first_sample == position
        assert len(each.payload) == 2 * each.num_samples > 0
        position += each.num_samples
    assert finished.total_samples == position
    codes = [each.codes_generated for each in audio]
    assert codes == sorted(codes) and codes[-1] <= finished.total_codes
    assert finished.reason == speech_service_pb2.FINISH_REASON_COMPLETE
    assert finished.seed == events[0].started.seed == 7
    assert 0 < finished.time_to_first_audio.ToNanoseconds() <= finished.generation_time.ToNanoseconds()


async def test_audio_comes_while_later_tokens_are_still_to_be_generated(stubs: Stubs) -> None:
    events = await collect(stubs, stream_request(LONG_TEXT))
    assert audio_of(events)[0].codes_generated < events[-1].finished.total_codes / 2


async def test_started_reports_every_setting_with_its_default(stubs: Stubs, server: RunningServer) -> None:
    request = speech_service_pb2.StreamSynthesizeRequest(utterance=speech_service_pb2.Utterance(text=TEXT))
    stream = stubs.speech.StreamSynthesize(request)
    started = (await stream.read()).started
    stream.cancel()
    assert started.voice == server.info.default_voice == "voices/low"
    assert started.format == audio_pb2.AudioFormat(encoding=audio_pb2.AUDIO_ENCODING_PCM_S16, sample_rate_hz=16000)
    assert all(started.sampling.HasField(name) for name in ("temperature", "top_k", "top_p", "repetition_penalty"))
    assert started.pacing.mode == speech_service_pb2.PACING_MODE_REALTIME
    assert started.pacing.max_lead_samples == 2 * 16000
    assert not started.HasField("planned_samples") and not started.HasField("emotion_strength")
    assert started.num_segments >= 1
    assert started.fingerprint == server.info.fingerprint


async def test_the_server_picks_another_seed_each_time_and_reports_it(stubs: Stubs) -> None:
    request = stream_request()
    request.utterance.ClearField("seed")
    first, second = await collect(stubs, request), await collect(stubs, request)
    assert first[0].started.seed != second[0].started.seed
    request.utterance.seed = first[0].started.seed
    assert payload_of(await collect(stubs, request)) == payload_of(first)


@pytest.mark.parametrize("rate_hz", [8000, 16000, 44100, 48000])
@pytest.mark.parametrize("encoding", [audio_pb2.AUDIO_ENCODING_PCM_S16, audio_pb2.AUDIO_ENCODING_PCM_F32])
async def test_the_unary_answer_is_the_stream_to_the_bit(stubs: Stubs, rate_hz: int, encoding: Any) -> None:
    fmt = audio_pb2.AudioFormat(encoding=encoding, sample_rate_hz=rate_hz)
    request = stream_request(format=fmt, unpaced=rate_hz != 8000)
    events = await collect(stubs, request)
    answer = await stubs.speech.Synthesize(speech_service_pb2.SynthesizeRequest(utterance=request.utterance))
    assert answer.audio == payload_of(events)
    assert answer.finished.total_samples == events[-1].finished.total_samples
    assert answer.started.format == fmt
    width = 4 if encoding == audio_pb2.AUDIO_ENCODING_PCM_F32 else 2
    assert len(answer.audio) == width * answer.finished.total_samples > 0


async def test_sixteen_bits_are_the_floats_rounded(stubs: Stubs) -> None:
    floats = stream_request(format=audio_pb2.AudioFormat(encoding=audio_pb2.AUDIO_ENCODING_PCM_F32))
    samples = np.frombuffer(payload_of(await collect(stubs, floats)), dtype="<f4")
    integers = np.frombuffer(payload_of(await collect(stubs, stream_request())), dtype="<i2")
    assert np.array_equal(np.clip(np.rint(samples.astype(np.float64) * 32767), -32768, 32767), integers)
    assert np.abs(integers).max() > 10, "the tiny model is not silent"


async def test_a_wav_answer_is_a_wav_file_of_the_same_samples(stubs: Stubs) -> None:
    fmt = audio_pb2.AudioFormat(encoding=audio_pb2.AUDIO_ENCODING_WAV, sample_rate_hz=22050)
    utterance = speech_service_pb2.Utterance(text=TEXT, seed=7, format=fmt)
    answer = await stubs.speech.Synthesize(speech_service_pb2.SynthesizeRequest(utterance=utterance))
    samples, rate_hz = soundfile.read(io.BytesIO(answer.audio), dtype="int16")
    assert (rate_hz, len(samples)) == (22050, answer.finished.total_samples)
    same = stream_request(format=audio_pb2.AudioFormat(sample_rate_hz=22050))
    assert samples.tobytes() == payload_of(await collect(stubs, same))


@pytest.mark.parametrize("rate_hz", [16000, 48000])
async def test_a_length_in_samples_is_met_to_the_sample(stubs: Stubs, rate_hz: int) -> None:
    fmt = audio_pb2.AudioFormat(sample_rate_hz=rate_hz)
    plan = await stubs.speech.PlanUtterance(
        speech_service_pb2.PlanUtteranceRequest(utterance=speech_service_pb2.Utterance(text=TEXT, format=fmt))
    )
    assert plan.sample_rate_hz == rate_hz
    for wanted in (plan.min_samples, plan.natural_samples + 1, plan.max_samples):
        events = await collect(stubs, stream_request(format=fmt, length=speech_service_pb2.Length(samples=wanted)))
        assert events[0].started.planned_samples == wanted
        assert events[-1].finished.total_samples == wanted
        assert len(payload_of(events)) == 2 * wanted


async def test_a_length_in_tokens_is_met_to_the_token(stubs: Stubs) -> None:
    for tokens in (20, 33):
        force = speech_service_pb2.Length(tokens=tokens, policy=speech_service_pb2.LENGTH_POLICY_FORCE)
        events = await collect(stubs, stream_request(length=force))
        assert events[-1].finished.total_codes == tokens


async def test_a_broken_stream_resumes_where_it_broke(stubs: Stubs) -> None:
    whole = await collect(stubs, stream_request(LONG_TEXT))
    start = audio_of(whole)[1].first_sample + 123
    rest = await collect(stubs, stream_request(LONG_TEXT, start_sample=start))
    assert rest[0].started.start_sample == start
    assert (audio_of(rest)[0].first_sample, audio_of(rest)[0].sequence) == (start, 0)
    assert payload_of(rest) == payload_of(whole)[2 * start :]
    assert rest[-1].finished.total_samples == whole[-1].finished.total_samples
    beyond = await collect(stubs, stream_request(LONG_TEXT, start_sample=whole[-1].finished.total_samples + 1))
    assert [event.WhichOneof("event") for event in beyond] == ["started", "finished"]


async def test_other_traffic_changes_nothing_that_can_be_heard(stubs: Stubs) -> None:
    """The same tokens and the same noise; sums inside a batch may be rounded in another order."""
    alone = await collect(stubs, stream_request())
    together = await asyncio.gather(*(collect(stubs, stream_request(seed=seed)) for seed in (7, 8, 9, 7)))
    want = np.frombuffer(payload_of(alone), dtype="<i2").astype(np.int32)
    for same in (together[0], together[3]):
        got = np.frombuffer(payload_of(same), dtype="<i2")
        assert same[-1].finished.total_codes == alone[-1].finished.total_codes
        assert len(got) == len(want)
        assert np.abs(got - want).max() <= 0.01 * np.abs(want).max()
    assert payload_of(together[1]) != payload_of(alone)


async def test_the_metadata_does_not_wait_for_the_audio(stubs: Stubs) -> None:
    """An emotion that must be encoded first keeps the audio away for a while, not the headers."""
    stream = stubs.speech.StreamSynthesize(stream_request(LONG_TEXT, unpaced=False))
    await asyncio.wait_for(stream.initial_metadata(), 10)
    assert (await stream.read()).HasField("started")
    stream.cancel()


async def test_an_inline_emotion_is_used_and_encoded_once(stubs: Stubs) -> None:
    clip = speech_service_pb2.UtteranceEmotion(
        inline=emotion_pb2.EmotionSource(audio=wav(2.0, pitch_hz=320)), strength=0.75
    )
    first = await collect(stubs, stream_request(emotion=clip))
    second = await collect(stubs, stream_request(emotion=clip))
    assert first[0].started.emotion_strength == 0.75
    assert first[-1].finished.prompt_encodes >= 1
    assert second[-1].finished.prompt_encodes == 0
    assert payload_of(first) == payload_of(second)
    assert payload_of(first) != payload_of(await collect(stubs, stream_request()))


async def test_plan_says_how_the_text_is_read(stubs: Stubs) -> None:
    plan = await stubs.speech.PlanUtterance(
        speech_service_pb2.PlanUtteranceRequest(utterance=speech_service_pb2.Utterance(text=LONG_TEXT))
    )
    assert plan.min_samples <= plan.comfortable_min_samples <= plan.natural_samples
    assert plan.natural_samples <= plan.comfortable_max_samples <= plan.max_samples
    assert plan.min_tokens <= plan.natural_tokens <= plan.max_tokens
    assert sum(segment.natural_tokens for segment in plan.segments) == plan.natural_tokens
    for segment in plan.segments:
        assert LONG_TEXT[segment.char_begin : segment.char_end].strip()
        assert segment.num_text_tokens >= 1 and segment.text
    assert plan.segments[0].char_begin == 0 and plan.segments[-1].char_end == len(LONG_TEXT)


# Callers who go, and callers who stall


def decode_calls(server: RunningServer) -> int:
    return sum(stage.calls for name, stage in server.engine.stage_times().items() if name == "decode")


@pytest.mark.parametrize("how", ["cancel", "close", "deadline"])
async def test_work_for_a_caller_who_has_gone_stops_within_one_chunk(
    server: RunningServer, stubs: Stubs, how: str
) -> None:
    await until(lambda: server.engine.live_utterances == 0, 10)
    text = " ".join([LONG_TEXT] * 12)
    channel = grpc.aio.insecure_channel(server.address)
    method = channel.unary_stream(
        "/oncue.v1.SpeechService/StreamSynthesize",
        request_serializer=speech_service_pb2.StreamSynthesizeRequest.SerializeToString,
        response_deserializer=Event.FromString,
    )
    request = stream_request(text, unpaced=False)
    request.pacing.max_lead_samples = 4000
    stream = method(request, timeout=8.0 if how == "deadline" else None)
    while not (await stream.read()).HasField("audio"):
        pass
    assert server.engine.live_utterances == 1
    if how == "cancel":
        stream.cancel()
    elif how == "close":
        await channel.close()
    await until(lambda: server.engine.live_utterances == 0, 10.0 if how == "deadline" else 3.0)
    after = decode_calls(server)
    await asyncio.sleep(0.3)
    assert decode_calls(server) == after, "no token is drawn for nobody"
    await channel.close()
    assert audio_of(await collect(stubs, stream_request()))


async def test_a_caller_who_stalls_stops_the_work_and_a_cancel_then_ends_it(server: RunningServer) -> None:
    """The transport takes a window's worth; what is beyond it is not generated, although the clock runs on."""
    await until(lambda: server.engine.live_utterances == 0, 10)
    options = [("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 1024)]
    fmt = audio_pb2.AudioFormat(encoding=audio_pb2.AUDIO_ENCODING_PCM_F32, sample_rate_hz=48000)
    request = stream_request(" ".join([LONG_TEXT] * 6), format=fmt, unpaced=False)
    request.pacing.max_lead_samples = 12000
    async with grpc.aio.insecure_channel(server.address, options=options) as channel:
        method = channel.unary_stream(
            "/oncue.v1.SpeechService/StreamSynthesize",
            request_serializer=speech_service_pb2.StreamSynthesizeRequest.SerializeToString,
            response_deserializer=Event.FromString,
        )
        stream = method(request)
        assert (await stream.read()).HasField("started")
        before, still = -1, 0
        began = time.monotonic()
        while still < 4:
            assert time.monotonic() - began < 30, "the work goes on although nobody takes the audio"
            await asyncio.sleep(0.5)
            now = decode_calls(server)
            still = still + 1 if now == before else 0
            before = now
        assert server.engine.live_utterances == 1
        stream.cancel()
        await until(lambda: server.engine.live_utterances == 0, 3.0)


async def test_a_unary_caller_who_goes_ends_the_work_too(server: RunningServer, stubs: Stubs) -> None:
    await until(lambda: server.engine.live_utterances == 0, 10)
    utterance = speech_service_pb2.Utterance(text=" ".join([LONG_TEXT] * 4))
    call = stubs.speech.Synthesize(speech_service_pb2.SynthesizeRequest(utterance=utterance))
    waiting = asyncio.ensure_future(call)
    await until(lambda: server.engine.live_utterances == 1, 10)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await until(lambda: server.engine.live_utterances == 0, 3.0)
    assert (await stubs.server.GetServerInfo(server_service_pb2.GetServerInfoRequest())).info.model
