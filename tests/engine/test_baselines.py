"""The pipelines to compare with keep the engine's contract: exact lengths, order, cancel, faults that stay local."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from oncue_engine.answers import AudioChunk, Event
from oncue_engine.baselines.naive import PUBLIC_FLOW_STEPS
from oncue_engine.baselines.serial import SerialPipeline
from oncue_engine.checkpoints.loaded import LoadedModel
from oncue_engine.engine import Engine
from oncue_engine.errors import EngineError, Overloaded
from oncue_engine.frontend.audio import decode_reference
from oncue_engine.kinds.indextts2 import IndexTTS2
from oncue_engine.options import EngineOptions, PipelineName
from oncue_engine.rendering.chunks import Chunk
from oncue_engine.rendering.crossfade import CrossFade, FadeSpan, fade_tokens
from oncue_engine.requests import (
    EmotionWeights,
    LengthPolicy,
    Pacing,
    PacingMode,
    Reference,
    TargetSamples,
    TargetTokens,
)
from oncue_engine.seams import ThreeWays
from oncue_engine.timing.frame_map import FrameMap

from .conftest import Speaker

SHORT = "Please close the window before you leave."
LONG = (
    "The evening train was late, so we sat by the window and watched the rain. "
    "My sister grows tomatoes on the balcony, and they are better than any from a shop. "
    "There is a narrow path behind the house."
)
BOTH: tuple[PipelineName, ...] = ("naive", "crossfade")


@pytest.fixture(scope="module", params=BOTH)
def baseline(
    request: pytest.FixtureRequest, nano_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Engine]:
    engine = Engine.load(nano_folder, tmp_path_factory.mktemp("data"), EngineOptions(threads=1, pipeline=request.param))
    yield engine
    engine.close()


@pytest.fixture
def slow(baseline: Engine, low_voice: Reference) -> Speaker:
    """Asks a baseline. (Module fixtures of conftest.py ask the engine.)"""
    return Speaker(baseline, low_voice)


def _wait(until: Callable[[], bool], timeout_s: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not until():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.01)


# What is said


@pytest.mark.parametrize("rate_hz", [16_000, 44_100])
def test_a_length_in_samples_is_met_to_the_sample(slow: Speaker, rate_hz: int) -> None:
    plan = slow.engine.plan(slow.request(LONG, sample_rate_hz=rate_hz))
    assert len(plan.segments) > 1
    asked = round(plan.natural_samples * 1.13) + 1
    recorder = slow.say(LONG, sample_rate_hz=rate_hz, length=TargetSamples(asked))
    assert recorder.finished().total_samples == len(recorder.samples) == asked


@pytest.mark.parametrize("samples", [1, 700, 5_000])
def test_extreme_lengths_are_met_too(slow: Speaker, samples: int) -> None:
    recorder = slow.say("Yes.", length=TargetSamples(samples), length_policy=LengthPolicy.FORCE)
    assert len(recorder.samples) == samples


def test_a_length_in_tokens_is_met(slow: Speaker) -> None:
    finished = slow.say(SHORT, length=TargetTokens(40)).finished()
    assert finished.total_codes == 40
    assert finished.total_samples == 40 * 640  # 2.5 frames of 256 samples to a token


def test_the_tokens_are_the_engine_s(slow: Speaker, nano_folder: Path, tmp_path: Path) -> None:
    """Free speech ends where it ends in the engine, and follows the same voice, emotion and seed."""
    engine = Engine.load(nano_folder, tmp_path, EngineOptions(precision="float32"))
    speaker = Speaker(engine, slow.voice)
    for seed in (1, 2):
        settings = {"seed": seed, "emotion": EmotionWeights((0.6, 0, 0, 0, 0, 0, 0.2, 0)), "emotion_strength": 0.7}
        ours, theirs = slow.say(LONG, **settings).finished(), speaker.say(LONG, **settings).finished()
        assert ours.total_codes == theirs.total_codes
        assert ours.total_samples == theirs.total_samples
        assert ours.reason == theirs.reason
    engine.close()


def test_naive_audio_is_the_offline_rendering(nano: LoadedModel, low_voice: Reference, tmp_path: Path) -> None:
    """The second pass finds the latents that the first one had: at equal steps it is what one flow call makes of the
    engine's own tokens and latents."""
    few = replace(nano, config=replace(nano.config, speech=replace(nano.config.speech, flow_steps=PUBLIC_FLOW_STEPS)))
    voice = IndexTTS2(nano).prompts.encode_voice(decode_reference(low_voice.path))
    whole = ThreeWays(few, voice, EngineOptions(precision="float32").resolved(0)).render(SHORT, seed=5).whole
    engine = Engine(IndexTTS2(nano), "nano", tmp_path, EngineOptions(threads=1, pipeline="naive"))
    engine._scheduler.start()
    try:
        made = Speaker(engine, low_voice).say(SHORT, seed=5).samples
    finally:
        engine.close()
    assert len(made) == len(whole)
    settled = len(whole) - 64  # a loud end is faded out
    np.testing.assert_allclose(made[:settled], whole[:settled], atol=1e-3)


