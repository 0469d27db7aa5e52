"""How a segment is cut for rendering: small first, then larger, with tokens of look-ahead.

Cuts are a function of the tokens alone. Pacing, traffic and speed decide when a chunk is rendered, never where it
ends: the same seed gives the same samples however it was delivered.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from ..checkpoints.config import SpeechConfig

__all__ = ["Chunk", "ChunkPlanner", "ChunkPolicy", "RenderFrames"]

_MOST_S = 5.12
"""Of a chunk, whatever the prompt: a listener may have no more than two seconds in hand while it is made."""
_FAST_GROWTH = 2.0


@dataclass(frozen=True, slots=True)
class ChunkPolicy:
    """Times in seconds of speech at the natural pace, so that other token rates need no other policy."""

    first_audio_s: float = 0.32
    """What the first chunk can play: about as long as the second one takes. The tokens that the vocoder's right context
    needs come on top."""
    growth: float = 1.6
    longest_s: float = 1.28
    lookahead_s: float = 0.16
    """Tokens after the chunk that the flow sees and does not emit."""
    context_s: float = 1.0
    """Mel frames before the chunk that the flow sees as a fixed part of the prompt."""
    again_s: float = 0.08
    """Mel frames before the chunk that the flow renders once more, so that none of the chunk's own is its first."""
    regulator_window_s: float = 5.0
    """Frames that the length regulator's global norm runs over, at most."""

    def lookahead_tokens(self, token_rate_hz: float) -> int:
        """Tokens after a chunk that the flow sees."""
        return math.ceil(self.lookahead_s * token_rate_hz)

    @classmethod
    def of(cls, speech: SpeechConfig) -> ChunkPolicy:
        """For one model. Every flow call repeats the voice's prompt: where that may be long, chunks grow faster, and
        get as long as it."""
        default = cls(lookahead_s=speech.chunk_lookahead_s)
        if speech.s2m_prompt_limit_s <= default.longest_s:
            return default
        return replace(default, longest_s=min(speech.s2m_prompt_limit_s, _MOST_S), growth=_FAST_GROWTH)


@dataclass(frozen=True, slots=True)
class RenderFrames:
    """A policy's times in mel frames of one model."""

    rate_hz: float
    left: int
    """Context of the vocoder."""
    right: int
    context: int
    window: int
    again: int

    @classmethod
    def of(cls, policy: ChunkPolicy, speech: SpeechConfig, vocoder_reach: int) -> RenderFrames:
        """`vocoder_reach`: mel frames on each side that settle a sample."""
        rate_hz = float(speech.token_rate_hz * speech.frames_per_token)
        lookahead = speech.vocoder_lookahead_frames
        return cls(
            rate_hz=rate_hz,
            left=vocoder_reach,
            right=vocoder_reach if lookahead is None else lookahead,
            context=round(policy.context_s * rate_hz),
            window=round(policy.regulator_window_s * rate_hz),
            again=round(policy.again_s * rate_hz),
        )


@dataclass(frozen=True, slots=True)
class Chunk:
    """Tokens [begin, end) become audio; tokens [end, seen) are looked at only. `last`: the segment ends with it."""

    begin: int
    end: int
    seen: int
    last: bool


@dataclass(slots=True)
class ChunkPlanner:
    """The cuts of one utterance, in order. The ramp goes on from segment to segment."""

    policy: ChunkPolicy
    token_rate_hz: float
    vocoder_context_s: float
    _size_s: float = field(init=False)
    _begin: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._size_s = self.policy.first_audio_s + self.vocoder_context_s

    @property
    def lookahead_tokens(self) -> int:
        return self.policy.lookahead_tokens(self.token_rate_hz)

    @property
    def wanted_tokens(self) -> int:
        """Tokens of the current segment that the next chunk needs, unless the segment ends before.

        One more than it reads: a segment that ends right after the look-ahead is cut as if that had been known.
        """
        return self._end() + self.lookahead_tokens + 1

    @property
    def chunk_tokens(self) -> int:
        """Tokens that the next chunk takes and looks at, counted from where it begins."""
        return self.wanted_tokens - self._begin

    def next_seconds(self) -> float:
        """Natural length of the next chunk, at most."""
        return self._size_s

    def next(self, tokens: int, finished: bool) -> Chunk | None:
        """The next chunk of the segment that has `tokens` so far, or None while more are needed.

        Does not move on: `advance` does, once the chunk is rendered.
        """
        end = self._end()
        if finished and tokens <= end + self.lookahead_tokens:
            # What is left fits into this chunk: no sliver at the end.
            return Chunk(self._begin, tokens, tokens, last=True)
        if tokens < self.wanted_tokens:
            return None
        return Chunk(self._begin, end, end + self.lookahead_tokens, last=False)

    def advance(self, chunk: Chunk) -> None:
        """The chunk is rendered; after the last one of a segment the next segment begins."""
        self._begin = 0 if chunk.last else chunk.end
        self._size_s = min(self._size_s * self.policy.growth, max(self.policy.longest_s, self._size_s))

    def _end(self) -> int:
        return self._begin + max(1, math.ceil(self._size_s * self.token_rate_hz))
