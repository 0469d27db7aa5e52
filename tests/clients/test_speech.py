"""Speech through the SDK, on a real server with the tiny model."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

import oncue

TEXT = "Please close the window before you leave."
LONG_TEXT = " ".join([TEXT] * 12)
UNPACED = oncue.Pacing(realtime=False)


async def test_chunks_follow_each_other(client: oncue.Client, voice: oncue.Voice) -> None:
    stream = client.stream(TEXT, voice=voice, seed=3, pacing=UNPACED)
    end_sample = 0
    codes = 0
    chunks = [chunk async for chunk in stream]
    for i, chunk in enumerate(chunks):
        assert (chunk.sequence, chunk.first_sample) == (i, end_sample)
        assert chunk.samples.shape == (chunk.num_samples,)
        assert chunk.num_samples > 0
        assert chunk.codes_generated >= codes
        end_sample, codes = end_sample + chunk.num_samples, chunk.codes_generated
    assert stream.started is not None and stream.stats is not None
    assert (stream.started.voice, stream.started.seed, stream.stats.seed) == (voice.name, 3, 3)
    assert stream.started.fingerprint == (await client.info()).fingerprint
    assert stream.stats.total_samples == end_sample
    assert stream.stats.total_codes >= codes
    assert np.abs(np.concatenate([chunk.samples for chunk in chunks])).max() > 0


async def test_unary_answer_is_the_stream(client: oncue.Client, voice: oncue.Voice) -> None:
    stream = client.stream(TEXT, voice=voice, seed=5, pacing=UNPACED)
    streamed = b"".join([chunk.payload async for chunk in stream])
    clip = await client.synthesize(TEXT, voice=voice, seed=5)
    assert clip.payload == streamed
    assert clip.stats.total_samples * 2 == len(streamed)


async def test_float_samples_round_to_the_16_bit_ones(client: oncue.Client, voice: oncue.Voice) -> None:
    integers = await client.synthesize(TEXT, voice=voice, seed=5)
    floats = await client.synthesize(TEXT, voice=voice, seed=5, encoding="pcm_f32")
    assert floats.pcm16 == integers.pcm16
    assert len(floats.payload) == 2 * len(integers.payload)


@pytest.mark.parametrize("rate_hz", [8000, 22050, 48000])
async def test_exact_samples_at_any_rate(client: oncue.Client, voice: oncue.Voice, rate_hz: int) -> None:
    plan = await client.plan(TEXT, voice=voice, sample_rate_hz=rate_hz)
    assert plan.sample_rate_hz == rate_hz
    assert plan.min_samples <= plan.comfortable_min_samples <= plan.natural_samples
    assert plan.natural_samples <= plan.comfortable_max_samples <= plan.max_samples
    wanted = plan.natural_samples + 37
    stream = client.stream(TEXT, voice=voice, duration_samples=wanted, sample_rate_hz=rate_hz, seed=1, pacing=UNPACED)
    assert sum([chunk.num_samples async for chunk in stream]) == wanted
    assert stream.started is not None
    assert (stream.started.planned_samples, stream.started.sample_rate_hz) == (wanted, rate_hz)


async def test_exact_tokens(client: oncue.Client, voice: oncue.Voice) -> None:
    plan = await client.plan(TEXT, voice=voice)
    clip = await client.synthesize(TEXT, voice=voice, tokens=plan.natural_tokens + 3)
    assert clip.stats.total_codes == plan.natural_tokens + 3


async def test_an_advised_length_is_the_models_to_keep(client: oncue.Client, voice: oncue.Voice) -> None:
    """The model hears of the length (it speaks otherwise than free), but nothing is cut, filled or forced."""
    plan = await client.plan(TEXT, voice=voice)
    free = await client.synthesize(TEXT, voice=voice, seed=1)
    stream = client.stream(
        TEXT, voice=voice, tokens=plan.natural_tokens - 5, length_policy="advise", seed=1, pacing=UNPACED
    )
    payload = b"".join([chunk.payload async for chunk in stream])
    assert stream.started is not None and stream.started.planned_samples is None
    assert stream.stats is not None and stream.stats.total_samples * 2 == len(payload)
    assert payload != free.payload
    with pytest.raises(oncue.LengthInfeasible):
        await client.plan(TEXT, voice=voice, tokens=plan.max_tokens + 1, length_policy="advise")


async def test_infeasible_length_tells_the_range(client: oncue.Client, voice: oncue.Voice) -> None:
    plan = await client.plan(TEXT, voice=voice)
    with pytest.raises(oncue.LengthInfeasible) as caught:
        await client.synthesize(TEXT, voice=voice, duration_samples=plan.max_samples + 1)
    assert caught.value.reason == "DURATION_INFEASIBLE"
    assert int(caught.value.metadata["max_samples"]) == plan.max_samples
    assert int(caught.value.metadata["min_samples"]) == plan.min_samples
    forced = await client.synthesize(
        TEXT, voice=voice, duration_samples=plan.min_samples - 1, length_policy="force", seed=1
    )
    assert forced.stats.total_samples == plan.min_samples - 1


async def test_a_broken_stream_resumes(client: oncue.Client, voice: oncue.Voice) -> None:
    whole = await client.synthesize(TEXT, voice=voice, seed=9)
    start = whole.stats.total_samples // 3
    stream = client.stream(TEXT, voice=voice, seed=9, start_sample=start, pacing=UNPACED)
    chunks = [chunk async for chunk in stream]
    assert chunks[0].first_sample == start
    assert b"".join(chunk.payload for chunk in chunks) == whole.payload[2 * start :]


async def test_sampling_reaches_the_server(client: oncue.Client, voice: oncue.Voice) -> None:
    greedy = oncue.Sampling(temperature=0.0)
    one = await client.synthesize(TEXT, voice=voice, seed=1, sampling=greedy)
    two = await client.synthesize(TEXT, voice=voice, seed=1)
    assert one.payload != two.payload
    with pytest.raises(oncue.InvalidRequest) as caught:
        await client.synthesize(TEXT, voice=voice, sampling=oncue.Sampling(temperature=9.0))
    assert caught.value.field.endswith("temperature")


async def test_emotions_reach_the_server(client: oncue.Client, voice: oncue.Voice, clip: Path, new_id: str) -> None:
    registered = await client.emotions.create(new_id, clip)
    by_name = await client.synthesize(TEXT, voice=voice, emotion=new_id, emotion_strength=0.5, seed=1)
    by_value = await client.synthesize(TEXT, voice=voice, emotion=registered, emotion_strength=0.5, seed=1)
    by_clip = await client.synthesize(TEXT, voice=voice, emotion=clip, emotion_strength=0.5, seed=1)
    assert by_name.payload == by_value.payload == by_clip.payload
    with pytest.raises(oncue.InvalidRequest):
        await client.synthesize(TEXT, voice=voice, emotion=registered, emotion_strength=1.5)
    with pytest.raises(oncue.NotFound):
        await client.synthesize(TEXT, voice=voice, emotion="nobody-felt-this")


async def test_plan_covers_the_text(client: oncue.Client) -> None:
    plan = await client.plan(LONG_TEXT)
    assert plan.segments[0].char_begin == 0
    assert plan.segments[-1].char_end == len(LONG_TEXT)
    assert sum(segment.natural_tokens for segment in plan.segments) == plan.natural_tokens


async def test_the_language_reaches_the_server(client: oncue.Client, voice: oncue.Voice) -> None:
    clip = await client.synthesize(TEXT, voice=voice, seed=5, language="en-GB")
    assert clip.payload == (await client.synthesize(TEXT, voice=voice, seed=5)).payload
    with pytest.raises(oncue.InvalidRequest) as planned:
        await client.plan(TEXT, language="ja")
    with pytest.raises(oncue.InvalidRequest) as streamed:
        await anext(client.stream(TEXT, voice=voice, language="ja"))
    for error in (planned.value, streamed.value):
        assert (error.reason, error.field) == ("LANGUAGE_UNSUPPORTED", "utterance.language")
        assert error.metadata["supported"] == "en"


async def test_cancel_ends_the_iteration(client: oncue.Client, voice: oncue.Voice) -> None:
    stream = client.stream(LONG_TEXT, voice=voice)
    async for _ in stream:
        stream.cancel()
    assert stream.stats is None
    await _still_serves(client, voice)


async def test_leaving_the_block_ends_the_call(client: oncue.Client, voice: oncue.Voice) -> None:
    async with client.stream(LONG_TEXT, voice=voice) as stream:
        async for _ in stream:
            break
    with pytest.raises(StopAsyncIteration):
        await anext(stream)
    await _still_serves(client, voice)


async def test_cancelling_the_task_is_not_swallowed(client: oncue.Client, voice: oncue.Voice) -> None:
    begun = asyncio.Event()

    async def listen() -> None:
        async for _ in client.stream(LONG_TEXT, voice=voice):
            begun.set()

    task = asyncio.create_task(listen())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_timeout(client: oncue.Client, voice: oncue.Voice) -> None:
    with pytest.raises(oncue.DeadlineExceeded):
        async for _ in client.stream(LONG_TEXT, voice=voice, timeout_s=0.2):
            pass
    await _still_serves(client, voice)


async def test_what_no_request_can_say_is_a_value_error(client: oncue.Client, voice: oncue.Voice) -> None:
    with pytest.raises(ValueError, match="not both"):
        await client.synthesize(TEXT, voice=voice, duration_samples=16000, tokens=20)
    with pytest.raises(ValueError, match="needs an emotion"):
        await client.synthesize(TEXT, voice=voice, emotion_strength=0.5)


@pytest.mark.parametrize(("text", "reason"), [("", "TEXT_EMPTY"), ("...", "TEXT_UNPRONOUNCEABLE")])
async def test_refused_text(client: oncue.Client, voice: oncue.Voice, text: str, reason: str) -> None:
    with pytest.raises(oncue.InvalidRequest) as caught:
        async for _ in client.stream(text, voice=voice):
            pass
    assert (caught.value.reason, caught.value.field.rpartition(".")[2]) == (reason, "text")


async def test_nobody_at_the_address() -> None:
    async with oncue.connect("127.0.0.1:1") as client:
        with pytest.raises(oncue.Unavailable):
            await client.info()


async def _still_serves(client: oncue.Client, voice: oncue.Voice) -> None:
    assert (await client.synthesize(TEXT, voice=voice)).stats.total_samples > 0
