"""BigVGAN: log mel to waveform, by transposed convolutions and anti-aliased periodic activations.

Lee et al., "BigVGAN: A Universal Neural Vocoder with Large-Scale Training" (2023); keys and numbers: spec 7.2.
Weights are plain: fold weight norm first (`weight_norm.fold`). A harmonic source (`harmonic_source.py`) is an option
that public checkpoints do not have.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from oncue_engine.errors import CheckpointError
from oncue_engine.kernels.snake import snake
from oncue_engine.model.harmonic_source import PREDICTOR_REACH_FRAMES, SOURCE_CHANNELS, Excitation, HarmonicSource

__all__ = ["AntiAliasedSnake", "BigVGAN", "BigVGANConfig", "kaiser_sinc_filter"]

_TAPS = 12
_PHASE_TAPS = _TAPS // 2  # taps that meet a sample when every second sample is known to be zero or dropped
_ACTIVATION_REACH = 5  # samples each side that one output of the up-snake-down chain depends on


@dataclass(frozen=True, slots=True)
class BigVGANConfig:
    """Sizes under their public names; one mel frame becomes `prod(upsample_rates)` samples."""

    upsample_rates: tuple[int, ...] = (4, 4, 2, 2, 2, 2)
    upsample_kernel_sizes: tuple[int, ...] = (8, 8, 4, 4, 4, 4)
    upsample_initial_channel: int = 1536
    resblock_kernel_sizes: tuple[int, ...] = (3, 7, 11)
    resblock_dilation_sizes: tuple[tuple[int, ...], ...] = ((1, 3, 5), (1, 3, 5), (1, 3, 5))
    num_mels: int = 80
    snake_logscale: bool = True
    use_tanh_at_final: bool = False
    use_bias_at_final: bool = False
    harmonic_source: bool = False
    """Pulses at the pitch that the mel tells, and noise, added after every up-sampling. Not in public checkpoints."""

    @classmethod
    def from_public(cls, mapping: Mapping[str, Any]) -> BigVGANConfig:
        """Read the vocoder's own config (public `config.json`). Raises CheckpointError for kinds not built here."""
        for name, built in (("resblock", "1"), ("activation", "snakebeta")):
            if str(mapping.get(name, built)) != built:
                raise CheckpointError(f"vocoder {name} {mapping[name]!r} is not supported, only {built!r}")
        for name in ("upsample_rates", "upsample_kernel_sizes", "upsample_initial_channel"):
            if name not in mapping:
                raise CheckpointError(f"vocoder config lacks {name}")
        if not isinstance(mapping.get("harmonic_source", False), bool):
            raise CheckpointError(f"vocoder harmonic_source {mapping['harmonic_source']!r} is neither true nor false")
        default = cls()
        return cls(
            upsample_rates=tuple(mapping["upsample_rates"]),
            upsample_kernel_sizes=tuple(mapping["upsample_kernel_sizes"]),
            upsample_initial_channel=int(mapping["upsample_initial_channel"]),
            resblock_kernel_sizes=tuple(mapping.get("resblock_kernel_sizes", default.resblock_kernel_sizes)),
            resblock_dilation_sizes=tuple(
                tuple(row) for row in mapping.get("resblock_dilation_sizes", default.resblock_dilation_sizes)
            ),
            num_mels=int(mapping.get("num_mels", default.num_mels)),
            snake_logscale=bool(mapping.get("snake_logscale", True)),
            use_tanh_at_final=bool(mapping.get("use_tanh_at_final", False)),
            use_bias_at_final=bool(mapping.get("use_bias_at_final", False)),
            harmonic_source=bool(mapping.get("harmonic_source", False)),
        )

    @property
    def hop_samples(self) -> int:
        """Samples per mel frame."""
        return prod(self.upsample_rates)


