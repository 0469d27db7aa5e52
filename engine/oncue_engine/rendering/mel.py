"""S2M by chunks: semantic rows -> mel frames that fit the ones already emitted.

Each flow call sees

    [ voice prompt | last emitted frames of the segment | a few of them again | new frames | look-ahead frames ]
      fixed          fixed                                thrown away           kept         thrown away

so the new frames continue what the listener already has, and know what comes next (design.md 4.2). Noise belongs to a
frame of a segment (`noise.py`): the look-ahead frames start from the same noise again when their own chunk comes.
The frames right after a fixed part are the model's least sure ones: rendered as the first new ones they stood out by
2 dB at every join. So a few emitted frames are rendered once more, from their own noise, to take that place.

The length regulator normalises over the whole time axis of a call (spec 6.2), so a chunk on its own would get other
statistics than its neighbours, and its first and last frames would miss their neighbours in the convolutions. Here it
runs over the segment so far, look-ahead included (the last few seconds of it, in a long segment), for context, new and
look-ahead frames in ONE call: inside a flow call every frame is normalised by the same numbers. Between two calls the
statistics drift a little, as more of the segment is known; the drift is not heard as a step, because the
context frames are conditioned under the new statistics too, while their mel stays as emitted. Which token a frame is
spoken from is fixed by the segment's FrameMap and never depends on the cut.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..errors import GenerationFailed
from ..timing.frame_map import FrameMap
from .chunks import Chunk
from .noise import frame_noise
from .semantics import Regulator

__all__ = ["FlowJob", "SegmentMel", "VoicePrompt"]


@dataclass(frozen=True, slots=True, eq=False)
class VoicePrompt:
    """What S2M knows of the voice: mel [80,P], condition [P,C], style [S]."""

    mel: Tensor
    condition: Tensor
    style: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class FlowJob:
    """One flow call: F frames; the first P are fixed, the next `skip` are thrown away, the next `keep` are wanted."""

    noise: Tensor
    """[80,F]"""
    prompt_mel: Tensor
    """[80,P]"""
    mu: Tensor
    """[F,C]"""
    style: Tensor
    """[S]"""
    keep: int
    skip: int = 0


@dataclass(slots=True)
class SegmentMel:
    """The mel of one segment as it grows."""

    frame_map: FrameMap
    prompt: VoicePrompt
    seed: int
    segment: int
    context_frames: int
    window_frames: int
    again_frames: int = 0
    """Emitted frames that a flow call renders once more and throws away."""
    rows_per_token: int = 1
    rows: list[Tensor] = field(default_factory=list)
    """Semantic rows [n,D] of the tokens so far."""
    mel: Tensor = field(init=False)
    """[80, emitted frames]"""

    def __post_init__(self) -> None:
        self.mel = self.prompt.mel[:, :0]

    @property
    def num_rows(self) -> int:
        return sum(len(rows) for rows in self.rows)

    @property
    def num_tokens(self) -> int:
        return self.num_rows // self.rows_per_token

    def extend(self, rows: Tensor, replaced: int = 0) -> None:
        """Semantic rows [n,D]: the last `replaced` rows anew, then those of further tokens."""
        if replaced:
            self.rows = [torch.cat(self.rows)[:-replaced]]
        self.rows.append(rows)

    def job(self, chunk: Chunk, regulator: Regulator) -> FlowJob | None:
        """The flow call of a chunk; None where the chunk ends before it fills a frame."""
        emitted = self.mel.shape[1]
        if chunk.last:
            end = seen = self.frame_map.total_frames(chunk.end)
        else:
            end, seen = self.frame_map.first_frame(chunk.end), self.frame_map.first_frame(chunk.seen)
        if end <= emitted:
            return None
        first = emitted - min(self.again_frames, emitted)
        context = min(self.context_frames, first)
        mu = self._mu(first - context, seen, regulator)
        bins = self.mel.shape[0]
        fixed = self.prompt.mel.shape[1] + context
        noise = torch.zeros(bins, fixed + seen - first)
        noise[:, fixed:] = frame_noise(self.seed, self.segment, first, seen - first, bins)
        return FlowJob(
            noise=noise,
            prompt_mel=torch.cat((self.prompt.mel, self.mel[:, first - context : first]), dim=1),
            mu=torch.cat((self.prompt.condition, mu)),
            style=self.prompt.style,
            keep=end - emitted,
            skip=emitted - first,
        )

    def accept(self, mel: Tensor) -> None:
        """Take rendered frames [80,n]; they are fixed from now on. GenerationFailed NOT_FINITE."""
        if not bool(torch.isfinite(mel).all()):
            raise GenerationFailed("the mel is not finite", reason="NOT_FINITE")
        self.mel = torch.cat((self.mel, mel), dim=1)

    def _mu(self, first: int, end: int, regulator: Regulator) -> Tensor:
        """Regulated rows of frames [first, end): [end - first, C]."""
        begin = max(0, min(first, end - self.window_frames))
        if len(self.rows) > 1:
            self.rows = [torch.cat(self.rows)]
        spoken = torch.tensor([self.frame_map.row_of(frame, self.rows_per_token) for frame in range(begin, end)])
        # Rows are repeated here, so that the regulator's own interpolation has nothing left to do.
        spread = self.rows[0][spoken]  # [end - begin, D]
        return regulator.regulate(spread)[first - begin :]
