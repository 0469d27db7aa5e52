"""Many utterances at once: pacing, cancel, faults that stay local, and who comes first."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from oncue_engine.answers import AudioChunk, Event, Finished, Started
from oncue_engine.engine import Engine, UtteranceHandle
from oncue_engine.errors import EngineError, Overloaded
from oncue_engine.frontend.phones import phone_id
from oncue_engine.kinds.indextts2 import IndexTTS2
from oncue_engine.playback import Playback
from oncue_engine.requests import Pacing, PacingMode, Reference, TargetTokens

if TYPE_CHECKING:
    from .conftest import Recorder, Speaker

SHORT = "Please close the window before you leave."
LONG = (
    "The evening train was late, so we sat by the window and watched the rain. "
    "My sister grows tomatoes on the balcony, and they are better than any from a shop. "
    "There is a narrow path behind the house."
)


def _wait(until: Callable[[], bool], timeout_s: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not until():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.01)


def _idle(engine: Engine) -> bool:
    return engine.live_utterances == 0 and engine._scheduler.free_slots == 16


def _poison(engine: Engine, voice: Reference, sha256: str, **tensors: torch.Tensor) -> Reference:
    """The same voice under another hash, with some of its prepared tensors replaced in memory."""
    engine.prepare_voice(voice)
    conditioner = engine._conditioner
    good = conditioner.find_voice(voice.sha256)
    assert good is not None
    conditioner._remember(conditioner._key(type(good), sha256), replace(good, **tensors))
    return Reference(voice.path, sha256)


# Pacing


def _leads(recorder: Recorder, rate_hz: int) -> list[float]:
    """Samples ahead of a player that began with the first chunk, at each chunk."""
    chunks = [(event, at) for event, at in zip(recorder.events, recorder.times_s, strict=True)]
    audio = [(event, at) for event, at in chunks if isinstance(event, AudioChunk)]
    begin, leads = audio[0][1], []
    played = 0.0
    for (chunk, at), before in zip(audio, [(None, begin), *audio], strict=False):
        # A player that runs dry waits for the chunk; it does not catch up.
        played = min(float(chunk.first_sample), played + (at - before[1]) * rate_hz)
        leads.append(chunk.first_sample + len(chunk.samples) - played)
    return leads


@pytest.mark.parametrize("lead", [4_000, 12_000])
def test_nobody_gets_further_ahead_than_the_lead(speaker: Speaker, lead: int) -> None:
    _, recorder = speaker.begin(SHORT, length=TargetTokens(60), pacing=Pacing(PacingMode.REALTIME, lead))
    finished = recorder.finished()
    # 60 tokens are 2.4 s: at least what exceeds the lead has to be waited for.
    took = recorder.times_s[-1] - recorder.times_s[1]
    assert took > (finished.total_samples - lead) / 16_000 - 0.05
    assert max(_leads(recorder, 16_000)) <= lead + 0.02 * 16_000


def test_whoever_is_ahead_generates_nothing(speaker: Speaker) -> None:
    engine = speaker.engine
    _wait(lambda: _idle(engine))
    handle, recorder = speaker.begin(LONG, pacing=Pacing(PacingMode.REALTIME, 16_000))
    _wait(lambda: sum(len(chunk.samples) for chunk in recorder.chunks) >= 8_000)
    for _ in range(30):  # the player stands still for 1.5 s
        handle.report_playhead(0)
        time.sleep(0.05)
    decoded = engine.stage_times()["decode"].calls
    sent, stalled = sum(len(chunk.samples) for chunk in recorder.chunks), recorder.chunks[-1].codes_generated
    for _ in range(10):
        handle.report_playhead(0)
        time.sleep(0.05)
    assert engine.stage_times()["decode"].calls == decoded, "tokens were generated for a listener who waits"
    assert sum(len(chunk.samples) for chunk in recorder.chunks) == sent
    assert not recorder.ended.is_set()
    handle.report_playhead(sent)
    _wait(lambda: recorder.chunks[-1].codes_generated > stalled)
    handle.cancel()


def test_unpaced_speech_waits_for_nobody(speaker: Speaker) -> None:
    recorder = speaker.say(LONG)
    wall = recorder.times_s[-1] - recorder.times_s[0]
    assert len(recorder.samples) / 16_000 > 1.0
    assert all(len(chunk.samples) >= 1_000 for chunk in recorder.chunks), wall


def test_real_time_comes_before_unpaced(speaker: Speaker) -> None:
    crowd = [speaker.begin(LONG, seed=seed) for seed in range(3)]
    _wait(lambda: all(recorder.chunks for _, recorder in crowd))
    _, paced = speaker.begin(SHORT, pacing=Pacing())
    assert paced.first_audio.wait(30)
    waiting = [recorder for _, recorder in crowd if not recorder.ended.is_set()]
    assert len(waiting) >= 2
    assert paced.finished().reason in ("complete", "token_limit")
    for _, recorder in crowd:
        recorder.finished()


def test_the_playback_clock() -> None:
    clock = Playback(1000, 500)
    assert clock.lead_samples(0.0) == 0
    clock.report(10_000, 0.0)  # before any audio: means nothing
    clock.deliver(300, 10.0)
    assert clock.played(10.1) == pytest.approx(600)
    assert clock.lead_samples(10.1) == pytest.approx(200)
    assert clock.seconds_until_lead(50, 10.1) == pytest.approx(0.15)
    assert clock.played(99.0) == 800  # ran dry
    clock.deliver(100, 100.0)
    assert clock.played(100.05) == pytest.approx(850)  # goes on from where it stopped
    clock.report(810, 100.05)
    assert clock.lead_samples(100.05) == pytest.approx(90)
    assert clock.played(100.07) == pytest.approx(830)
    clock.report(5_000, 100.07)
    assert clock.lead_samples(100.07) == 0


# Cancel


def test_nothing_follows_a_cancel_and_the_slot_comes_back(speaker: Speaker) -> None:
    engine = speaker.engine
    handle, recorder = speaker.begin(LONG)
    assert recorder.first_audio.wait(30)
    handle.cancel()
    count = len(recorder.events)
    _wait(lambda: _idle(engine), timeout_s=5.0)
    time.sleep(0.1)
    assert len(recorder.events) == count
    assert not recorder.ended.is_set()
    handle.cancel()
    handle.report_playhead(5)


def test_a_callback_may_cancel_its_own_utterance(speaker: Speaker) -> None:
    events: list[Event] = []
    handles: list[UtteranceHandle] = []

    def on_event(event: Event) -> None:
        events.append(event)
        if isinstance(event, AudioChunk):
            handles[0].cancel()

    handles.append(speaker.engine.speak(speaker.request(LONG), on_event))
    _wait(lambda: _idle(speaker.engine))
    assert [type(event) for event in events] == [Started, AudioChunk]


def test_a_callback_that_raises_ends_its_utterance_only(speaker: Speaker, caplog: pytest.LogCaptureFixture) -> None:
    def on_event(event: Event) -> None:
        if isinstance(event, AudioChunk):
            raise RuntimeError("the consumer is gone")

    speaker.engine.speak(speaker.request(LONG), on_event)
    _, other = speaker.begin(SHORT)
    other.finished()
    _wait(lambda: _idle(speaker.engine))
    assert "event callback failed" in caplog.text


def test_hundreds_of_cancels_leave_nothing_behind(speaker: Speaker) -> None:
    for number in range(200):
        handle, recorder = speaker.begin(LONG, seed=number)
        if number % 10 == 0:
            assert recorder.first_audio.wait(30)
        elif number % 3 == 0:
            time.sleep(0.003)
        handle.cancel()
    _wait(lambda: _idle(speaker.engine))
    assert speaker.say(SHORT).finished().total_codes > 0


def test_the_door_is_closed_when_the_house_is_full(speaker: Speaker) -> None:
    engine = speaker.engine
    _wait(lambda: _idle(engine))
    limit = engine.info.limits["max_live_utterances"]
    handles = [speaker.begin(LONG, pacing=Pacing(PacingMode.REALTIME, 1))[0] for _ in range(limit)]
    with pytest.raises(Overloaded) as caught:
        speaker.begin(SHORT)
    assert caught.value.retry_after_s > 0
    for handle in handles:
        handle.cancel()
    _wait(lambda: _idle(engine))
    speaker.say(SHORT)


def test_more_utterances_than_slots(speaker: Speaker) -> None:
    recorders = [speaker.begin("Yes, and no.", seed=seed)[1] for seed in range(24)]
    for recorder in recorders:
        recorder.finished()
    _wait(lambda: _idle(speaker.engine))


# Faults


@pytest.fixture
def poisoned_phone(engine: Engine) -> Iterator[int]:
    """The embedding of one phone is no number: any text with it breaks, any other does not."""
    number = phone_id("zh")
    model = engine._model
    assert isinstance(model, IndexTTS2)
    table = model.networks.t2s.text_embedding.weight
    good = table[number].clone()
    table[number] = float("nan")
    yield number
    table[number] = good


@pytest.mark.usefixtures("poisoned_phone")
def test_a_row_without_numbers_ends_alone(speaker: Speaker) -> None:
    alone = speaker.say(LONG, seed=21)
    _, ours = speaker.begin(LONG, seed=21)
    _, broken = speaker.begin("A vision of pleasure and measure.")
    failed = broken.failed()
    assert isinstance(failed.error, EngineError) and failed.error.reason == "NOT_FINITE"
    ours.finished()
    np.testing.assert_allclose(ours.samples, alone.samples, rtol=0, atol=1e-4)
    _wait(lambda: _idle(speaker.engine))


@pytest.mark.parametrize("stage", ["flow", "flow-shape", "prefill-shape", "prompt"])
def test_a_fault_in_any_stage_stays_local(speaker: Speaker, low_voice: Reference, stage: str) -> None:
    engine = speaker.engine
    engine.prepare_voice(low_voice)
    good = engine._conditioner.find_voice(low_voice.sha256)
    assert good is not None
    if stage == "flow":
        bad = _poison(engine, low_voice, "f1", prompt_mel=torch.full_like(good.prompt_mel, float("nan")))
    elif stage == "flow-shape":
        bad = _poison(engine, low_voice, "f2", style=good.style[:-1])
    elif stage == "prefill-shape":
        bad = _poison(engine, low_voice, "f3", latents=good.latents[:, :-1])
    else:
        bad = _poison(engine, low_voice, "f4", own_emotion=torch.full_like(good.own_emotion, float("nan")))
    alone = speaker.say(LONG, seed=22)
    _, ours = speaker.begin(LONG, seed=22)
    _, broken = speaker.begin(SHORT, voice=bad)
    failed = broken.failed()
    assert isinstance(failed.error, EngineError)
    assert failed.error.reason == ("INTERNAL" if "shape" in stage else "NOT_FINITE")
    ours.finished()
    np.testing.assert_allclose(ours.samples, alone.samples, rtol=0, atol=1e-4)
    _wait(lambda: _idle(engine))


def test_a_failed_task_reaches_its_caller_only(engine: Engine, speaker: Speaker) -> None:
    def broken() -> None:
        raise ZeroDivisionError

    future = engine._scheduler.call(broken)
    with pytest.raises(ZeroDivisionError):
        future.result(30)
    assert isinstance(speaker.say(SHORT).events[-1], Finished)


def test_the_stage_clock_counts_what_was_done(speaker: Speaker) -> None:
    before = speaker.engine.stage_times()
    recorder = speaker.say(SHORT)
    after = speaker.engine.stage_times()
    steps = after["decode"].items - before["decode"].items
    assert 0 <= recorder.finished().total_codes - steps <= 1 + len(recorder.chunks)
    for stage in ("prefill", "decode", "flow", "wave"):
        assert after[stage].calls > before[stage].calls
        assert after[stage].seconds > before[stage].seconds
