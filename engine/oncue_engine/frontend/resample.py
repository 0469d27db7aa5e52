"""Changing the sample rate: soxr for files and streams, a windowed sinc for the public speaker path (spec 1.1)."""

from __future__ import annotations

from functools import lru_cache
from math import ceil, gcd

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["sinc_resample"]

_ZERO_CROSSINGS = 6
_ROLLOFF = 0.99


def sinc_resample(wav: Tensor, from_hz: int, to_hz: int) -> Tensor:
    """`[..., n]` to `[..., ceil(n * to / from)]` by a Hann-windowed sinc, 6 zero crossings, roll-off 0.99."""
    if from_hz == to_hz:
        return wav
    common = gcd(from_hz, to_hz)
    source, target = from_hz // common, to_hz // common
    kernel, reach = _sinc_kernel(source, target)
    length = wav.shape[-1]
    flat = F.pad(wav.reshape(-1, 1, length), (reach, reach + source))
    phases = F.conv1d(flat, kernel.to(flat), stride=source)  # [rows, target, n/source + 1]
    out = phases.transpose(1, 2).reshape(flat.shape[0], -1)[:, : ceil(length * target / source)]
    return out.reshape(*wav.shape[:-1], -1)


@lru_cache(maxsize=8)
def _sinc_kernel(source: int, target: int) -> tuple[Tensor, int]:
    """(`[target, 1, 2*reach + source]` float32, reach in source samples): one filter per output phase."""
    cutoff = min(source, target) * _ROLLOFF
    reach = ceil(_ZERO_CROSSINGS * source / cutoff)
    taps = torch.arange(-reach, reach + source, dtype=torch.float64) / source
    phases = -torch.arange(target, dtype=torch.float64)[:, None] / target
    t = ((taps + phases) * cutoff).clamp(-_ZERO_CROSSINGS, _ZERO_CROSSINGS)
    window = torch.cos(t * (torch.pi / _ZERO_CROSSINGS / 2)).square()
    kernel = torch.sinc(t) * window * (cutoff / source)
    return kernel.float()[:, None], reach
