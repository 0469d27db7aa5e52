"""Who works next: lanes take work, step by step, for whoever runs dry first.

    schedule     the most urgent stage that may run, and the utterances that can share its call
    run          that stage, once
    postprocess  what came of it: the next stage may have it; who is done or failed leaves

A lane is a thread that goes round these three. One lock guards the queues and everything that is decided; what takes
time runs outside it, on what belongs to the stage alone. So on two lanes the tokens of one utterance are drawn while
another is rendered, or its own chunk before them. A listener who is far enough ahead gets no work at all (pacing).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

import torch

from .errors import GenerationFailed, Overloaded
from .forecast import Forecast
from .rendering.chunks import ChunkPolicy
from .requests import Priority
from .stage_clock import StageClock
from .stage_runner import StageRunner
from .stages import Need, Stage
from .utterance import Utterance
from .work import Task, Work

__all__ = ["Scheduler"]

_logger = logging.getLogger(__name__)

_TASK_ALLOWANCE_S = 1.0
"""Work outside utterances (preparing a prompt) queues behind audio that is due sooner."""
_SHORTEST_RETRY_S = 0.1
_FULL_RETRY_S = 1.0
_SHARED = {Stage.PROMPT: Stage.PROMPT, Stage.PREFILL: Stage.DECODE, Stage.DECODE: Stage.DECODE}
"""Stages of which one call runs at a time, under the name of what they share: the encoders, the slots of tokens."""


class Scheduler:
    """Start it once with `start`; `submit`, `call`, `wake` and `stop` may be called from any thread."""

    def __init__(self, runner: StageRunner, *, lanes: int, max_live: int) -> None:
        """`max_live`: utterances at once, waiting and paused ones included."""
        self.clock = StageClock()
        self._runner = runner
        self._max_live = max_live
        self._forecast = Forecast(lanes, ChunkPolicy().first_audio_s)
        self._condition = threading.Condition()
        self._tasks: list[Task] = []
        self._live: list[Utterance] = []
        self._taken: set[Stage] = set()
        """What `_SHARED` names and a lane is at."""
        self._resting = 0
        """Lanes that wait for work."""
        self._stopping = False
        self._lanes = [
            threading.Thread(target=self._lane, name=f"oncue-lane-{number}", daemon=True) for number in range(lanes)
        ]

    # Any thread

    def start(self) -> None:
        for lane in self._lanes:
            lane.start()

    def submit(self, utterance: Utterance) -> None:
        """Take an utterance in.

        Overloaded where `max_live` are there, or where its start deadline cannot be met; GenerationFailed
        ENGINE_CLOSED.
        """
        with self._condition:
            if self._stopping:
                raise _closed()
            if len(self._live) >= self._max_live:
                raise Overloaded(f"{self._max_live} utterances are live already", retry_after_s=_FULL_RETRY_S)
            self._check_deadline(utterance)
            utterance.delivery.open(len(utterance.script.lengths), utterance.script.sampling)
            self._live.append(utterance)
            self._condition.notify()

    def call(self, function: Callable[[], Any]) -> Future[Any]:
        """Run `function` on a lane, no other prompt being prepared meanwhile, when no audio is due sooner."""
        task = Task(function)
        with self._condition:
            if self._stopping:
                task.future.set_exception(_closed())
                return task.future
            self._tasks.append(task)
            self._condition.notify()
        return task.future

    def wake(self) -> None:
        """Something changed from outside: a cancel, a playhead."""
        with self._condition:
            self._condition.notify()

    def stop(self) -> None:
        """End everything that is live with Failed, and the lanes. Returns when they are gone; more calls do nothing."""
        with self._condition:
            self._stopping = True
            self._condition.notify_all()
        for lane in self._lanes:
            if lane.is_alive() and lane is not threading.current_thread():
                lane.join()
        self._end_all()

    @property
    def live(self) -> int:
        """Utterances that are live, waiting ones included."""
        return len(self._live)

    @property
    def free_slots(self) -> int:
        return self._runner.free_slots

    @property
    def lanes(self) -> int:
        return len(self._lanes)

    def forget_costs(self) -> None:
        """Learn anew what speech costs; what preparing a prompt costs stays."""
        with self._condition:
            self._forecast.forget()

    # A lane

    def _lane(self) -> None:
        # The parts of small calls would wait for each other: lanes are what runs side by side.
        torch.set_num_threads(1)
        try:
            with torch.inference_mode():
                while (work := self._take()) is not None:
                    begin_s = time.perf_counter()
                    through = self._runner.run(work)
                    self._postprocess(work, through, time.perf_counter() - begin_s)
        except Exception:
            # A fault of the loop itself. Nobody may wait for ever for a lane that is gone.
            _logger.exception("a lane of the engine failed")
            with self._condition:
                self._stopping = True
                self._condition.notify_all()
            self._end_all()

    def _take(self) -> Work | None:
        """The next work, once there is any; None at the end."""
        with self._condition:
            while not self._stopping:
                now_s = time.monotonic()
                self._sweep()
                self._let_in(now_s)
                work, more = self._schedule(now_s)
                if work is not None:
                    self._begin(work)
                    if more and self._resting:
                        self._condition.notify()
                    return work
                self._resting += 1
                try:
                    self._condition.wait(self._idle_s(now_s))
                finally:
                    self._resting -= 1
        return None

    def _sweep(self) -> None:
        """Let go of who has ended and is in no lane."""
        for utterance in [utterance for utterance in self._live if utterance.closed and not utterance.busy]:
            sequence = utterance.sequence
            if sequence is not None:
                if Stage.DECODE in self._taken:
                    continue  # the slots are in use: when they are back
                self._runner.release(sequence)
            self._live.remove(utterance)

    def _let_in(self, now_s: float) -> None:
        """Streams in real time begin only while all of them can be served; others take what is left anyway."""
        waiting = [utterance for utterance in self._live if not utterance.begun]
        if not waiting:
            return
        streams = sum(utterance.streaming(now_s) for utterance in self._live)
        settling = sum(utterance.settling(now_s) for utterance in self._live)
        for utterance in sorted(waiting, key=lambda u: (-u.script.request.priority, u.delivery.born_s)):
            if not utterance.unpaced:
                if not (self._forecast.fits(streams + 1) and self._forecast.may_start(settling)):
                    continue
                streams += 1
                settling += 1
            utterance.begun = True

    def _schedule(self, now_s: float) -> tuple[Work | None, bool]:
        """The most urgent work, and whether there is more for another lane."""
        needs = [
            (need, utterance)
            for utterance in self._live
            for need in utterance.ready(now_s)
            if self._can_run(need.stage)
        ]
        first = min(needs, key=_rank, default=None)
        if self._tasks and Stage.PROMPT not in self._taken:
            slack_s = _TASK_ALLOWANCE_S - (now_s - self._tasks[0].born_s)
            if first is None or (False, True, -Priority.NORMAL, slack_s) < first[0].rank:
                return Work(Stage.PROMPT, task=self._tasks.pop(0)), bool(needs)
        if first is None:
            return None, False
        stage = first[0].stage
        same = sorted((item for item in needs if item[0].stage is stage), key=_rank)
        along = self._runner.share(stage, [utterance for _, utterance in same])
        due = sum(not need.rank[1] and not need.rank[0] for need, _ in same)
        crowd = max(1.0, due / len(self._lanes))
        return Work(stage, tuple(along), crowd=crowd), len(needs) > len(along)

    def _can_run(self, stage: Stage) -> bool:
        if _SHARED.get(stage) in self._taken:
            return False
        return stage is not Stage.PREFILL or self._runner.free_slots > 0

    def _begin(self, work: Work) -> None:
        if work.stage in _SHARED:
            self._taken.add(_SHARED[work.stage])
        for utterance in work.utterances:
            utterance.busy.add(work.stage)
            if work.stage is Stage.FLOW:
                utterance.begin_chunk()

    def _postprocess(self, work: Work, through: Sequence[Utterance], seconds: float) -> None:
        """`through`: utterances whose chunk left the stage."""
        self.clock.add(work.name, max(1, len(work.utterances)), seconds)
        with self._condition:
            if work.stage in _SHARED:
                self._taken.discard(_SHARED[work.stage])
            for utterance in work.utterances:
                utterance.busy.discard(work.stage)
            for utterance in through:
                if work.stage is Stage.FLOW:
                    utterance.end_chunk()
                else:
                    utterance.end_wave()
            self._learn(work, seconds)

    def _learn(self, work: Work, seconds: float) -> None:
        if work.stage is Stage.PROMPT:
            if work.task is not None or any(utterance.prompt_encodes for utterance in work.utterances):
                self._forecast.encoded(seconds)
            return
        audio_s, now_s = 0.0, time.monotonic()
        for utterance in work.utterances:
            utterance.worked_at_s = now_s
            utterance.work_s += seconds / len(work.utterances)
            starting = utterance.counted_s == 0.0
            made_s = utterance.count_made()
            audio_s += made_s
            if starting and made_s > 0.0:
                self._forecast.started(utterance.work_s)
        self._forecast.made(seconds, audio_s)

    def _idle_s(self, now_s: float) -> float | None:
        """How long nothing will change by itself."""
        waits = [wait for utterance in self._live if (wait := utterance.wake_in_s(now_s)) is not None]
        # A clock that is a hair too early would spin.
        return min(waits) + 0.001 if waits else None

    def _check_deadline(self, utterance: Utterance) -> None:
        request = utterance.script.request
        deadline_s = request.start_deadline_s
        if deadline_s is None:
            return
        ahead = sum(
            other.starting and request.priority <= other.script.request.priority and utterance.unpaced >= other.unpaced
            for other in self._live
        )
        now_s = time.monotonic()
        running = [other.remaining_s() for other in self._live if other.streaming(now_s) and not other.starting]
        expected_s = self._forecast.expected_start_s(ahead, running, utterance.clips_to_encode)
        if expected_s > deadline_s:
            raise Overloaded(
                f"it would start after about {expected_s:.3g} s, later than its deadline of {deadline_s:g} s",
                retry_after_s=max(_SHORTEST_RETRY_S, expected_s - deadline_s),
                field="scheduling.start_deadline",
            )

    def _end_all(self) -> None:
        with self._condition:
            left, self._live = self._live, []
            tasks, self._tasks = self._tasks, []
        for utterance in left:
            utterance.delivery.fail(_closed())
        for task in tasks:
            task.future.set_exception(_closed())


def _rank(item: tuple[Need, Utterance]) -> tuple[bool, bool, int, float]:
    return item[0].rank


def _closed() -> GenerationFailed:
    return GenerationFailed("the engine was closed", reason="ENGINE_CLOSED")
