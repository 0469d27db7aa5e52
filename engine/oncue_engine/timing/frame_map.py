"""Semantic tokens and mel frames of one segment on one axis."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

__all__ = ["FrameMap"]


@dataclass(frozen=True, slots=True)
class FrameMap:
    """Which token each mel frame of one segment is spoken from: token(frame) = floor(frame * tokens / frames).

    This is the nearest-neighbour rule of the length regulator (spec 6.2) as exact integers, known before the last
    token is, so that a frame's token never changes while a segment is streamed.
    """

    tokens: int
    frames: int

    @classmethod
    def free(cls, frames_per_token: Fraction) -> FrameMap:
        """Free speech: the natural ratio, whatever the final count."""
        return cls(frames_per_token.denominator, frames_per_token.numerator)

    def token_of(self, frame: int) -> int:
        return frame * self.tokens // self.frames

    def row_of(self, frame: int, rows_per_token: int) -> int:
        """The same where so many rows stand for each token."""
        return frame * self.tokens * rows_per_token // self.frames

    def first_frame(self, token: int) -> int:
        """The first frame that `token` is the source of."""
        return -(-token * self.frames // self.tokens)

    def total_frames(self, tokens: int) -> int:
        """Frames of a segment that ends after `tokens`: trunc(tokens * ratio) (spec 1)."""
        return tokens * self.frames // self.tokens