def kaiser_sinc_filter() -> Tensor:
    """The 12-tap low-pass of every activation, `[12]`, sum 1 (spec 7.2: cutoff 0.25, half-width 0.3)."""
    tau = torch.arange(_TAPS, dtype=torch.float64) - (_TAPS - 1) / 2
    window = torch.kaiser_window(_TAPS, periodic=False, beta=4.663800127934911, dtype=torch.float64)
    taps = 0.5 * torch.sinc(0.5 * tau) * window
    return (taps / taps.sum()).float()


class SnakeBeta(nn.Module):
    """`x + sin(a x)^2 / b` per channel; in log scale `a` and `b` are stored as logarithms."""

    def __init__(self, channels: int, logscale: bool) -> None:
        super().__init__()
        initial = torch.zeros(channels) if logscale else torch.ones(channels)
        self.alpha = nn.Parameter(initial.clone())
        self.beta = nn.Parameter(initial.clone())
        self.logscale = logscale

    def rates(self) -> tuple[Tensor, Tensor]:
        """(a, 1/b), each `[C, 1]`."""
        alpha, beta = (self.alpha.exp(), self.beta.exp()) if self.logscale else (self.alpha, self.beta)
        return alpha[:, None], (beta + 1e-9).reciprocal()[:, None]


class AntiAliasedSnake(nn.Module):
    """2x up-sampling, SnakeBeta, 2x down-sampling, in polyphase form: `[B, C, T] -> [B, C, T]`.

    Even and odd samples of the doubled signal are kept as two signals, so that no zero is multiplied, nothing is
    interleaved, and the snake runs on contiguous memory. The signal is taken to stand still beyond its ends.
    """

    def __init__(self, channels: int, logscale: bool) -> None:
        super().__init__()
        self.act = SnakeBeta(channels, logscale)
        taps = kaiser_sinc_filter()
        self.up_even: Tensor
        self.up_odd: Tensor
        self.down_even: Tensor
        self.down_odd: Tensor
        # Transposed convolution runs the filter backwards; gain 2 makes up for the zeros between the samples.
        self.register_buffer("up_even", 2 * taps.flip(0)[0::2], persistent=False)
        self.register_buffer("up_odd", 2 * taps.flip(0)[1::2], persistent=False)
        self.register_buffer("down_even", taps[1::2].clone(), persistent=False)
        self.register_buffer("down_odd", taps[0::2].clone(), persistent=False)

    @property
    def taps(self) -> Tensor:
        """Up even, up odd, down even, down odd: [24], as the kernel takes them."""
        return torch.cat([self.up_even, self.up_odd, self.down_even, self.down_odd])

    def forward(self, x: Tensor) -> Tensor:
        rate, inverse = self.act.rates()
        if not torch.is_grad_enabled():
            done = snake(x, self.taps, rate.flatten(), inverse.flatten())
            if done is not None:
                return done
        x = F.pad(x, (3, 3), mode="replicate")  # [B, C, T+6]
        even = _snake(_depthwise(x[..., :-1], self.up_even), rate, inverse)  # sample 2t, from x[t-3 .. t+2]
        odd = _snake(_depthwise(x[..., 1:], self.up_odd), rate, inverse)  # sample 2t+1, from x[t-2 .. t+3]
        first, last = even[..., :1], odd[..., -1:]
        even = torch.cat([first.expand(-1, -1, 2), even, last.expand(-1, -1, 3)], dim=-1)
        odd = torch.cat([first.expand(-1, -1, 3), odd, last.expand(-1, -1, 2)], dim=-1)
        return _depthwise(even, self.down_even) + _depthwise(odd, self.down_odd)

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args: Any) -> None:
        # Public files carry the filters as buffers. They are constants: take them as a check, then do without.
        for name in ("upsample.filter", "downsample.lowpass.filter"):
            given = state_dict.pop(prefix + name, None)
            if given is None:
                continue
            tolerance = 4 * max(torch.finfo(given.dtype).eps, torch.finfo(torch.float32).eps)
            ours = kaiser_sinc_filter().to(given.device)
            if given.numel() != _TAPS or (given.float().flatten() - ours).abs().max() > tolerance:
                raise CheckpointError(f"{prefix}{name} is not the 12-tap filter this vocoder is built on")
        super()._load_from_state_dict(state_dict, prefix, *args)


