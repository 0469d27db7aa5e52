"""How long each stage has worked: a plain sum, for benchmarks and metrics."""

from __future__ import annotations

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
    """Written by one thread; `read` may be called from any."""

    def __init__(self) -> None:
        self._times: dict[str, StageTime] = {}

    @contextmanager
    def measure(self, stage: str, items: int = 1) -> Iterator[None]:
        """Add the time of the block to `stage`, also when it raises."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            old = self._times.get(stage, StageTime())
            seconds = old.seconds + time.perf_counter() - begin
            self._times[stage] = StageTime(old.calls + 1, old.items + items, seconds)

    def read(self) -> dict[str, StageTime]:
        """The sums so far."""
        return dict(self._times)