def test_naive_delivers_nothing_before_all_is_made_and_crossfade_does(slow: Speaker, baseline: Engine) -> None:
    recorder = slow.say(LONG)
    finished = recorder.finished()
    codes = [chunk.codes_generated for chunk in recorder.chunks]
    naive = finished.fewest_flow_steps == 25
    assert (codes[0] == finished.total_codes) is naive


def test_the_clock_names_the_stages(slow: Speaker, baseline: Engine) -> None:
    before = baseline.stage_times()
    finished = slow.say(LONG).finished()
    after = baseline.stage_times()
    spent = {name: after[name].calls - before[name].calls for name in after if name in before}
    segments = spent["prefill"]
    assert segments > 1
    # A step draws one token; the first of a segment comes from its prefill, and the last step may draw the stop.
    assert finished.total_codes - segments <= spent["decode"] <= finished.total_codes
    if finished.fewest_flow_steps == 25:
        assert spent["latents"] == spent["flow"] == spent["wave"] == segments
    else:
        assert spent["flow"] == spent["wave"] > segments
        assert "latents" not in after


# One at a time


def test_requests_are_served_in_the_order_they_came(slow: Speaker) -> None:
    recorders = [slow.begin(SHORT if number % 2 else LONG, seed=number)[1] for number in range(4)]
    for recorder in recorders:
        recorder.finished()
    for times in zip(*((r.times_s[0], r.times_s[1], r.times_s[-1]) for r in recorders), strict=True):
        assert sorted(times) == list(times)


def test_making_does_not_wait_for_the_pacing_but_sending_does(slow: Speaker) -> None:
    lead = 4_000
    _, paced = slow.begin(SHORT, length=TargetTokens(50), pacing=Pacing(PacingMode.REALTIME, lead))
    _, other = slow.begin(SHORT, seed=2)
    other.finished()
    finished = paced.finished()
    # 50 tokens are 2 s. The other was made while the first was still being sent.
    took = paced.times_s[-1] - paced.times_s[1]
    assert took > (finished.total_samples - lead) / 16_000 - 0.1
    assert other.times_s[-1] < paced.times_s[-1]
    assert max(len(chunk.samples) for chunk in paced.chunks) <= lead


def test_a_cancel_is_obeyed_before_the_next_stage(slow: Speaker, baseline: Engine) -> None:
    handle, recorder = slow.begin(LONG)
    _wait(lambda: bool(recorder.events))
    handle.cancel()
    count = len(recorder.events)
    _wait(lambda: baseline.live_utterances == 0, timeout_s=5.0)
    assert slow.say(SHORT).finished().total_codes > 0
    assert len(recorder.events) == count


def test_a_callback_may_cancel_its_own_utterance(slow: Speaker, baseline: Engine) -> None:
    events: list[Event] = []

    def on_event(event: Event) -> None:
        events.append(event)
        if isinstance(event, AudioChunk):
            handle.cancel()

    handle = baseline.speak(slow.request(LONG, pacing=Pacing(PacingMode.REALTIME, 2_000)), on_event)
    _wait(lambda: baseline.live_utterances == 0)
    assert len([event for event in events if isinstance(event, AudioChunk)]) == 1


