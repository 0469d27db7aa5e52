"""Who gets a turn, and when: priorities, start deadlines, and listeners who tell where they are."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from google.protobuf.duration_pb2 import Duration

from oncue.v1 import speech_service_pb2 as pb
from oncue_engine.answers import Event
from oncue_engine.errors import InvalidRequest
from oncue_engine.options import EngineOptions
from oncue_engine.requests import Priority, UtteranceRequest
from oncue_server.app import RunningServer, serving
from oncue_server.running import RunningStreams
from oncue_server.scheduling import Scheduling, scheduling
from oncue_server.settings import Settings

from .asking import LONG_TEXT, TEXT, Refusal, Stubs, refusal_of, stream_request, stubs_of, until

INVALID = grpc.StatusCode.INVALID_ARGUMENT
VERY_LONG_TEXT = " ".join([LONG_TEXT] * 8)
RATE_HZ = 16000


def deadline(seconds: float) -> Duration:
    duration = Duration()
    duration.FromNanoseconds(round(seconds * 1e9))
    return duration


def paced(lead_samples: int, text: str = VERY_LONG_TEXT) -> pb.StreamSynthesizeRequest:
    request = stream_request(text, unpaced=False)
    request.pacing.max_lead_samples = lead_samples
    return request


async def refused(call: Any) -> Refusal:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        if hasattr(call, "read"):
            async for _ in call:
                pass
        else:
            await call
    return refusal_of(caught.value)


def both(stubs: Stubs, message: pb.Scheduling, **options: Any) -> tuple[Any, Any]:
    """The same wish in a streamed and in a unary call."""
    request = stream_request()
    request.scheduling.CopyFrom(message)
    unary = pb.SynthesizeRequest(utterance=request.utterance, scheduling=message)
    return stubs.speech.StreamSynthesize(request, **options), stubs.speech.Synthesize(unary, **options)


async def started_of(call: Any) -> pb.SynthesisStarted:
    if hasattr(call, "read"):
        first = await call.read()
        call.cancel()
        return first.started
    return (await call).started


# Wishes


async def test_started_reports_the_defaults(stubs: Stubs) -> None:
    for call in both(stubs, pb.Scheduling()):
        assert (await started_of(call)).scheduling == pb.Scheduling(priority=pb.PRIORITY_NORMAL)


async def test_started_reports_what_was_asked_for(stubs: Stubs) -> None:
    wish = pb.Scheduling(priority=pb.PRIORITY_HIGH, start_deadline=deadline(55.5))
    for call in both(stubs, wish):
        assert (await started_of(call)).scheduling == wish


async def test_a_shorter_deadline_of_the_call_counts_as_the_start_deadline(stubs: Stubs) -> None:
    for wish in (pb.Scheduling(), pb.Scheduling(start_deadline=deadline(55.5))):
        for call in both(stubs, wish, timeout=30.0):
            reported = (await started_of(call)).scheduling
            left_s = reported.start_deadline.ToNanoseconds() / 1e9
            assert 20.0 < left_s < 33.0, "gRPC rounds a timeout up on its way"


@pytest.mark.parametrize(
    ("remaining_s", "asked_s", "wanted_s"),
    [(None, None, None), (None, 2.0, 2.0), (3.0, None, 3.0), (3.0, 2.0, 2.0), (1.0, 2.0, 1.0)],
)
def test_the_shorter_deadline_counts(remaining_s: float | None, asked_s: float | None, wanted_s: float | None) -> None:
    message = pb.Scheduling(start_deadline=None if asked_s is None else deadline(asked_s))
    assert scheduling(message, remaining_s) == Scheduling(Priority.NORMAL, wanted_s)


def test_a_call_without_time_left_has_an_impossible_deadline_and_no_bad_one() -> None:
    left_s = scheduling(pb.Scheduling(), 0.0).start_deadline_s
    assert left_s is not None and 0.0 < left_s < 1e-3


@pytest.mark.parametrize("seconds", [0.0, -1.0, 3600.000001, 1e9])
async def test_a_start_deadline_out_of_range(stubs: Stubs, seconds: float) -> None:
    for call in both(stubs, pb.Scheduling(start_deadline=deadline(seconds))):
        refusal = await refused(call)
        assert (refusal.code, refusal.reason) == (INVALID, "START_DEADLINE_OUT_OF_RANGE")
        assert refusal.field == "scheduling.start_deadline"
        assert refusal.limits == {"above_s": "0", "max_s": "3600"}


@pytest.mark.parametrize("seconds", [1, -1, 2**62, -(2**62)])
def test_a_duration_that_is_none_is_refused_too(seconds: int) -> None:
    """Seconds and nanoseconds of different signs, and more than a Duration may hold."""
    with pytest.raises(InvalidRequest):
        scheduling(pb.Scheduling(start_deadline=Duration(seconds=seconds, nanos=-1_000_000_000)), None)


async def test_an_unknown_priority(stubs: Stubs) -> None:
    for call in both(stubs, pb.Scheduling(priority=9)):  # type: ignore[arg-type]
        refusal = await refused(call)
        assert (refusal.code, refusal.reason, refusal.field) == (INVALID, "PRIORITY_UNKNOWN", "scheduling.priority")
        assert refusal.limits == {"known": "0,1,2,3"}


@pytest.fixture
def spoken(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> list[UtteranceRequest]:
    """What reaches the engine."""
    requests: list[UtteranceRequest] = []
    speak = server.engine.speak

    def listening(request: UtteranceRequest, on_event: Callable[[Event], None]) -> Any:
        requests.append(request)
        return speak(request, on_event)

    monkeypatch.setattr(server.engine, "speak", listening)
    return requests


@pytest.mark.parametrize(
    ("sent", "wanted"),
    [
        (pb.PRIORITY_UNSPECIFIED, Priority.NORMAL),
        (pb.PRIORITY_BACKGROUND, Priority.BACKGROUND),
        (pb.PRIORITY_NORMAL, Priority.NORMAL),
        (pb.PRIORITY_HIGH, Priority.HIGH),
    ],
)
async def test_wishes_reach_the_engine(
    stubs: Stubs, spoken: list[UtteranceRequest], sent: Any, wanted: Priority
) -> None:
    for call in both(stubs, pb.Scheduling(priority=sent, start_deadline=deadline(44.0))):
        await started_of(call)
    assert [(request.priority, request.start_deadline_s) for request in spoken] == [(wanted, 44.0)] * 2


async def test_only_a_stream_without_a_seed_may_be_solved_in_fewer_steps(
    stubs: Stubs, spoken: list[UtteranceRequest]
) -> None:
    for seed in (None, 0, 7):
        await started_of(stubs.speech.StreamSynthesize(stream_request(seed=seed, unpaced=False)))
    await stubs.speech.Synthesize(pb.SynthesizeRequest(utterance=pb.Utterance(text=TEXT)))
    assert [request.flexible_steps for request in spoken] == [True, False, False, False]


async def test_finished_tells_the_steps_of_the_model(stubs: Stubs) -> None:
    events = [event async for event in stubs.speech.StreamSynthesize(stream_request())]
    answer = await stubs.speech.Synthesize(pb.SynthesizeRequest(utterance=pb.Utterance(text=TEXT, seed=7)))
    assert events[-1].finished.fewest_flow_steps == answer.finished.fewest_flow_steps >= 1


async def test_a_full_house_is_overloaded_and_says_when_to_come_back(server: RunningServer, stubs: Stubs) -> None:
    await until(lambda: server.engine.live_utterances == 0, 10)
    most = server.engine.info.limits["max_live_utterances"]
    streams = [stubs.speech.StreamSynthesize(paced(400)) for _ in range(most)]
    try:
        for stream in streams:
            assert (await stream.read()).HasField("started")
        for call in both(stubs, pb.Scheduling(priority=pb.PRIORITY_HIGH)):
            refusal = await refused(call)
            assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "OVERLOADED")
            assert refusal.retry_s is not None and refusal.retry_s > 0
    finally:
        for stream in streams:
            stream.cancel()
    await until(lambda: server.engine.live_utterances == 0 and len(server.streams) == 0, 10)


# Where the listener is


class Listener:
    """Takes a stream's audio as it comes, and reports a playhead again and again, as one who pauses does."""

    def __init__(self, stubs: Stubs, stream: Any) -> None:
        self.playhead = 0
        self.end_sample = 0
        self.longest_gap_s = 0.0
        self._stubs = stubs
        self._stream = stream

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        self.utterance_id = (await self._stream.read()).started.utterance_id
        tasks = [asyncio.create_task(work) for work in (self._take(), self._report())]
        try:
            yield
            assert not any(task.done() for task in tasks), "the stream ended, or a report failed"
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._stream.cancel()

    async def _take(self) -> None:
        while True:
            audio = (await self._stream.read()).audio
            self.end_sample = audio.first_sample + audio.num_samples

    async def _report(self) -> None:
        last_s = time.monotonic()
        while True:
            await self._stubs.speech.ReportPlayhead(
                pb.ReportPlayheadRequest(utterance_id=self.utterance_id, played_samples=self.playhead)
            )
            now_s = time.monotonic()
            self.longest_gap_s, last_s = max(self.longest_gap_s, now_s - last_s), now_s
            await asyncio.sleep(0.03)


