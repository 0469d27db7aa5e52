"""What speech costs on this machine, learnt from what was done: who can be let in, and when a newcomer would start.

Costs are counted in lane seconds: the time that a call holds a lane, shared by the utterances in it. So they rise where
other programs take the cores, and fall where batches share work.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Forecast"]

_MEMORY_S = 30.0
"""Seconds of audio after which what was learnt counts half."""
_START_WEIGHT = 0.2
"""How much the newest start counts in their mean."""
_SAFE_SHARE = 0.75
"""Of the lanes that streams in real time may fill: the rest is for starts and for what takes longer than usual."""
_LEAST_SHARE = 0.1
"""Newcomers get at least that, as a stream that is ahead gives way to one that has heard nothing."""


@dataclass(slots=True)
class Forecast:
    """Not for several threads at once."""

    lanes: int
    first_chunk_s: float
    """How long a stream plays what it gets first."""
    _busy_s: float = 0.0
    _audio_s: float = 0.0
    _start_s: float = 0.0
    _encode_s: float = 0.0

    @property
    def cost(self) -> float:
        """Lane seconds for a second of audio; 0 while nothing is known."""
        return self._busy_s / self._audio_s if self._audio_s > 0.0 else 0.0

    @property
    def start_s(self) -> float:
        """Lane seconds from an utterance's first call to its first audio."""
        return self._start_s

    def forget(self) -> None:
        """Start anew, but for what prompts cost."""
        self._busy_s = self._audio_s = self._start_s = 0.0

    def made(self, busy_s: float, audio_s: float) -> None:
        """So much work was done, and so much audio came of it."""
        kept = 0.5 ** (audio_s / _MEMORY_S)
        self._busy_s = self._busy_s * kept + busy_s
        self._audio_s = self._audio_s * kept + audio_s

    def started(self, work_s: float) -> None:
        """An utterance had its first audio after so much work on it."""
        known = self._start_s > 0.0
        self._start_s += (work_s - self._start_s) * (_START_WEIGHT if known else 1.0)

    def encoded(self, work_s: float) -> None:
        """Preparing a prompt took so long."""
        self._encode_s += (work_s - self._encode_s) * (_START_WEIGHT if self._encode_s > 0.0 else 1.0)

    def fits(self, streams: int) -> bool:
        """Whether so many streams in real time can be served without a gap. One always is: it has all there is."""
        return streams <= 1 or streams * self.cost <= self.lanes * _SAFE_SHARE

    def may_start(self, settling: int) -> bool:
        """Whether one more may start beside those of whom only the first chunk is there.

        The second chunks of all must be made while the first ones are played, and each takes about as long as a start.
        """
        return settling == 0 or (settling + 1) * self._start_s <= self.lanes * _SAFE_SHARE * self.first_chunk_s

    def expected_start_s(self, ahead: int, remaining_s: Sequence[float], encodes: int = 0) -> float:
        """Time until a newcomer in real time would have its first audio.

        `ahead`: utterances that start before it; `remaining_s`: audio that each running stream still has to make;
        `encodes`: prompts of its own that must be prepared first.
        """
        ends = sorted(remaining_s)
        # While it is not let in, it waits for the shortest of the running ones to end.
        wait_s, streams = 0.0, len(ends) + 1
        while not self.fits(streams):
            wait_s = ends[len(ends) + 1 - streams]
            streams -= 1
        free = max(self.lanes - (streams - 1) * self.cost, self.lanes * _LEAST_SHARE)
        own_s = self._start_s + encodes * self._encode_s
        # A start is one stage after the other: alone it takes its own time, however many lanes are free.
        return wait_s + max(own_s, (ahead * self._start_s + own_s) / free)
