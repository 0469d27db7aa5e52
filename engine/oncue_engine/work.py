"""What a lane is given to do: one call of a stage for some utterances, or a task."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from .stages import Stage
from .utterance import Utterance

__all__ = ["Task", "Work"]


@dataclass(slots=True, eq=False)
class Task:
    """A call of somebody who waits for its result, such as the preparing of a prompt."""

    function: Callable[[], Any]
    future: Future[Any] = field(default_factory=Future)
    born_s: float = field(default_factory=time.monotonic)

    def run(self) -> None:
        """Call it; its result or error goes to the future."""
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            self.future.set_result(self.function())
        except Exception as error:
            self.future.set_exception(error)


@dataclass(frozen=True, slots=True, eq=False)
class Work:
    """One step of a lane. A task comes alone."""

    stage: Stage
    utterances: tuple[Utterance, ...] = ()
    task: Task | None = None
    crowd: float = 1.0
    """How many times as long as alone a chunk takes at present, the others' chunks that are due being in between."""

    @property
    def name(self) -> str:
        """For the stage clock."""
        return self.stage.value if self.task is None else "task"
