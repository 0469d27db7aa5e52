"""How many steps the flow of a chunk takes: the model's number, or fewer where its listener would run dry otherwise."""

from __future__ import annotations

import math

__all__ = ["FlowSteps"]

_SHARES = (1.0, 0.875, 0.75)
"""Of the full number: with fewer, words suffer (docs/performance.md)."""
_NEWEST = 0.1
"""How much the newest call counts in the mean of what a step of a frame takes."""
_FLOW_SHARE = 0.6
"""Of the time until the listener runs dry that the flow may use: tokens and vocoder need theirs."""


class FlowSteps:
    """Several lanes may use it: what they learn at once may be lost, which does no harm to a mean."""

    def __init__(self, full: int, *, fixed: bool) -> None:
        """`fixed`: always the full number."""
        self.full = full
        self.choices = (full,) if fixed else tuple(sorted({max(1, math.ceil(full * s)) for s in _SHARES}, reverse=True))
        self._frame_s = 0.0

    def took(self, frames: int, seconds: float) -> None:
        """A step over so many frames took so long."""
        if frames > 0:
            known = self._frame_s > 0.0
            self._frame_s += (seconds / frames - self._frame_s) * (_NEWEST if known else 1.0)

    def within(self, slack_s: float, frames: int, crowd: float) -> int:
        """The most steps that end in time: `slack_s` until the listener runs dry, `crowd` times slower than alone."""
        step_s = frames * self._frame_s * crowd
        return next((steps for steps in self.choices if steps * step_s <= slack_s * _FLOW_SHARE), self.choices[-1])