async def test_a_listener_who_stands_still_gets_no_more_than_its_lead_until_it_moves(stubs: Stubs) -> None:
    lead = RATE_HZ // 2
    listener = Listener(stubs, stubs.speech.StreamSynthesize(paced(lead)))

    def most() -> float:
        """Between two reports the server takes the listener to play."""
        return listener.playhead + lead + (listener.longest_gap_s + 0.1) * RATE_HZ

    async with listener.listening():
        await until(lambda: listener.end_sample > 0, 20)
        await asyncio.sleep(1.5)
        stood = listener.end_sample
        assert stood <= most() < 1.5 * RATE_HZ, "less than the clock alone would have let through"
        await asyncio.sleep(0.5)
        assert listener.end_sample - stood < 0.1 * RATE_HZ
        listener.playhead = stood
        await until(lambda: listener.end_sample >= stood + lead / 2, 20)
        await asyncio.sleep(0.5)
        assert listener.end_sample <= most()


async def report(stubs: Stubs, utterance_id: str, played_samples: int) -> Any:
    return await stubs.speech.ReportPlayhead(
        pb.ReportPlayheadRequest(utterance_id=utterance_id, played_samples=played_samples)
    )


async def test_ids_are_of_one_stream_and_end_with_it(server: RunningServer, stubs: Stubs) -> None:
    streams = [stubs.speech.StreamSynthesize(paced(4000)) for _ in range(2)]
    ids = [(await stream.read()).started.utterance_id for stream in streams]
    assert ids[0] != ids[1] and min(map(len, ids)) >= 16
    for utterance_id in ids:
        await report(stubs, utterance_id, 0)
        await report(stubs, utterance_id, 2**63 - 1)
    streams[0].cancel()
    await until(lambda: len(server.streams) == 1, 5)
    refusal = await refused(report(stubs, ids[0], 0))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "UTTERANCE_NOT_FOUND")
    assert refusal.field == "utterance_id"
    await report(stubs, ids[1], 0)
    streams[1].cancel()
    events = [event async for event in stubs.speech.StreamSynthesize(stream_request())]
    assert (await refused(report(stubs, events[0].started.utterance_id, 0))).reason == "UTTERANCE_NOT_FOUND"


