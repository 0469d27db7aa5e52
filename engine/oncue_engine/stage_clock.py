"""How long each stage has worked: a plain sum, for benchmarks and metrics."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

__all__ = ["StageClock", "StageTime"]


@dataclass(frozen=True, slots=True)
class StageTime:
    """Calls of a stage, items in them (rows of a batch), and wall seconds."""

    calls: int = 0
    items: int = 0
    seconds: float = 0.0


class StageClock:
    """Any thread may write and read."""

    def __init__(self) -> None:
        self._times: dict[str, StageTime] = {}
        self._lock = threading.Lock()

    @contextmanager
    def measure(self, stage: str, items: int = 1) -> Iterator[None]:
        """Add the time of the block to `stage`, also when it raises."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.add(stage, items, time.perf_counter() - begin)

    def add(self, stage: str, items: int, seconds: float) -> None:
        """One call of `stage`, with so many items in it."""
        with self._lock:
            old = self._times.get(stage, StageTime())
            self._times[stage] = StageTime(old.calls + 1, old.items + items, old.seconds + seconds)

    def read(self) -> dict[str, StageTime]:
        """The sums so far."""
        with self._lock:
            return dict(self._times)
