"""Discriminators of waveforms: what tells a made one from a recorded one, at several periods and resolutions.

Periods as in HiFi-GAN (Kong et al., 2020), spectrograms of several window lengths as in UnivNet and the first BigVGAN.
BigVGAN v2's constant-Q transform is left out: its long windows do not fit the short crops that a CPU trains on.
Losses are least squares, with feature matching.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

__all__ = ["Discriminators", "critic_loss", "generator_losses"]

_PERIODS = (2, 3, 5, 7, 11)
_RESOLUTIONS = ((1024, 256), (512, 128), (256, 64))
"""(n_fft, hop) of the spectrograms."""
_SLOPE = 0.1

Judged = list[tuple[Tensor, list[Tensor]]]
"""For each discriminator its scores [B, ...] and the features of its layers."""


class PeriodDiscriminator(nn.Module):
    """Samples [B, n], folded to rows of one period: convolutions run along the rows, each column by itself."""

    def __init__(self, period: int, channels: Sequence[int]) -> None:
        super().__init__()
        self.period = period
        widths = (1, *channels)
        self.layers = nn.ModuleList(
            weight_norm(nn.Conv2d(before, after, (5, 1), (3, 1), (2, 0))) for before, after in pairwise(widths)
        )
        self.out = weight_norm(nn.Conv2d(widths[-1], 1, (3, 1), 1, (1, 0)))

    def forward(self, samples: Tensor) -> tuple[Tensor, list[Tensor]]:
        padded = F.pad(samples[:, None], (0, -samples.shape[-1] % self.period), mode="reflect")
        return _judge(padded.unflatten(-1, (-1, self.period)), self.layers, self.out)  # [B, 1, n / period, period]


class SpectrumDiscriminator(nn.Module):
    """Samples [B, n] as a magnitude spectrogram of one window length."""

    def __init__(self, n_fft: int, hop: int, channels: int) -> None:
        super().__init__()
        self.n_fft, self.hop = n_fft, hop
        self.window: Tensor
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)
        self.layers = nn.ModuleList(
            [
                weight_norm(nn.Conv2d(1, channels, (7, 5), (2, 1), (3, 2))),
                weight_norm(nn.Conv2d(channels, channels, (5, 3), (2, 1), (2, 1))),
                weight_norm(nn.Conv2d(channels, channels, (5, 3), (2, 2), (2, 1))),
                weight_norm(nn.Conv2d(channels, channels, (3, 3), 1, 1)),
            ]
        )
        self.out = weight_norm(nn.Conv2d(channels, 1, 3, 1, 1))

    def forward(self, samples: Tensor) -> tuple[Tensor, list[Tensor]]:
        spectrum = torch.stft(samples.float(), self.n_fft, self.hop, window=self.window, return_complex=True)
        size = torch.view_as_real(spectrum).square().sum(-1).add(1e-7).sqrt()
        # The cube root keeps quiet parts in sight without making silence loud, as a logarithm would.
        return _judge(size.pow(1.0 / 3.0)[:, None], self.layers, self.out)  # [B, 1, bins, frames]


def _judge(x: Tensor, layers: nn.ModuleList, out: nn.Module) -> tuple[Tensor, list[Tensor]]:
    features = []
    for layer in layers:
        x = F.leaky_relu(layer(x), _SLOPE)
        features.append(x)
    return out(x), features


class Discriminators(nn.Module):
    """All of them on samples [B, n]."""

    def __init__(self, period_channels: Sequence[int] = (16, 32, 64, 64), spectrum_channels: int = 16) -> None:
        super().__init__()
        self.periods = nn.ModuleList(PeriodDiscriminator(period, period_channels) for period in _PERIODS)
        self.spectra = nn.ModuleList(SpectrumDiscriminator(n, hop, spectrum_channels) for n, hop in _RESOLUTIONS)

    def forward(self, samples: Tensor) -> Judged:
        return [judge(samples) for judge in (*self.periods, *self.spectra)]


def critic_loss(judges: Discriminators, made: Tensor, true: Tensor) -> tuple[Tensor, Judged]:
    """What the discriminators minimise: 1 for `true`, 0 for `made` [B, n] each, whose maker learns nothing of it.

    Also what they found in `true`, for `generator_losses`.
    """
    found = judges(torch.cat([true, made.detach()]))
    total = made.new_zeros(())
    for score, _ in found:
        of_true, of_made = score.float().chunk(2)
        total = total + (1.0 - of_true).square().mean() + of_made.square().mean()
    half = len(true)
    return total / len(found), [(score[:half].detach(), [f[:half].detach() for f in fs]) for score, fs in found]


def generator_losses(judges: Discriminators, made: Tensor, true: Judged) -> dict[str, Tensor]:
    """`adversarial`: how far `made` [B, n] is from being taken for true; `matching`: L1 distance of the features,
    each against its mean size. The discriminators learn nothing of it."""
    frozen = {name: value.detach() for name, value in judges.named_parameters()}
    found: Judged = functional_call(judges, frozen, (made,))
    adversarial, matching = made.new_zeros(()), made.new_zeros(())
    for (score, features), (_, true_features) in zip(found, true, strict=True):
        adversarial = adversarial + (1.0 - score.float()).square().mean()
        for feature, goal in zip(features, true_features, strict=True):
            distance = F.l1_loss(feature.float(), goal.float()) / goal.float().abs().mean().clamp_min(1e-4)
            matching = matching + distance / len(features)
    return {"adversarial": adversarial / len(found), "matching": matching / len(found)}
