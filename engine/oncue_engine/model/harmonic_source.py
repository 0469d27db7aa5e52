"""A harmonic source for the vocoder: pitch read from the mel, and pulses and noise at that pitch.

A purely convolutional generator maps a steady mel to a signal with the period of its own frames, and a mel of long
windows carries next to no phase. A small model therefore does better when it only filters: Wang et al., "Neural
source-filter waveform models" (2019), here as an option of BigVGAN. Pitch is counted in cycles per mel frame, so
nothing in here depends on the sample rate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["Excitation", "HarmonicSource", "PitchPredictor", "excitation", "white_noise"]

SOURCE_CHANNELS = 2
"""Pulses, noise."""
_HIDDEN = 64
_KERNEL = 3
_LAYERS = 3
PREDICTOR_REACH_FRAMES = _LAYERS * (_KERNEL - 1) // 2
"""Mel frames on each side that the pitch of a frame depends on."""
_MIDDLE_OCTAVES, _SPAN_OCTAVES = 1.4, 1.9
"""Pitch lies in 2^(1.4 +- 1.9) cycles per frame: 44 to 615 Hz at 62.5 frames a second."""
_NOISE_KEY = 0x6F6E637565  # any constant: the noise of a sample is a function of its place in the segment alone
_WORDS_PER_COUNT = 4


@dataclass(frozen=True, slots=True, eq=False)
class Excitation:
    """What the vocoder filters."""

    source: Tensor
    """[B, 2, T] pulses and noise, each of about unit power."""
    cycles: Tensor
    """[B, F + 1] float64: cycles of the pulses at the first sample of every frame, and at the end."""


class PitchPredictor(nn.Module):
    """Mel `[B, num_mels, F]` (natural log) to pitch in log2 cycles per frame and a voicing logit, `[B, F]` each.

    Computed in the precision of the mel, whatever that of the weights.
    """

    def __init__(self, num_mels: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Conv1d(num_mels if i == 0 else _HIDDEN, _HIDDEN, _KERNEL, padding=_KERNEL // 2) for i in range(_LAYERS)
        )
        self.out = nn.Conv1d(_HIDDEN, 2, 1)

    def forward(self, mel: Tensor) -> tuple[Tensor, Tensor]:
        x = (mel + 5.0) / 3.0  # about zero mean and unit variance: speech lies between -11.5 and 2
        for layer in self.layers:
            x = F.gelu(_conv(x, layer, _KERNEL // 2))  # [B, 64, F]
        octaves, logit = _conv(x, self.out, 0).unbind(dim=1)
        return _MIDDLE_OCTAVES + _SPAN_OCTAVES * torch.tanh(octaves), logit


def _conv(x: Tensor, layer: nn.Module, padding: int) -> Tensor:
    weight, bias = layer.weight, layer.bias
    assert isinstance(weight, Tensor) and isinstance(bias, Tensor)
    return F.conv1d(x, weight.to(x.dtype), bias.to(x.dtype), padding=padding)


class HarmonicSource(nn.Module):
    """Mel to excitation. A window of a longer mel gets the same excitation as the whole would, where the phase is
    handed on: `forward` says what it was given and `Excitation.cycles` what to give next."""

    def __init__(self, num_mels: int, hop_samples: int) -> None:
        super().__init__()
        self.pitch = PitchPredictor(num_mels)
        self.hop_samples = hop_samples

    def forward(self, mel: Tensor, first_frame: int = 0, known_frame: int = 0, cycles: float = 0.0) -> Excitation:
        """Mel `[B, num_mels, F]`, a window that begins at `first_frame` of its segment.

        `cycles` is the phase at the first sample of frame `known_frame` of the window. Pitch within
        PREDICTOR_REACH_FRAMES + 1 of a cut of the window is not what it would be in the whole.
        """
        # float64 throughout: the phase adds up every rounding of the pitch, and float32 rounds a window otherwise than
        # the whole. Half a minute later high harmonics would be out of step.
        octaves, logit = self.pitch(mel.double())
        per_sample = to_samples(octaves, self.hop_samples).exp2() / self.hop_samples  # [B, T] cycles per sample
        voicing = to_samples(torch.sigmoid(logit), self.hop_samples)
        passed = F.pad(per_sample.cumsum(dim=-1), (1, 0))  # [B, T + 1] cycles before each sample
        passed = passed + (cycles - passed[:, known_frame * self.hop_samples, None])
        noise = white_noise(first_frame * self.hop_samples, per_sample.shape[-1]).to(mel)
        source = excitation(passed[:, :-1], per_sample, voicing.to(mel.dtype), noise.expand_as(per_sample))
        return Excitation(source.to(mel.dtype), passed[:, :: self.hop_samples])


def to_samples(values: Tensor, hop_samples: int) -> Tensor:
    """Values at the middles of frames `[B, F]`, linearly in between and level at the ends: `[B, hop*F]`."""
    return F.interpolate(values[:, None], scale_factor=float(hop_samples), mode="linear", align_corners=False)[:, 0]


def excitation(cycles: Tensor, per_sample: Tensor, voicing: Tensor, noise: Tensor) -> Tensor:
    """Pulses and noise `[B, 2, T]` of about unit power each.

    `cycles` `[B, T]` float64 is the phase, a pulse at every whole number; `per_sample` its step; `voicing` in [0, 1]
    scales the pulses. A pulse train is the sum of all cosines below half the sample rate; the highest one is faded in
    and out, so that a moving pitch switches nothing on.
    """
    # sum_{k=1..K} cos(2 pi k c) = sin((2K+1) pi c) / (2 sin(pi c)) - 1/2
    limit = (0.5 / per_sample.float()).clamp_min(2.0)
    full = limit.floor() - 1.0
    phase = math.pi * (cycles - cycles.round()).float()  # in [-pi/2, pi/2]
    sine = torch.sin(phase)
    at_pulse = sine.abs() < 1e-4
    safe = torch.where(at_pulse, torch.ones_like(sine), sine)
    pulses = torch.where(at_pulse, full, torch.sin((2.0 * full + 1.0) * phase) / (2.0 * safe) - 0.5)
    pulses = pulses + (limit - limit.floor()) * torch.cos(2.0 * (full + 1.0) * phase)
    return torch.stack([pulses * (2.0 / limit).sqrt() * voicing, noise], dim=1)


def white_noise(first_sample: int, num_samples: int) -> Tensor:
    """Uniform noise of unit variance `[num_samples]` for samples first_sample ...: a function of the index alone.

    Computed from a counter (Philox 4x64), so that it does not depend on how a segment was cut.
    """
    skipped = first_sample % _WORDS_PER_COUNT
    generator = np.random.Philox(key=_NOISE_KEY, counter=first_sample // _WORDS_PER_COUNT)
    words = generator.random_raw(skipped + num_samples)[skipped:]
    uniform = (words >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return torch.from_numpy(((uniform - 0.5) * math.sqrt(12.0)).astype(np.float32))
