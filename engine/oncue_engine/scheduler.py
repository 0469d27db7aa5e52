"""The only loop: one thread owns the networks, and gives them, step by step, to whoever runs dry first.

    schedule     which stage, for which utterances (a list of jobs)
    run          that stage, once
    postprocess  what came of it goes to the listeners; who is done or failed leaves

Tokens of all who may go along are decoded in one batch; flow and vocoder calls take lists of jobs, of one job each so
far. A listener who is far enough ahead gets no work at all (pacing), so that the device is free for the others.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from .checkpoints.loaded import LoadedModel
from .conditioning import Conditioner
from .decoding.batch import TokenBatch, prefix_rows
from .errors import GenerationFailed, Overloaded
from .model.flow import FlowSchedule
from .prompting import prepare_prompts
from .rendering.mel import render_mel
from .rendering.wave import render_wave
from .stage_clock import StageClock
from .utterance import Stage, Utterance

__all__ = ["Scheduler"]

_logger = logging.getLogger(__name__)

_TASK_ALLOWANCE_S = 1.0
"""Work outside utterances (preparing a prompt) queues behind audio that is due sooner."""
_RETRY_AFTER_S = 1.0


@dataclass(slots=True, eq=False)
class _Task:
    """A call that must run on the engine's thread."""

    call: Callable[[], Any]
    future: Future[Any]
    born_s: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True)
class _Work:
    """One step: a task, or a stage with the utterances that take part."""

    task: _Task | None = None
    stage: Stage | None = None
    utterances: tuple[Utterance, ...] = ()


