"""A stretch of a segment rendered as if there were nothing else: one S2M call, one vocoder call, no neighbours.

What streaming is compared with: over a whole segment it is the offline rendering, over one chunk it is what a chunk
gets that knows nothing of the others. Plain modules, step by step: nothing here is made faster.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..errors import GenerationFailed
from ..model.bigvgan import BigVGAN
from ..model.flow import FlowSchedule, solve
from ..model.s2mel import S2Mel
from .mel import VoicePrompt
from .noise import frame_noise

__all__ = ["mel_alone", "wave_alone"]

Samples = npt.NDArray[np.float32]


def mel_alone(
    s2mel: S2Mel,
    prompt: VoicePrompt,
    spread: Tensor,
    schedule: FlowSchedule,
    guidance: float,
    *,
    seed: int,
    segment: int,
    first_frame: int,
) -> Tensor:
    """Semantic rows `spread` [F,D], one per frame from `first_frame` of the segment on -> mel [80,F].

    Noise is that of the segment's own frames. GenerationFailed NOT_FINITE.
    """
    frames, bins, fixed = len(spread), prompt.mel.shape[0], prompt.mel.shape[1]
    mu = s2mel.length_regulator(spread[None], frames)[0]  # [F,C]
    noise = torch.zeros(bins, fixed + frames)
    noise[:, fixed:] = frame_noise(seed, segment, first_frame, frames, bins)
    mel = solve(
        s2mel.estimator,
        noise[None],
        prompt.mel[None],
        torch.cat((prompt.condition, mu))[None],
        prompt.style[None],
        schedule.steps,
        guidance,
        schedule=schedule,
    )[0, :, fixed:]
    if not bool(torch.isfinite(mel).all()):
        raise GenerationFailed("the mel is not finite", reason="NOT_FINITE")
    return mel


def wave_alone(vocoder: BigVGAN, mel: Tensor) -> Samples:
    """mel [80,F] -> its samples [F * hop], float32 in [-1, 1]. GenerationFailed NOT_FINITE."""
    samples: Samples = vocoder(mel[None], vocoder.excite(mel[None]))[0, 0].numpy()
    if not np.isfinite(samples).all():
        raise GenerationFailed("the waveform is not finite", reason="NOT_FINITE")
    return samples
