"""What the engine's door needs of whoever turns utterances into audio on threads of its own."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Protocol

from .stage_clock import StageClock
from .utterance import Utterance

__all__ = ["Pipeline"]


class Pipeline(Protocol):
    """`start` it once; all else may be called from any thread."""

    @property
    def clock(self) -> StageClock:
        """How long each stage has worked."""

    @property
    def live(self) -> int:
        """Utterances that are live or arriving."""

    @property
    def free_slots(self) -> int:
        """Segments whose tokens could be drawn beside those that are."""

    @property
    def lanes(self) -> int:
        """Calls of networks that can run side by side."""

    def start(self) -> None: ...

    def forget_costs(self) -> None:
        """What was done so far was done cold: it says nothing about what speech costs."""

    def submit(self, utterance: Utterance) -> None:
        """Take an utterance in. Overloaded where there are too many; GenerationFailed ENGINE_CLOSED."""

    def call(self, function: Callable[[], Any]) -> Future[Any]:
        """Run `function` on the thread of the networks."""

    def wake(self) -> None:
        """Something changed from outside: a cancel, a playhead."""

    def stop(self) -> None:
        """End everything that is live with Failed, and the thread. Returns when it has ended."""
