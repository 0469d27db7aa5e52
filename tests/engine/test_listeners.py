"""Many listeners: deadlines, priorities, who is let in, and speech that does not depend on who else is there."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from oncue_engine.answers import AudioChunk, Event
from oncue_engine.engine import Engine
from oncue_engine.errors import InvalidRequest, OutOfMemory, Overloaded
from oncue_engine.options import EngineOptions
from oncue_engine.requests import Pacing, PacingMode, Priority, Reference, TargetTokens

from .conftest import Recorder, Speaker

SHORT = "Please close the window before you leave."
LONG = "The evening train was late, so we sat by the window and watched the rain. There is a narrow path."
REALTIME = Pacing(PacingMode.REALTIME, 8_000)


def _wait(until: Callable[[], bool], timeout_s: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not until():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.01)


@pytest.fixture
def costly(engine: Engine) -> Iterator[Engine]:
    """The same engine, made believe that speech is expensive: one stream fills it."""
    forecast = engine._scheduler._forecast
    _wait(lambda: engine.live_utterances == 0)
    forecast._busy_s, forecast._audio_s, forecast._start_s = 1e6, 1e6, 0.3
    yield engine
    _wait(lambda: engine.live_utterances == 0)
    forecast.forget()


# Deadlines


def test_a_start_deadline_that_can_be_met_is(speaker: Speaker) -> None:
    recorder = speaker.say(SHORT, start_deadline_s=20.0)
    assert recorder.finished().time_to_first_audio_s < 20.0


def test_a_start_deadline_that_cannot_be_met_is_refused_at_once(costly: Engine, low_voice: Reference) -> None:
    speaker = Speaker(costly, low_voice)
    with pytest.raises(Overloaded, match="deadline") as caught:
        speaker.begin(SHORT, start_deadline_s=0.1)
    assert caught.value.reason == "OVERLOADED" and caught.value.field == "scheduling.start_deadline"
    assert 0.1 <= caught.value.retry_after_s < 5.0
    assert costly.live_utterances == 0


def test_a_stream_that_fills_the_engine_makes_deadlines_late(costly: Engine, low_voice: Reference) -> None:
    speaker = Speaker(costly, low_voice)
    speaker.say(SHORT, start_deadline_s=2.0)
    costly._scheduler._forecast._busy_s = costly._scheduler._forecast._audio_s = 1e6
    handle, first = speaker.begin(LONG, pacing=REALTIME)
    assert first.first_audio.wait(30)
    with pytest.raises(Overloaded):
        speaker.begin(SHORT, pacing=REALTIME, start_deadline_s=0.5)
    handle.cancel()


@pytest.mark.parametrize("deadline_s", [0.0, -1.0, float("nan"), float("inf")])
def test_a_deadline_is_a_time_from_now(speaker: Speaker, deadline_s: float) -> None:
    with pytest.raises(InvalidRequest) as caught:
        speaker.begin(SHORT, start_deadline_s=deadline_s)
    assert caught.value.reason == "START_DEADLINE_OUT_OF_RANGE"


# Who is let in


def test_streams_wait_while_the_engine_is_full_and_are_told_so_early(costly: Engine, low_voice: Reference) -> None:
    speaker = Speaker(costly, low_voice)
    handle, first = speaker.begin(LONG, pacing=REALTIME)
    assert first.first_audio.wait(30)
    _, second = speaker.begin(SHORT, pacing=REALTIME, length=TargetTokens(30))
    _wait(lambda: bool(second.events))
    assert not second.first_audio.wait(0.3), "it was let in, though the engine is full"
    unpaced = speaker.say(SHORT)  # takes what is left
    assert unpaced.chunks
    handle.cancel()
    assert second.finished().total_codes == 30


def test_a_stream_that_stands_still_keeps_nobody_out(costly: Engine, low_voice: Reference) -> None:
    speaker = Speaker(costly, low_voice)
    handle, first = speaker.begin(LONG, pacing=REALTIME)
    assert first.first_audio.wait(30)
    _, second = speaker.begin(SHORT, pacing=REALTIME, length=TargetTokens(30))
    begin_s = time.monotonic()
    while not second.first_audio.is_set() and time.monotonic() < begin_s + 20.0:
        handle.report_playhead(0)
        time.sleep(0.1)
    assert second.first_audio.is_set() and not first.ended.is_set()
    assert time.monotonic() - begin_s > 2.0, "a short pause is no reason to be taken for gone"
    second.finished()
    handle.cancel()


def test_the_more_important_is_let_in_first(costly: Engine, low_voice: Reference) -> None:
    speaker = Speaker(costly, low_voice)
    handle, first = speaker.begin(LONG, pacing=REALTIME)
    assert first.first_audio.wait(30)
    order: list[str] = []

    def noting(name: str) -> Callable[[Event], None]:
        return lambda event: order.append(name) if isinstance(event, AudioChunk) and name not in order else None

    recorders = []
    for priority in (Priority.BACKGROUND, Priority.NORMAL, Priority.HIGH):
        request = speaker.request(SHORT, pacing=REALTIME, priority=priority, length=TargetTokens(30))
        recorder, note = Recorder(), noting(priority.name)

        def on_event(event: Event, recorder: Recorder = recorder, note: Callable[[Event], None] = note) -> None:
            note(event)
            recorder(event)

        costly.speak(request, on_event)
        recorders.append(recorder)
    handle.cancel()
    for recorder in recorders:
        recorder.finished()
    assert order == ["HIGH", "NORMAL", "BACKGROUND"]


def test_lines_made_ahead_come_behind_others(speaker: Speaker) -> None:
    background = [speaker.begin(LONG, seed=n, priority=Priority.BACKGROUND)[1] for n in range(4)]
    _wait(lambda: all(recorder.events for recorder in background))
    other = speaker.say(LONG, priority=Priority.NORMAL)
    assert sum(recorder.ended.is_set() for recorder in background) <= 1
    for recorder in background:
        recorder.finished()
    assert other.chunks


# Others do not change what a seed says


@pytest.fixture(scope="module")
def deterministic(
    nano_folder: Path, low_voice: Reference, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Speaker]:
    options = EngineOptions(lanes=2, threads=1, deterministic=True)
    engine = Engine.load(nano_folder, tmp_path_factory.mktemp("deterministic"), options)
    yield Speaker(engine, low_voice)
    engine.close()


def test_alone_or_in_a_crowd_not_a_bit_is_different(deterministic: Speaker) -> None:
    alone = {seed: deterministic.say(LONG, seed=seed) for seed in range(4)}
    crowd = {seed: deterministic.begin(LONG, seed=seed)[1] for seed in range(12)}
    for seed, recorder in crowd.items():
        finished = recorder.finished()
        if seed in alone:
            assert finished.total_codes == alone[seed].finished().total_codes
            np.testing.assert_array_equal(recorder.samples, alone[seed].samples)


def test_in_the_usual_mode_a_crowd_changes_next_to_nothing(speaker: Speaker) -> None:
    alone = [speaker.say(LONG, seed=seed) for seed in range(4)]
    crowd = [speaker.begin(LONG, seed=seed)[1] for seed in range(4)]
    for recorder, before in zip(crowd, alone, strict=True):
        assert recorder.finished().total_codes == before.finished().total_codes
        np.testing.assert_allclose(recorder.samples, before.samples, rtol=0, atol=1e-2)


def test_only_flexible_utterances_get_fewer_steps(nano_folder: Path, low_voice: Reference, tmp_path: Path) -> None:
    engine = Engine.load(nano_folder, tmp_path, EngineOptions(flow_steps=8))
    speaker = Speaker(engine, low_voice)
    steps = engine._scheduler._runner._steps
    try:
        assert speaker.say(LONG, flexible_steps=True).finished().fewest_flow_steps == 8, "nobody runs dry"
        steps._frame_s = 1e3  # a step is believed to take for ever
        assert speaker.say(LONG).finished().fewest_flow_steps == 8
        steps._frame_s = 1e3
        assert speaker.say(LONG, flexible_steps=True).finished().fewest_flow_steps == 6
    finally:
        engine.close()


# Nothing is left behind, nobody is hurt


def test_thousands_of_cancels_in_every_stage(speaker: Speaker) -> None:
    engine = speaker.engine
    stages = engine.stage_times()
    for number in range(2_000):
        handle, _ = speaker.begin(SHORT, seed=number, length=TargetTokens(40))
        if number % 4:
            time.sleep(0.0005 * (number % 13))
        handle.cancel()
        if number % 50 == 0:
            _wait(lambda: engine.live_utterances < 20, timeout_s=10.0)
    _wait(lambda: engine.live_utterances == 0 and engine._scheduler.free_slots == 16, timeout_s=10.0)
    ran = {name for name, spent in engine.stage_times().items() if spent.calls > stages[name].calls}
    assert {"prefill", "decode", "flow"} <= ran, "the cancels came too early to hit anything"
    assert speaker.say(SHORT).chunks


def test_a_cancel_frees_the_slot_within_a_step(speaker: Speaker) -> None:
    engine = speaker.engine
    _wait(lambda: engine.live_utterances == 0)
    handle, recorder = speaker.begin(LONG, length=TargetTokens(200))
    assert recorder.first_audio.wait(30)
    before = engine.stage_times()
    handle.cancel()
    _wait(lambda: engine.live_utterances == 0 and engine._scheduler.free_slots == 16, timeout_s=5.0)
    after = engine.stage_times()
    for stage in ("decode", "flow", "wave"):
        # What a lane was at when the cancel came, and nothing after it.
        assert after[stage].calls - before[stage].calls <= 1, stage


def test_an_utterance_without_memory_ends_alone(speaker: Speaker, low_voice: Reference) -> None:
    engine = speaker.engine
    engine.prepare_voice(low_voice)
    conditioner = engine._conditioner
    good = conditioner.find_voice(low_voice.sha256)
    assert good is not None
    # A view of 80 numbers that claims to be 10 TB: whoever copies it asks the machine for more than it has.
    huge = torch.zeros(80, 1).expand(80, 1 << 35)
    conditioner._remember(conditioner._key(type(good), "huge"), replace(good, prompt_mel=huge))
    alone = speaker.say(LONG, seed=5)
    _, ours = speaker.begin(LONG, seed=5)
    _, broken = speaker.begin(SHORT, voice=Reference(low_voice.path, "huge"))
    failed = broken.failed()
    assert isinstance(failed.error, OutOfMemory) and failed.error.reason == "OUT_OF_MEMORY"
    ours.finished()
    np.testing.assert_allclose(ours.samples, alone.samples, rtol=0, atol=1e-2)


def test_a_slow_callback_of_one_does_not_mix_up_another(speaker: Speaker) -> None:
    gate = threading.Event()

    def slow(event: Event) -> None:
        if isinstance(event, AudioChunk):
            gate.wait(1.0)

    handle = speaker.engine.speak(speaker.request(SHORT), slow)
    _, other = speaker.begin(LONG)
    gate.set()
    other.finished()
    handle.cancel()


# How it runs


@pytest.mark.parametrize(
    ("options", "field"),
    [
        (EngineOptions(lanes=0), "lanes"),
        (EngineOptions(threads=-1), "threads"),
        (EngineOptions(flow_steps=0), "flow_steps"),
        (EngineOptions(precision="int3"), "precision"),
        (EngineOptions(precision="int8"), "precision"),
        (EngineOptions(weights="int3"), "weights"),
        (EngineOptions(weights="float16"), "weights"),
    ],
)
def test_options_out_of_range_are_named(options: EngineOptions, field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        options.resolved(1_000)
    assert caught.value.reason == "OPTION_INVALID" and caught.value.field == field


def test_float16_is_refused_with_the_reason() -> None:
    with pytest.raises(InvalidRequest) as caught:
        EngineOptions(precision="float16").resolved(1_000)
    assert (caught.value.reason, caught.value.field) == ("OPTION_INVALID", "precision")
    assert "bfloat16" in str(caught.value) and "GPU" in str(caught.value)


def test_large_models_share_a_token_step_and_round_their_weights() -> None:
    small, large = EngineOptions().resolved(5_000_000), EngineOptions().resolved(900_000_000)
    assert small.lanes == large.lanes <= 2
    assert small.threads == 1 <= large.threads
    assert small.weights == "float32" and small.dtype == large.dtype
    assert large.weights == ("int8" if large.dtype is torch.bfloat16 else "float32")
    assert EngineOptions(precision="float32").resolved(900_000_000).weights == "float32"
    assert EngineOptions(weights="int8").resolved(5_000_000).weights == "int8"
