"""Changing the sample rate: soxr for files and streams, a windowed sinc for the public speaker path (spec 1.1)."""

from __future__ import annotations

from functools import lru_cache
from math import ceil, gcd

import numpy as np
import soxr  # type: ignore[import-untyped]
import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["StreamingResampler", "beginning_at", "resample", "resampled_samples", "sinc_resample"]

_QUALITY = "HQ"
_ZERO_CROSSINGS = 6
_ROLLOFF = 0.99


def resampled_samples(samples: int, from_hz: int, to_hz: int) -> int:
    """How long `samples` samples are at the other rate: rounded, halves up. Both resamplers below keep to it."""
    return (2 * samples * to_hz + from_hz) // (2 * from_hz)


def beginning_at(wav: Tensor, from_hz: int, to_hz: int, limit_s: float) -> Tensor:
    """The first `limit_s` seconds, at most, of samples `[n]`, at the other rate."""
    # A second more than needed, so that the filter's end does not reach into what is kept.
    return resample(wav[: int((limit_s + 1.0) * from_hz)], from_hz, to_hz)[: int(limit_s * to_hz)]


def resample(wav: Tensor, from_hz: int, to_hz: int) -> Tensor:
    """Samples `[n]` float32 in one go, to `[resampled_samples(n)]`; equal to the bit to the streamed result."""
    if from_hz == to_hz:
        return wav
    resampler = StreamingResampler(from_hz, to_hz)
    return torch.cat([resampler.push(wav), resampler.flush()])


class StreamingResampler:
    """One signal, in pieces of any size: push each, then flush once for what was held back.

    The pieces' outputs, joined, do not depend on how the signal was cut, and n samples in give exactly
    `resampled_samples(n)` out. Equal rates pass samples through untouched and hold nothing back; else the filter
    holds back the last few hundred samples. Use from one thread at a time.
    """

    def __init__(self, from_hz: int, to_hz: int) -> None:
        if from_hz <= 0 or to_hz <= 0:
            raise ValueError(f"sample rates must be positive, got {from_hz} and {to_hz}")
        self.from_hz = from_hz
        self.to_hz = to_hz
        self._stream = None
        if from_hz != to_hz:
            self._stream = soxr.ResampleStream(from_hz, to_hz, 1, dtype="float32", quality=_QUALITY)
        self._samples_in = 0
        self._samples_out = 0
        self._flushed = False

    def push(self, samples: Tensor) -> Tensor:
        """Take `[n]` float32 and give what is settled, `[m]` float32, m >= 0. Raises ValueError after `flush`."""
        if self._flushed:
            raise ValueError("this resampler was flushed: its signal has ended")
        if samples.dim() != 1:
            raise ValueError(f"expected samples [n], got {tuple(samples.shape)}")
        self._samples_in += samples.shape[0]
        if self._stream is None:
            return samples
        settled = self._stream.resample_chunk(np.ascontiguousarray(samples.detach().cpu().numpy(), dtype=np.float32))
        self._samples_out += len(settled)
        return torch.from_numpy(settled)

    def flush(self) -> Tensor:
        """The rest of the signal, `[m]` float32. A second flush gives nothing."""
        if self._flushed or self._stream is None:
            self._flushed = True
            return torch.zeros(0)
        self._flushed = True
        rest = self._stream.resample_chunk(np.zeros(0, dtype=np.float32), last=True)
        # The library rounds as we do; should a very long stream ever drift by one, the promised length still holds.
        missing = resampled_samples(self._samples_in, self.from_hz, self.to_hz) - self._samples_out
        return torch.from_numpy(np.pad(rest[:missing], (0, max(0, missing - len(rest)))))


def sinc_resample(wav: Tensor, from_hz: int, to_hz: int) -> Tensor:
    """`[..., n]` to `[..., ceil(n * to / from)]` by a Hann-windowed sinc, 6 zero crossings, roll-off 0.99.

    The public speaker path goes from 22 050 to 16 000 Hz this way (spec 1.1, trap 5).
    """
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
