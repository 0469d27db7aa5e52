"""One segment on its way: tokens and latents -> mel, chunk by chunk -> native samples.

Each of its parts is used by one stage at a time (scheduler.py): tokens grow in `sequence`, a flow call reads those that
are there and adds mel, a vocoder call reads the mel of the chunks before it and gives samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from .conditioning import VoiceConditioning
from .decoding.batch import Sequence
from .decoding.length import SegmentLength
from .errors import GenerationFailed
from .rendering.chunks import Chunk
from .rendering.mel import FlowJob, SegmentMel
from .rendering.semantics import Semantics
from .rendering.wave import SegmentWave, VocoderJob, ease_out

__all__ = ["RenderedChunk", "SpeechSegment"]

Samples = npt.NDArray[np.float32]


@dataclass(slots=True, eq=False)
class SpeechSegment:
    """Tokens, mel and samples of one segment so far."""

    length: SegmentLength
    sequence: Sequence
    mel: SegmentMel
    wave: SegmentWave
    kept_samples: int = 0
    """Native samples that were taken of it."""

    def flow_job(self, chunk: Chunk, semantics: Semantics, voice: VoiceConditioning) -> FlowJob | None:
        """The flow call of `chunk`; None where it fills no frame. The tokens that it sees must be there."""
        known = self.mel.num_tokens
        if known < chunk.seen:
            settled = max(0, known - semantics.remade_tokens)  # rows of the later ones did not know what follows
            begin = max(0, settled - semantics.reach_tokens)
            codes = torch.tensor(self.sequence.codes[begin : chunk.seen], dtype=torch.int64)
            rows = semantics.rows(voice, begin, codes, self.sequence.latents_between(begin, chunk.seen))
            per_token = semantics.rows_per_token
            self.mel.extend(rows[(settled - begin) * per_token :], replaced=(known - settled) * per_token)
        return self.mel.job(chunk, semantics)

    def rendered(self, chunk: Chunk) -> RenderedChunk:
        """The chunk whose mel is the last that was accepted."""
        return RenderedChunk(self, chunk, self.mel.mel.shape[1])


@dataclass(frozen=True, slots=True, eq=False)
class RenderedChunk:
    """A chunk whose mel is there and whose samples are not."""

    segment: SpeechSegment
    chunk: Chunk
    end_frame: int
    """Frames of the segment when it was rendered: what was rendered since is not looked at, so that when its vocoder
    call runs does not change a bit of it."""

    def vocoder_job(self) -> VocoderJob | None:
        """The vocoder call for what the chunk's mel has settled; None where nothing is new."""
        return self.segment.wave.job(self.segment.mel.mel[:, : self.end_frame], self.chunk.last)

    def cut(self, samples: Samples, rate_hz: int, hop_samples: int) -> Samples:
        """What is kept of the chunk's native samples: to the segment's exact length, its end without a click.

        GenerationFailed NOT_FINITE.
        """
        if not np.isfinite(samples).all():
            raise GenerationFailed("the waveform is not finite", reason="NOT_FINITE")
        segment = self.segment
        if segment.length.native_samples is not None:
            samples = samples[: segment.length.native_samples - segment.kept_samples]
        segment.kept_samples += len(samples)
        return ease_out(samples, rate_hz, hop_samples) if self.chunk.last else samples
