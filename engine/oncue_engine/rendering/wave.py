"""Mel -> samples: the vocoder with its real context on both sides, exact cuts, and the output rate.

A sample is settled once every mel frame that it depends on is there (`BigVGAN.context_frames`): only settled samples
leave, so what is streamed equals one vocoder call over the whole segment, and nothing is cross-faded (design.md 4.3).
The phase of a harmonic source is the one thing that reaches further back: it is handed on from call to call.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from ..model.harmonic_source import Excitation

__all__ = ["SegmentWave", "SourcePhase", "Vocoder", "VocoderJob", "ease_out", "render_wave"]

Samples = npt.NDArray[np.float32]

_QUIET = 2e-3
"""A last sample below this (-54 dB) ends without a click."""
_FADE_S = 0.004
_ROWS_ON_CPU, _ROWS_ELSEWHERE = 1, 16
_MOST_PADDED = 1.5
"""A window goes along with one at most this many times as long."""


class Vocoder(Protocol):
    """Mel to samples. Called by several lanes at once."""

    @property
    def hop_samples(self) -> int:
        """Samples of a mel frame."""

    @property
    def context_frames(self) -> int:
        """Frames on each side that a sample depends on."""

    def excite(self, mel: Tensor, first_frame: int = 0, known_frame: int = 0, cycles: float = 0.0) -> Excitation | None:
        """What a harmonic source adds to mel [1,80,F] that begins at `first_frame`, its phase `cycles` at frame
        `known_frame` of it; None where there is no such source."""

    def __call__(self, mel: Tensor, excitation: Excitation | None = None) -> Tensor:
        """mel [B,80,F] -> samples [B,1,hop*F] in [-1, 1]; a row does not depend on the others."""


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


def render_wave(
    vocoder: Vocoder, jobs: Sequence[VocoderJob], rows_at_once: int | None = None
) -> list[Samples | Exception]:
    """The wanted samples of every job, float32 in [-1, 1], or what went wrong with it: its mates are not hurt.

    At most `rows_at_once` jobs share a call. Unset, it is 1 on a CPU, where four windows in one call were 1 to 9 %
    faster than four calls, which padding eats up, and 16 elsewhere. A job's samples do not depend on its mates. May run
    in several threads at once, for different jobs.
    """
    if rows_at_once is None:
        rows_at_once = _ROWS_ON_CPU if all(job.mel.device.type == "cpu" for job in jobs) else _ROWS_ELSEWHERE
    waves: dict[int, Samples | Exception] = {}
    for call in _calls(jobs, vocoder.context_frames, vocoder.hop_samples, rows_at_once):
        try:
            waves.update(zip(call, _call(vocoder, [jobs[index] for index in call]), strict=True))
        except Exception as error:
            if len(call) == 1:
                waves[call[0]] = error
            else:  # one of them, or all together: too much memory
                waves.update((index, render_wave(vocoder, [jobs[index]], 1)[0]) for index in call)
    return [waves[index] for index in range(len(jobs))]


def _calls(jobs: Sequence[VocoderJob], reach_frames: int, hop_samples: int, rows: int) -> list[list[int]]:
    """Which jobs share a call, by index.

    A window whose wanted samples are settled by what it has may go on to the right: it goes along with a longer one.
    Any other ends where it ends, and has mates of its own length only.
    """
    frames = [job.mel.shape[1] for job in jobs]
    calls: list[list[int]] = []  # the first of each is the longest
    for index in sorted(range(len(jobs)), key=frames.__getitem__, reverse=True):
        job, length = jobs[index], frames[index]
        settled = length - (job.first + job.count) // hop_samples >= reach_frames
        for call in reversed(calls):
            longest = frames[call[0]]
            if len(call) < rows and (longest == length or (settled and longest <= _MOST_PADDED * length)):
                call.append(index)
                break
        else:
            calls.append([index])
    return calls


def _call(vocoder: Vocoder, jobs: Sequence[VocoderJob]) -> list[Samples]:
    hop_samples, frames = vocoder.hop_samples, max(job.mel.shape[1] for job in jobs)
    # Each with its own phase and place, so one by one: little work, and the same numbers as alone.
    excitations = [
        vocoder.excite(job.mel[None], job.first_frame, job.first // hop_samples, job.phase.cycles) for job in jobs
    ]
    mel = torch.stack([functional.pad(job.mel, (0, frames - job.mel.shape[1])) for job in jobs])  # [B, 80, F]
    excitation = None
    given = [one for one in excitations if one is not None]
    if given:
        excitation = Excitation(
            source=torch.cat(
                [functional.pad(one.source, (0, frames * hop_samples - one.source.shape[-1])) for one in given]
            ),
            cycles=torch.cat([functional.pad(one.cycles, (0, frames + 1 - one.cycles.shape[-1])) for one in given]),
        )
    made = vocoder(mel, excitation)[:, 0]  # [B, hop*F]
    waves = [wave[job.first : job.first + job.count].cpu().numpy().copy() for job, wave in zip(jobs, made, strict=True)]
    for job, one in zip(jobs, excitations, strict=True):
        if one is not None:
            job.phase.cycles = float(one.cycles[0, (job.first + job.count) // hop_samples])
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
