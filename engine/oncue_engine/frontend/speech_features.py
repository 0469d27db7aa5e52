"""The input of the semantic encoder: a normalised filterbank, a few frames stacked to one row (spec 1.2)."""

from __future__ import annotations

import torch
from torch import Tensor

from oncue_engine.frontend.fbank import fbank

__all__ = ["speech_features"]

_INT16_SCALE = 32768.0  # the encoder was trained on samples as integers (trap 17)
_PAD_VALUE = 1.0


def speech_features(wav_16k: Tensor, stride: int = 2) -> tuple[Tensor, Tensor]:
    """Samples `[n]` at 16 kHz in [-1, 1] to (features `[T, 80*stride]`, mask `[T]` int64, 1 where whole).

    Frames come every 10 ms; each bin is normalised over the utterance (unbiased variance), then `stride` frames
    make one row: 2 is the public 50 Hz, 4 is 25 Hz. A last row of missing frames is filled with 1 and masked.
    Raises ValueError under 35 ms, where no variance exists.
    """
    frames = fbank(wav_16k * _INT16_SCALE)  # [F, 80]
    count = frames.shape[0]
    if count < 2:
        raise ValueError("speech_features needs at least two frames (35 ms)")
    variance = frames.var(dim=0, unbiased=True, keepdim=True)
    frames = (frames - frames.mean(dim=0, keepdim=True)) / (variance + 1e-7).sqrt()
    missing = -count % stride
    if missing:
        frames = torch.cat([frames, frames.new_full((missing, frames.shape[1]), _PAD_VALUE)])
    real = (torch.arange(count + missing, device=frames.device) < count).long()
    return frames.reshape(-1, stride * frames.shape[1]), real[stride - 1 :: stride]