def test_a_fault_ends_its_own_utterance_only(slow: Speaker, baseline: Engine, low_voice: Reference) -> None:
    baseline.prepare_voice(low_voice)
    conditioner = baseline._conditioner
    good = conditioner.find_voice(low_voice.sha256)
    assert good is not None
    bad = replace(good, prompt_mel=torch.full_like(good.prompt_mel, float("nan")))
    conditioner._remember(conditioner._key(type(good), "bad"), bad)
    alone = slow.say(SHORT, seed=7)
    _, broken = slow.begin(SHORT, voice=Reference(low_voice.path, "bad"))
    _, ours = slow.begin(SHORT, seed=7)
    failed = broken.failed()
    assert isinstance(failed.error, EngineError) and failed.error.reason == "NOT_FINITE"
    ours.finished()
    np.testing.assert_array_equal(ours.samples, alone.samples)


def test_a_failed_task_reaches_its_caller_only(slow: Speaker, baseline: Engine) -> None:
    def broken() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        baseline._scheduler.call(broken).result(30)
    slow.say(SHORT)


def test_the_door_is_closed_when_the_house_is_full(slow: Speaker, baseline: Engine) -> None:
    _wait(lambda: baseline.live_utterances == 0)
    limit = baseline.info.limits["max_live_utterances"]
    handles = [slow.begin(LONG)[0] for _ in range(limit)]
    with pytest.raises(Overloaded):
        for _ in range(limit):
            handles.append(slow.begin(LONG)[0])
    for handle in handles:
        handle.cancel()
    _wait(lambda: baseline.live_utterances == 0 and baseline._scheduler.free_slots == 1)


@pytest.mark.parametrize("pipeline", BOTH)
def test_closing_ends_what_is_live_and_what_waits(
    nano_folder: Path, low_voice: Reference, tmp_path: Path, pipeline: PipelineName
) -> None:
    engine = Engine.load(nano_folder, tmp_path, EngineOptions(threads=1, pipeline=pipeline))
    speaker = Speaker(engine, low_voice)
    recorders = [speaker.begin(LONG, pacing=Pacing(PacingMode.REALTIME, 2_000))[1] for _ in range(3)]
    _wait(lambda: bool(recorders[0].events))
    engine.close()
    for recorder in recorders:
        error = recorder.failed().error
        assert isinstance(error, EngineError) and error.reason == "ENGINE_CLOSED"
    assert isinstance(engine._scheduler, SerialPipeline)
    assert engine._scheduler.live == 0
    with pytest.raises(EngineError):
        speaker.begin(SHORT)


# Fades


def test_faded_chunks_of_one_signal_are_that_signal() -> None:
    """Where the two sides agree a fade changes nothing, whatever the cut."""
    frame_map, hop, shared = FrameMap(25, 43), 8, fade_tokens(50.0)
    assert shared == 2
    signal = np.random.default_rng(0).standard_normal(frame_map.total_frames(60) * hop).astype(np.float32)
    fade = CrossFade()
    parts = []
    for begin, end in ((0, 11), (11, 30), (30, 60)):
        span = FadeSpan.of(Chunk(begin, end, end, last=end == 60), frame_map, shared)
        parts.append(fade.join(signal[span.first * hop : span.stop * hop], (span.stop - span.settled) * hop))
    np.testing.assert_allclose(np.concatenate(parts), signal, atol=1e-6)


def test_a_fade_goes_from_one_chunk_to_the_next_in_a_line() -> None:
    fade = CrossFade()
    first = fade.join(np.zeros(10, np.float32), 5)
    second = fade.join(np.ones(8, np.float32), 0)
    assert len(first) == 5
    np.testing.assert_allclose(second, [0, 0.25, 0.5, 0.75, 1, 1, 1, 1])
