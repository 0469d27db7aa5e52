"""What is to be spoken: a request that was checked, its text in pieces, its lengths allotted."""

from __future__ import annotations

from dataclasses import dataclass

from .decoding.batch import SequenceSpec
from .decoding.length import SegmentLength
from .frontend.audio import Waveform
from .requests import Sampling, UtteranceRequest

__all__ = ["Script"]


@dataclass(frozen=True, slots=True, eq=False)
class Script:
    """A checked request, ready to be spoken."""

    request: UtteranceRequest
    text_ids: tuple[tuple[int, ...], ...]
    """Text piece ids of each segment."""
    lengths: tuple[SegmentLength, ...]
    total_samples: int | None
    """Output samples, where a length was asked for in samples."""
    voice_clip: Waveform | None
    """The voice's clip, where its tensors were not kept when the request came."""
    emotion_clip: Waveform | None
    expected_s: float
    """How long it will be, about."""
    sampling: Sampling
    """The request's, or the engine's where it has none."""

    def spec(self, segment: int) -> SequenceSpec:
        """How the tokens of a segment are drawn."""
        length, request = self.lengths[segment], self.request
        return SequenceSpec(
            seed=request.seed,
            segment=segment,
            sampling=self.sampling,
            exact_tokens=length.tokens,
            min_tokens=length.min_tokens,
            max_tokens=length.max_tokens,
            advised_tokens=length.advised_tokens,
        )