def _depthwise(x: Tensor, taps: Tensor) -> Tensor:
    """The same 6 taps on every channel: `[B, C, T+5] -> [B, C, T]`."""
    channels = x.shape[1]
    return F.conv1d(x, taps.to(x.dtype).expand(channels, 1, _PHASE_TAPS), groups=channels)


def _snake(x: Tensor, rate: Tensor, inverse: Tensor) -> Tensor:
    wave = torch.sin(x * rate)
    return torch.addcmul(x, wave * inverse, wave)


class AMPBlock(nn.Module):
    """Residual pairs of a dilated and a plain convolution, each behind an activation: `[B, C, T] -> [B, C, T]`."""

    def __init__(self, channels: int, kernel: int, dilations: tuple[int, ...], logscale: bool) -> None:
        super().__init__()
        self.convs1 = nn.ModuleList(
            nn.Conv1d(channels, channels, kernel, dilation=d, padding=d * (kernel - 1) // 2) for d in dilations
        )
        self.convs2 = nn.ModuleList(nn.Conv1d(channels, channels, kernel, padding=(kernel - 1) // 2) for _ in dilations)
        # Even ones stand before convs1, odd ones before convs2.
        self.activations = nn.ModuleList(AntiAliasedSnake(channels, logscale) for _ in range(2 * len(dilations)))

    def forward(self, x: Tensor) -> Tensor:
        for i, (conv1, conv2) in enumerate(zip(self.convs1, self.convs2, strict=True)):
            x = x + conv2(self.activations[2 * i + 1](conv1(self.activations[2 * i](x))))
        return x


class BigVGAN(nn.Module):
    """Mel `[B, num_mels, F]` (natural log, spec 1.2) to samples `[B, 1, hop*F]` in [-1, 1]."""

    def __init__(self, config: BigVGANConfig) -> None:
        super().__init__()
        self.config = config
        kernels = config.resblock_kernel_sizes
        channels = config.upsample_initial_channel
        self.conv_pre = nn.Conv1d(config.num_mels, channels, 7, padding=3)
        self.ups = nn.ModuleList()
        self.resblocks = nn.ModuleList()  # index: stage * len(kernels) + kernel
        for rate, kernel in zip(config.upsample_rates, config.upsample_kernel_sizes, strict=True):
            up = nn.ConvTranspose1d(channels, channels // 2, kernel, stride=rate, padding=(kernel - rate) // 2)
            self.ups.append(nn.Sequential(up))
            channels //= 2
            for size, dilations in zip(kernels, config.resblock_dilation_sizes, strict=True):
                self.resblocks.append(AMPBlock(channels, size, dilations, config.snake_logscale))
        self.activation_post = AntiAliasedSnake(channels, config.snake_logscale)
        self.conv_post = nn.Conv1d(channels, 1, 7, padding=3, bias=config.use_bias_at_final)
        self.source: HarmonicSource | None = None
        if config.harmonic_source:
            self.source = HarmonicSource(config.num_mels, config.hop_samples)
            self.injections = nn.ModuleList()  # from the source at full rate to each stage's rate and channels
            for stage in range(len(config.upsample_rates)):
                kernel, stride, padding = _injection(config, stage)
                width = config.upsample_initial_channel >> (stage + 1)
                self.injections.append(nn.Conv1d(SOURCE_CHANNELS, width, kernel, stride, padding, bias=False))

    @property
    def hop_samples(self) -> int:
        return self.config.hop_samples

    @property
    def context_frames(self) -> int:
        """Mel frames on each side of a frame that its samples depend on: with these as context they are settled."""
        return context_frames(self.config)

    def excite(self, mel: Tensor, first_frame: int = 0, known_frame: int = 0, cycles: float = 0.0) -> Excitation | None:
        """What this vocoder filters for a window of mel (`HarmonicSource.forward`); None where it has no source."""
        return None if self.source is None else self.source(mel, first_frame, known_frame, cycles)

    def forward(self, mel: Tensor, excitation: Excitation | None = None) -> Tensor:
        """Without `excitation`, a vocoder with a source takes `mel` for a whole segment."""
        excitation = self.excite(mel) if excitation is None else excitation
        wav = self.before_clamp(mel, None if excitation is None else excitation.source)
        # Public checkpoints end in a clamp; tanh would colour every loud sample (trap 16).
        return torch.tanh(wav) if self.config.use_tanh_at_final else wav.clamp(-1.0, 1.0)

    def before_clamp(self, mel: Tensor, source: Tensor | None = None) -> Tensor:
        """The waveform `[B, 1, hop*F]` before it is limited: what training compares, as a clamp has no gradient.

        `source` [B, 2, hop*F] where the vocoder has a harmonic source.
        """
        x = self.conv_pre(mel)  # [B, C0, F]
        for stage in range(len(self.ups)):
            x = self.stage(x, stage, source)
        wav: Tensor = self.conv_post(self.activation_post(x))
        return wav

    def stage(self, x: Tensor, stage: int, source: Tensor | None = None) -> Tensor:
        """One up-sampling step and the mean of its residual blocks: `[B, C, T] -> [B, C/2, rate*T]`."""
        x = self.upsample(x, stage)
        if source is not None:
            x = x + self.injections[stage](source)
        width = len(self.config.resblock_kernel_sizes)
        total: Tensor = self.resblocks[stage * width](x)
        for block in range(stage * width + 1, (stage + 1) * width):
            total = total + self.resblocks[block](x)
        return total / width

    def upsample(self, x: Tensor, stage: int) -> Tensor:
        """The transposed convolution of one stage: `[B, C, T] -> [B, C/2, rate*T]`."""
        y: Tensor = self.ups[stage](x)
        return y


def _injection(config: BigVGANConfig, stage: int) -> tuple[int, int, int]:
    """Kernel, stride and padding of the convolution from the source at full rate to the rate of `stage`."""
    stride = prod(config.upsample_rates[stage + 1 :])
    kernel = 7 if stride == 1 else 2 * stride - stride % 2
    return kernel, stride, (kernel - stride) // 2


def context_frames(config: BigVGANConfig) -> int:
    """The exact reach of the network in mel frames, by walking the support of one frame's samples back to the mel.

    With a harmonic source, the reach of the samples in it is followed too, and that of the pitch in the mel. The phase
    is handed on from window to window, and counts for nothing here.
    """
    low, high = -3 - _ACTIVATION_REACH, config.hop_samples - 1 + 3 + _ACTIVATION_REACH
    block = max(
        sum(2 * _ACTIVATION_REACH + (d + 1) * (kernel - 1) // 2 for d in dilations)
        for kernel, dilations in zip(config.resblock_kernel_sizes, config.resblock_dilation_sizes, strict=True)
    )
    source_reach = 0
    stages = list(enumerate(zip(config.upsample_rates, config.upsample_kernel_sizes, strict=True)))
    for stage, (rate, kernel) in reversed(stages):
        padding = (kernel - rate) // 2
        low, high = low - block, high + block
        if config.harmonic_source:
            taps, stride, before = _injection(config, stage)
            first, last = low * stride - before, high * stride - before + taps - 1  # samples of the source
            # A sample lies between the middles of two frames.
            first_frame = (2 * first + 1 - config.hop_samples) // (2 * config.hop_samples)
            last_frame = (2 * last + 1 - config.hop_samples) // (2 * config.hop_samples) + 1
            source_reach = max(source_reach, PREDICTOR_REACH_FRAMES - first_frame, last_frame + PREDICTOR_REACH_FRAMES)
        # Output n of a transposed convolution meets input i where 0 <= n + padding - i*rate < kernel.
        low, high = -((kernel - 1 - padding - low) // rate), (high + padding) // rate
    return max(3 - low, high + 3, source_reach)
