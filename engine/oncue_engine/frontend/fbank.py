"""Kaldi's filterbank: the input of the style encoder, and the ground of the speech features (spec 1.2)."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["fbank", "minus_mean"]

_FRAME_MS = 25
_SHIFT_MS = 10
_PRE_EMPHASIS = 0.97
_LOW_HZ = 20.0
_LOG_FLOOR = 1.1920928955078125e-07


def fbank(wav: Tensor, sample_rate_hz: int = 16_000, n_mels: int = 80) -> Tensor:
    """Samples `[n]` to log mel energies `[F, n_mels]`, F = 1 + (n - frame) // shift, only whole frames (25/10 ms).

    The style encoder wants the samples in [-1, 1], not scaled to 16 bits (trap 17). Computed in float64 where the
    input is float64. Raises ValueError when there is not one whole frame.
    """
    size, shift = sample_rate_hz * _FRAME_MS // 1000, sample_rate_hz * _SHIFT_MS // 1000
    if wav.dim() != 1 or wav.shape[0] < size:
        raise ValueError(f"fbank needs [n] with at least {size} samples, got {tuple(wav.shape)}")
    frames = wav.unfold(0, size, shift)  # [F, size]
    frames = frames - frames.mean(dim=1, keepdim=True)
    before = torch.cat([frames[:, :1], frames[:, :-1]], dim=1)
    frames = (frames - _PRE_EMPHASIS * before) * _povey_window(size).to(frames)
    n_fft = 1 << (size - 1).bit_length()
    power = torch.view_as_real(torch.fft.rfft(F.pad(frames, (0, n_fft - size)))).square().sum(-1)  # [F, n_fft/2+1]
    return torch.matmul(power, _filters(sample_rate_hz, n_fft, n_mels).to(power).T).clamp_min(_LOG_FLOOR).log()


def minus_mean(features: Tensor) -> Tensor:
    """`[F, n_mels]` less its mean over time in each bin: what the style encoder reads."""
    return features - features.mean(dim=0, keepdim=True)


@lru_cache(maxsize=4)
def _povey_window(size: int) -> Tensor:
    return torch.hann_window(size, periodic=False, dtype=torch.float64).pow(0.85)


@lru_cache(maxsize=4)
def _filters(sample_rate_hz: int, n_fft: int, n_mels: int) -> Tensor:
    """Triangles drawn on the mel axis, 20 Hz to half the rate, not scaled: `[n_mels, n_fft/2+1]` float64."""
    low, high = _mel(torch.tensor([_LOW_HZ, sample_rate_hz / 2], dtype=torch.float64)).tolist()
    corners = torch.linspace(low, high, n_mels + 2, dtype=torch.float64)
    bins = _mel(torch.arange(n_fft // 2 + 1, dtype=torch.float64) * (sample_rate_hz / n_fft))
    left, centre, right = (corners[i : i + n_mels, None] for i in range(3))
    return torch.minimum((bins - left) / (centre - left), (right - bins) / (right - centre)).clamp_min(0.0)


def _mel(hz: Tensor) -> Tensor:
    return 1127.0 * (1.0 + hz / 700.0).log()