async def test_bad_reports(stubs: Stubs) -> None:
    for unknown in ("", "nobody", "x" * 1000):
        assert (await refused(report(stubs, unknown, 0))).reason == "UTTERANCE_NOT_FOUND"
    stream = stubs.speech.StreamSynthesize(paced(4000))
    utterance_id = (await stream.read()).started.utterance_id
    refusal = await refused(report(stubs, utterance_id, -1))
    assert (refusal.code, refusal.reason) == (INVALID, "PLAYED_SAMPLES_OUT_OF_RANGE")
    assert (refusal.field, refusal.limits) == ("played_samples", {"min": "0"})
    stream.cancel()


async def test_an_answer_in_one_piece_has_no_playhead(server: RunningServer, stubs: Stubs) -> None:
    answer = await stubs.speech.Synthesize(pb.SynthesizeRequest(utterance=pb.Utterance(text=TEXT)))
    assert answer.started.utterance_id == ""
    assert len(server.streams) == 0


async def test_streams_that_are_left_leave_nothing_behind(server: RunningServer, stubs: Stubs) -> None:
    """Callers go before the first event, after it, and in the middle of the audio."""
    await until(lambda: server.engine.live_utterances == 0, 10)
    seen = 0

    async def leave(reads: int) -> None:
        nonlocal seen
        stream = stubs.speech.StreamSynthesize(paced(400, TEXT))
        for _ in range(reads):
            await stream.read()
            seen = max(seen, len(server.streams))
        stream.cancel()

    async def caller(first: int) -> None:
        for number in range(first, first + 50):
            await leave(number % 3)

    await asyncio.gather(*(caller(first) for first in range(8)))
    assert seen > 0
    await until(lambda: server.engine.live_utterances == 0 and len(server.streams) == 0, 20)


class Call:
    """A call's context, as far as its end goes."""

    def __init__(self) -> None:
        self._callbacks: list[Callable[[object], None]] = []

    def add_done_callback(self, callback: Callable[[object], None]) -> None:
        self._callbacks.append(callback)

    def end(self) -> None:
        for callback in self._callbacks:
            callback(self)


def test_thousands_of_streams_are_forgotten_however_they_end() -> None:
    """By themselves, with an error, or parked at a `yield` for ever: then the end of the call is all there is."""
    running, parked = RunningStreams(), []
    for _ in range(2000):
        with running.entered(object(), Call()) as utterance_id:  # type: ignore[arg-type]
            assert running.find(utterance_id) and len(running) == 1
        with pytest.raises(ConnectionError), running.entered(object(), Call()):  # type: ignore[arg-type]
            raise ConnectionError
        call = Call()
        entered = running.entered(object(), call)  # type: ignore[arg-type]
        parked.append(entered)
        assert running.find(entered.__enter__())
        call.end()
        assert len(running) == 0
    for entered in parked:
        entered.__exit__(None, None, None)


async def test_reports_do_not_wait_for_the_turn_of_a_request(tiny_model_dir: Path, tmp_path: Path) -> None:
    """One call in five seconds: a host with many listeners reports all the same."""
    settings = Settings(
        model=str(tiny_model_dir),
        address="127.0.0.1:0",
        data_dir=tmp_path,
        requests_per_second=0.2,
        max_waiting_per_client=1,
        drain_s=0,
        engine=EngineOptions(threads=1),
    )
    async with serving(settings) as slow, grpc.aio.insecure_channel(slow.address) as channel:
        stubs = stubs_of(channel)
        stream = stubs.speech.StreamSynthesize(paced(400))
        utterance_id = (await stream.read()).started.utterance_id
        began = time.monotonic()
        for _ in range(20):
            await report(stubs, utterance_id, 0)
        assert time.monotonic() - began < 4.0
        stream.cancel()
