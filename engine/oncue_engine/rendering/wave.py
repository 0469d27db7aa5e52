"""Mel -> samples: the vocoder with its real context on both sides, exact cuts, and the output rate.

A sample is settled once every mel frame that it depends on is there (`BigVGAN.context_frames`): only settled samples
leave, so what is streamed equals one vocoder call over the whole segment, and nothing is cross-faded (design.md 4.3).
The phase of a harmonic source is the one thing that reaches further back: it is handed on from call to call.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..model.bigvgan import BigVGAN

__all__ = ["SegmentWave", "VocoderJob", "ease_out", "render_wave"]

Samples = npt.NDArray[np.float32]

_QUIET = 2e-3
"""A last sample below this (-54 dB) ends without a click."""
_FADE_S = 0.004


@dataclass(slots=True)
class SourcePhase:
    """Where the harmonic source of a segment stands at its first sample that is not rendered yet."""

    cycles: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class VocoderJob:
    """mel [80,n] with context; samples [first, first + count) of the result are wanted, both whole frames.

    The jobs of a segment run in order, once each: rendering one moves `phase` on.
    """

    mel: Tensor
    first: int
    count: int
    first_frame: int
    """Where the mel begins in its segment."""
    phase: SourcePhase


def render_wave(vocoder: BigVGAN, jobs: Sequence[VocoderJob]) -> list[Samples]:
    """The wanted samples of every job, float32 in [-1, 1]."""
    hop_samples = vocoder.config.hop_samples
    waves = []
    for job in jobs:
        mel = job.mel[None]
        excitation = vocoder.excite(mel, job.first_frame, job.first // hop_samples, job.phase.cycles)
        wave = vocoder(mel, excitation)[0, 0]
        waves.append(wave[job.first : job.first + job.count].numpy().copy())
        if excitation is not None:
            job.phase.cycles = float(excitation.cycles[0, (job.first + job.count) // hop_samples])
    return waves


@dataclass(slots=True)
class SegmentWave:
    """The samples of one segment as its mel grows. Frames are counted from the segment's start."""

    hop_samples: int
    left_frames: int
    right_frames: int
    done_frames: int = 0
    phase: SourcePhase = field(default_factory=SourcePhase)

    def job(self, mel: Tensor, last: bool) -> VocoderJob | None:
        """Render what `mel` [80, frames so far] settles; `last`: the segment ends here. None where nothing is new."""
        frames = mel.shape[1]
        settled = frames if last else frames - self.right_frames
        if settled <= self.done_frames:
            return None
        begin = max(0, self.done_frames - self.left_frames)
        job = VocoderJob(
            mel=mel[:, begin:],
            first=(self.done_frames - begin) * self.hop_samples,
            count=(settled - self.done_frames) * self.hop_samples,
            first_frame=begin,
            phase=self.phase,
        )
        self.done_frames = settled
        return job


def ease_out(samples: Samples, rate_hz: int, hop_samples: int) -> Samples:
    """End without a click: where the last sample is loud, the last 4 ms (at most one frame) fade to zero."""
    length = min(len(samples), hop_samples, round(_FADE_S * rate_hz))
    if length == 0 or abs(float(samples[-1])) < _QUIET:
        return samples
    faded = samples.copy()
    ramp = 0.5 + 0.5 * torch.cos(torch.linspace(0.0, torch.pi, length + 1)[1:])
    faded[-length:] *= ramp.numpy()
    return faded
