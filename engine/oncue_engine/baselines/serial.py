"""One request at a time, in the order they came: the thread that makes speech, and the one that sends it.

Sending follows the request's pacing as in the engine; making does not wait for it. What a listener still has to get is
sent while the next request is being worked on.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..conditioning import Conditioner, VoiceConditioning
from ..errors import GenerationFailed, Overloaded
from ..prompting import prepare_prompts
from ..script import Script
from ..stage_clock import StageClock
from ..utterance import Utterance
from ..work import Task

__all__ = ["SerialPipeline", "Speech", "Way"]

Samples = npt.NDArray[np.float32]

_logger = logging.getLogger(__name__)

_SEND_EVERY_S = 0.01
_RETRY_AFTER_S = 1.0


@dataclass(slots=True, eq=False)
class Speech:
    """What a way of speaking works on, and what it counts."""

    script: Script
    voice: VoiceConditioning
    emotion: Tensor
    """Emotion vector [M], merged."""
    clock: StageClock
    codes: int = 0
    hit_limit: bool = False
    """Some free segment did not stop by itself."""


class Way(Protocol):
    """How an utterance is made."""

    @property
    def flow_steps(self) -> int:
        """Euler steps of every flow call."""

    def speak(self, speech: Speech) -> Generator[Samples | None, None, None]:
        """Native samples in order, and None between two stages, where work may be given up.

        Raises GenerationFailed, or what the networks raise.
        """


@dataclass(slots=True, eq=False)
class _Live:
    """An utterance from its arrival until it was finished, failed or cancelled."""

    utterance: Utterance
    speech: Speech | None = None


class SerialPipeline:
    """`pipeline.Pipeline` around one way of speaking."""

    def __init__(self, conditioner: Conditioner, way: Way, *, max_live: int, threads: int) -> None:
        self.clock = StageClock()
        self._conditioner, self._way = conditioner, way
        self._max_live = max_live
        self._threads = threads
        # Guards all below, and every delivery: one thread pushes audio, another sends it.
        self._condition = threading.Condition()
        self._waiting: deque[_Live | Task] = deque()
        self._live: list[_Live] = []
        self._busy = False
        self._stopping = False
        self._maker = threading.Thread(target=self._make_all, name="oncue-baseline", daemon=True)
        self._sender = threading.Thread(target=self._send_all, name="oncue-baseline-send", daemon=True)

    # Any thread

    @property
    def live(self) -> int:
        with self._condition:
            return len(self._live)

    @property
    def free_slots(self) -> int:
        with self._condition:
            return 0 if self._busy or self._waiting else 1

    @property
    def lanes(self) -> int:
        return 1

    def forget_costs(self) -> None:
        """Nothing is forecast here."""

    def start(self) -> None:
        self._maker.start()
        self._sender.start()

    def submit(self, utterance: Utterance) -> None:
        with self._condition:
            if self._stopping:
                raise _closed()
            if len(self._live) >= self._max_live:
                raise Overloaded(f"{self._max_live} utterances are live already", retry_after_s=_RETRY_AFTER_S)
            live = _Live(utterance)
            self._live.append(live)
            self._waiting.append(live)
            self._condition.notify_all()

    def call(self, function: Callable[[], Any]) -> Future[Any]:
        task = Task(function)
        with self._condition:
            if self._stopping:
                task.future.set_exception(_closed())
                return task.future
            self._waiting.append(task)
            self._condition.notify_all()
        return task.future

    def wake(self) -> None:
        with self._condition:
            self._condition.notify_all()

    def stop(self) -> None:
        with self._condition:
            self._stopping = True
            self._condition.notify_all()
        for thread in (self._maker, self._sender):
            if thread.is_alive() and threading.current_thread() is not thread:
                thread.join()

    # The thread of the networks

    def _make_all(self) -> None:
        torch.set_num_threads(self._threads)
        with torch.inference_mode():
            while (work := self._next()) is not None:
                if isinstance(work, Task):
                    with self.clock.measure("task"):
                        work.run()
                    continue
                try:
                    self._make(work)
                except Exception as error:
                    _logger.exception("an utterance of %d segments failed", len(work.utterance.script.lengths))
                    with self._condition:
                        work.utterance.delivery.fail(error)
                        self._condition.notify_all()

    def _next(self) -> _Live | Task | None:
        """What came first of what waits; None at the end, when whatever is left has been told."""
        with self._condition:
            self._busy = False
            self._condition.wait_for(lambda: self._stopping or self._waiting)
            if not self._stopping:
                self._busy = True
                return self._waiting.popleft()
            for live in self._live:
                live.utterance.delivery.fail(_closed())
            for work in self._waiting:
                if isinstance(work, Task):
                    work.future.set_exception(_closed())
            self._waiting.clear()
            self._condition.notify_all()
            return None

    def _make(self, live: _Live) -> None:
        utterance = live.utterance
        if utterance.delivery.closed:
            return
        with self._condition:
            utterance.delivery.open(len(utterance.script.lengths), utterance.script.sampling)
        voice, emotion = self._prompts(utterance)
        live.speech = Speech(utterance.script, voice, emotion, self.clock)
        with closing(self._way.speak(live.speech)) as made:
            for samples in made:
                with self._condition:
                    if self._stopping or utterance.delivery.closed:
                        return
                    if samples is not None:
                        utterance.delivery.push(samples)
                        self._condition.notify_all()
        with self._condition:
            utterance.delivery.end()
            self._condition.notify_all()

    def _prompts(self, utterance: Utterance) -> tuple[VoiceConditioning, Tensor]:
        if utterance.voice is None or utterance.emotion is None:
            with self.clock.measure("prompt"):
                return prepare_prompts(self._conditioner, utterance)
        return utterance.voice, utterance.emotion

    # The thread that sends

    def _send_all(self) -> None:
        with self._condition:
            while True:
                for live in self._live:
                    self._send(live)
                self._live = [live for live in self._live if not live.utterance.delivery.closed]
                if self._stopping and not self._live:
                    return
                audible = any(live.utterance.delivery.produced for live in self._live)
                self._condition.wait(_SEND_EVERY_S if audible else None)

    def _send(self, live: _Live) -> None:
        delivery, speech = live.utterance.delivery, live.speech
        if speech is None:
            return
        delivery.send(time.monotonic(), speech.codes)
        if delivery.ended:
            reason = "token_limit" if speech.hit_limit else "complete"
            delivery.finish(speech.codes, live.utterance.prompt_encodes, self._way.flow_steps, reason)


def _closed() -> GenerationFailed:
    return GenerationFailed("the engine was closed", reason="ENGINE_CLOSED")