class Scheduler:
    """Start it once with `start`; `submit`, `call`, `wake` and `stop` may be called from any thread."""

    def __init__(
        self, model: LoadedModel, conditioner: Conditioner, *, slots: int, max_live: int, threads: int
    ) -> None:
        """`slots`: segments whose tokens are drawn at once; `max_live`: utterances at once, paused ones included."""
        config = model.config
        longest = config.speech.max_segment_pieces + 2 + config.speech.max_segment_tokens + 1
        self.clock = StageClock()
        self._model = model
        self._conditioner = conditioner
        self._batch = TokenBatch(model.t2s, slots, config.t2s.conditioning_rows + longest)
        self._flow = FlowSchedule.uniform(model.s2mel.estimator, config.speech.flow_steps)
        self._max_live = max_live
        self._threads = threads
        self._condition = threading.Condition()
        self._arrivals: list[Utterance] = []
        self._tasks: list[_Task] = []
        self._live: list[Utterance] = []
        self._admitted = 0
        """Live and arriving, kept under the lock for the door."""
        self._woken = False
        self._stopping = False
        self._thread = threading.Thread(target=self._loop, name="oncue-engine", daemon=True)

    # Any thread

    def start(self) -> None:
        self._thread.start()

    def submit(self, utterance: Utterance) -> None:
        """Take an utterance in. Overloaded where `max_live` are there; GenerationFailed ENGINE_CLOSED."""
        with self._condition:
            if self._stopping:
                raise _closed()
            if self._admitted >= self._max_live:
                raise Overloaded(f"{self._max_live} utterances are live already", retry_after_s=_RETRY_AFTER_S)
            self._admitted += 1
            self._arrivals.append(utterance)
            self._condition.notify()

    def call(self, function: Callable[[], Any]) -> Future[Any]:
        """Run `function` on the engine's thread, when no audio is due sooner."""
        task = _Task(function, Future())
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
            self._woken = True
            self._condition.notify()

    def stop(self) -> None:
        """End everything that is live with Failed, and the thread. Returns when it has ended; more calls do nothing."""
        with self._condition:
            self._stopping = True
            self._condition.notify()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join()

    @property
    def live(self) -> int:
        """Utterances that are live or arriving."""
        return self._admitted

    @property
    def free_slots(self) -> int:
        return self._batch.free_slots

    # The engine's thread

    def _loop(self) -> None:
        torch.set_num_threads(self._threads)
        try:
            with torch.inference_mode():
                while self._receive():
                    work = self._schedule()
                    if work is not None:
                        self._run(work)
                    self._postprocess()
        except Exception:
            # A fault of the loop itself. Nobody may wait for ever for a thread that is gone.
            _logger.exception("the engine's loop failed")
        with self._condition:
            self._stopping = True
            left, tasks = self._live + self._arrivals, self._tasks
        for utterance in left:
            utterance.delivery.fail(_closed())
        for task in tasks:
            task.future.set_exception(_closed())

    def _receive(self) -> bool:
        """Take in what came; wait where there is nothing to do. False at the end."""
        with self._condition:
            if not (self._stopping or self._woken or self._arrivals or self._tasks):
                self._condition.wait(self._idle_s())
            self._woken = False
            arrived, self._arrivals = self._arrivals, []
            self._live.extend(arrived)
            if self._stopping:
                return False
        for utterance in arrived:
            utterance.delivery.start(len(utterance.script.lengths))
        return True

    def _idle_s(self) -> float | None:
        """How long nothing can be done; 0 where there is work now."""
        now_s = time.monotonic()
        waits: list[float] = []
        for utterance in self._live:
            if utterance.closed or self._can_run(utterance, utterance.next_stage(now_s)):
                return 0.0
            wait = utterance.wake_in_s(now_s)
            if wait is not None:
                # A clock that is a hair too early would spin.
                waits.append(wait + 0.001)
        return min(waits, default=None)

    def _schedule(self) -> _Work | None:
        now_s = time.monotonic()
        ready: list[tuple[tuple[bool, float], _Work]] = []
        for utterance in self._live:
            stage = None if utterance.closed else utterance.next_stage(now_s)
            if self._can_run(utterance, stage):
                ready.append((utterance.urgency(now_s), _Work(stage=stage, utterances=(utterance,))))
        with self._condition:
            for task in self._tasks[:1]:
                ready.append(((False, _TASK_ALLOWANCE_S - (now_s - task.born_s)), _Work(task=task)))
        if not ready:
            return None
        work = min(ready, key=lambda item: item[0])[1]
        if work.stage is Stage.DECODE:
            along = [u for u in self._live if not u.closed and (u in work.utterances or u.may_decode(now_s))]
            return _Work(stage=Stage.DECODE, utterances=tuple(along))
        return work

    def _can_run(self, utterance: Utterance, stage: Stage | None) -> bool:
        return stage is not None and (stage is not Stage.PREFILL or self._batch.free_slots > 0)

    def _run(self, work: _Work) -> None:
        if work.task is not None:
            self._run_task(work.task)
            return
        assert work.stage is not None
        with self.clock.measure(work.stage.value, len(work.utterances)):
            if work.stage is Stage.DECODE:
                self._decode(work.utterances)
                return
            for utterance in work.utterances:
                try:
                    self._run_one(work.stage, utterance)
                except Exception as error:
                    _log_failure(utterance, error)
                    utterance.delivery.fail(error)

    def _run_task(self, task: _Task) -> None:
        with self._condition:
            self._tasks.remove(task)
        with self.clock.measure("task"):
            if not task.future.set_running_or_notify_cancel():
                return
            try:
                task.future.set_result(task.call())
            except Exception as error:
                task.future.set_exception(error)

    def _run_one(self, stage: Stage, utterance: Utterance) -> None:
        if stage is Stage.PROMPT:
            self._prompt(utterance)
        elif stage is Stage.PREFILL:
            self._prefill(utterance)
        elif stage is Stage.FLOW:
            self._render_flow([utterance])
        else:
            self._render_wave([utterance])

    def _prompt(self, utterance: Utterance) -> None:
        script, conditioner = utterance.script, self._conditioner
        before = conditioner.prompt_encodes
        utterance.voice, utterance.emotion = prepare_prompts(
            conditioner, self._model.emotion_bank, script.request, script.voice_clip, script.emotion_clip
        )
        utterance.prompt_encodes += conditioner.prompt_encodes - before

    def _prefill(self, utterance: Utterance) -> None:
        assert utterance.voice is not None and utterance.emotion is not None
        text_ids, spec = utterance.next_text()
        prefix = prefix_rows(self._model.t2s, utterance.voice.latents, utterance.emotion, spec.told_tokens, text_ids)
        sequence = self._batch.start(prefix, spec)
        utterance.add_segment(sequence)
        if not sequence.live:
            self._batch.release(sequence)

    def _decode(self, utterances: Sequence[Utterance]) -> None:
        rows = [(utterance, utterance.sequence) for utterance in utterances]
        self._batch.step([sequence for _, sequence in rows if sequence is not None])
        for utterance, sequence in rows:
            if sequence is None or sequence.live:
                continue
            self._batch.release(sequence)
            if sequence.error is not None:
                _log_failure(utterance, sequence.error)
                utterance.delivery.fail(sequence.error)

    def _render_flow(self, utterances: Sequence[Utterance]) -> None:
        """The next chunk of each: semantic rows, then one flow call for all."""
        model, speech = self._model, self._model.config.speech
        mels, jobs = [], []
        for utterance in utterances:
            codes, latents = utterance.tokens_to_condition()
            rows = model.s2mel.semantic(latents[None], model.codec.embed(codes[None]))[0]
            mel, chunk = utterance.begin_chunk(rows)
            job = mel.job(chunk, model.s2mel)
            if job is not None:
                mels.append(mel)
                jobs.append(job)
        for mel, frames in zip(mels, render_mel(model.s2mel, jobs, self._flow, speech.guidance), strict=True):
            mel.accept(frames)

    def _render_wave(self, utterances: Sequence[Utterance]) -> None:
        """What the last flow call has settled, for each."""
        jobs = [(utterance, utterance.vocoder_job()) for utterance in utterances]
        waves = iter(render_wave(self._model.vocoder, [job for _, job in jobs if job is not None]))
        for utterance, job in jobs:
            utterance.accept_wave(np.zeros(0, dtype=np.float32) if job is None else next(waves))

    def _postprocess(self) -> None:
        """Send what is ready; let go of who has ended."""
        now_s = time.monotonic()
        for utterance in self._live:
            utterance.deliver(now_s)
        ended = [utterance for utterance in self._live if utterance.closed]
        for utterance in ended:
            sequence = utterance.sequence
            if sequence is not None:
                self._batch.release(sequence)
        if ended:
            self._live = [utterance for utterance in self._live if not utterance.closed]
            with self._condition:
                self._admitted -= len(ended)


def _log_failure(utterance: Utterance, error: Exception) -> None:
    _logger.error("an utterance of %d segments failed", len(utterance.script.lengths), exc_info=error)


def _closed() -> GenerationFailed:
    return GenerationFailed("the engine was closed", reason="ENGINE_CLOSED")
