"""Chunks that know nothing of each other, faded into each other: what others do, to compare with (design.md 4)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ..timing.frame_map import FrameMap
from .chunks import Chunk

__all__ = ["CrossFade", "FadeSpan", "fade_tokens"]

Samples = npt.NDArray[np.float32]

_FADE_MS = 40
"""What two neighbours share, at least; a whole number of tokens."""


def fade_tokens(token_rate_hz: float) -> int:
    """Tokens after a chunk that are rendered with it, so that there is something to fade."""
    return max(1, math.ceil(_FADE_MS * token_rate_hz / 1000))


@dataclass(frozen=True, slots=True)
class FadeSpan:
    """Mel frames of a chunk in its segment: [first, settled) its own, [settled, stop) shared with the next."""

    first: int
    settled: int
    stop: int

    @classmethod
    def of(cls, chunk: Chunk, frame_map: FrameMap, shared_tokens: int) -> FadeSpan:
        """The last chunk of a segment shares nothing, and ends where the segment does."""
        first = frame_map.first_frame(chunk.begin)
        if chunk.last:
            total = max(first, frame_map.total_frames(chunk.end))
            return cls(first, total, total)
        return cls(first, frame_map.first_frame(chunk.end), frame_map.first_frame(chunk.end + shared_tokens))


@dataclass(slots=True)
class CrossFade:
    """Joins the chunks of one segment by linear fades."""

    _tail: Samples = field(default_factory=lambda: np.zeros(0, dtype=np.float32))
    """Samples of the chunk before that this one must fade in over."""

    def join(self, samples: Samples, shared: int) -> Samples:
        """Take a chunk, the last `shared` samples of which the next one has too; returns what is settled by it.

        A chunk is longer than the tail of the one before; a last one that is not cuts it off.
        """
        fading = min(len(self._tail), len(samples))
        ramp = np.linspace(0.0, 1.0, len(self._tail), dtype=np.float32)[:fading]
        faded = ramp * samples[:fading] + (1.0 - ramp) * self._tail[:fading]
        joined = np.concatenate((faded, samples[fading:]))
        settled = len(joined) - shared
        self._tail = joined[settled:]
        return joined[:settled]
