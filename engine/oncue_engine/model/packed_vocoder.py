"""BigVGAN as it runs on a CPU: packed weights, signals with margins, and each sum fused with what follows it.

Built from a loaded `BigVGAN`, whose samples it makes; nothing in it learns, and weights loaded later do not reach it.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..kernels.convolution import Margined, PackedConvolution, has_bf16_tiles, interleave_into
from ..kernels.library import load
from ..kernels.snake import snake_into
from ..let_go import let_go
from .bigvgan import AMPBlock, AntiAliasedSnake, BigVGAN
from .harmonic_source import SOURCE_CHANNELS, Excitation

__all__ = ["PackedVocoder", "inference_form"]

_FEWEST_BF16_CHANNELS = 16
"""Narrower stages fill no tile, and the last ones, narrow in small models, are where rounding is heard most."""


def inference_form(vocoder: BigVGAN, products: torch.dtype = torch.float32) -> BigVGAN | PackedVocoder:
    """The fastest form of a loaded vocoder on this machine's CPU: packed where kernels are there, else as it is.

    `products` float32 or bfloat16 (`PackedVocoder`).
    """
    return vocoder if load() is None else PackedVocoder(vocoder, products)


class PackedVocoder:
    """What `BigVGAN` computes, from its weights at the time of construction. May be called from several threads.

    `products` bfloat16: the residual blocks multiply in bf16 and sum in float32, where the processor has a matrix unit
    for it and the stage has channels enough. What they are added to, and with `products` float32 all of it, is float32:
    rounded up-sampling alone would cost more than all blocks do (7 dB), and takes a tenth of the time.
    """

    def __init__(self, vocoder: BigVGAN, products: torch.dtype = torch.float32) -> None:
        self.config = vocoder.config
        self.context_frames = vocoder.context_frames
        self.hop_samples = vocoder.hop_samples
        self._source = vocoder.source
        if not has_bf16_tiles():
            products = torch.float32
        self._pre = _packed(vocoder.conv_pre, torch.float32)
        self._stages = [_Stage.of(vocoder, stage, products) for stage in range(len(vocoder.ups))]
        self._activation_post = _Activation.of(vocoder.activation_post)
        self._post = _packed(vocoder.conv_post, torch.float32)

    def excite(self, mel: Tensor, first_frame: int = 0, known_frame: int = 0, cycles: float = 0.0) -> Excitation | None:
        """As `BigVGAN.excite`."""
        return None if self._source is None else self._source(mel, first_frame, known_frame, cycles)

    def __call__(self, mel: Tensor, excitation: Excitation | None = None) -> Tensor:
        """As `BigVGAN.forward`: mel `[B, num_mels, F]` to samples `[B, 1, hop*F]` in [-1, 1]."""
        excitation = self.excite(mel) if excitation is None else excitation
        wav = self.before_clamp(mel, None if excitation is None else excitation.source)
        return torch.tanh(wav) if self.config.use_tanh_at_final else wav.clamp(-1.0, 1.0)

    @torch.no_grad()
    def before_clamp(self, mel: Tensor, source: Tensor | None = None) -> Tensor:
        """As `BigVGAN.before_clamp`, one row after the other: a CPU gains nothing from rows side by side."""
        sources: Sequence[Tensor | None] = [None] * len(mel) if source is None else list(source)
        return torch.stack([self._wave(row, given) for row, given in zip(mel, sources, strict=True)])

    def _wave(self, mel: Tensor, source: Tensor | None) -> Tensor:
        """Mel [num_mels, F], source [2, hop*F] -> [1, hop*F]."""
        frames = mel.shape[1]
        signal = Margined.empty(mel.shape[0], frames, self._pre.margin, torch.float32)
        signal.fill(mel)
        x = torch.empty(self._pre.rows, frames)
        self._pre.into(signal, x)
        for stage in self._stages:
            x = stage(x, source)
        signal = Margined.empty(x.shape[0], x.shape[1], self._post.margin, torch.float32)
        self._activation_post.into(x, signal)
        wave = torch.empty(1, x.shape[1])
        self._post.into(signal, wave)
        return wave


@dataclass(frozen=True, slots=True, eq=False)
class _Activation:
    taps: Tensor
    rate: Tensor
    inverse: Tensor

    @classmethod
    def of(cls, module: nn.Module) -> _Activation:
        assert isinstance(module, AntiAliasedSnake)
        with torch.no_grad():
            rate, inverse = (value.flatten().clone() for value in module.act.rates())
        return cls(module.taps.clone(), rate, inverse)

    def into(self, x: Tensor, out: Margined) -> None:
        snake_into(x, self.taps, self.rate, self.inverse, out)


@dataclass(frozen=True, slots=True, eq=False)
class _Pair:
    """One residual step of an AMPBlock."""

    before_first: _Activation
    first: PackedConvolution
    before_second: _Activation
    second: PackedConvolution


@dataclass(frozen=True, slots=True, eq=False)
class _Stage:
    """`BigVGAN.stage`: [C, T] -> [C/2, rate*T]."""

    ups: tuple[PackedConvolution, ...]
    """From C channels to the phases [rate, C/2] of the output, in their order."""
    rate: int
    injection: PackedConvolution | None
    """From the samples of the source under one output sample, [2 * stride], to C/2."""
    blocks: tuple[tuple[_Pair, ...], ...]

    @classmethod
    def of(cls, vocoder: BigVGAN, stage: int, products: torch.dtype) -> _Stage:
        width = len(vocoder.config.resblock_kernel_sizes)
        if vocoder.config.upsample_initial_channel >> (stage + 1) < _FEWEST_BF16_CHANNELS:
            products = torch.float32
        blocks = []
        for block in vocoder.resblocks[stage * width : (stage + 1) * width]:
            assert isinstance(block, AMPBlock)
            pairs = []
            for i, (first, second) in enumerate(zip(block.convs1, block.convs2, strict=True)):
                activations = [_Activation.of(block.activations[2 * i + side]) for side in (0, 1)]
                pairs.append(_Pair(activations[0], _packed(first, products), activations[1], _packed(second, products)))
            blocks.append(tuple(pairs))
        up = vocoder.ups[stage].get_submodule("0")
        assert isinstance(up, nn.ConvTranspose1d)
        injection = None
        if vocoder.source is not None:
            layer = vocoder.injections[stage]
            assert isinstance(layer, nn.Conv1d)
            injection = _packed_strided(layer)
        return cls(_packed_up(up), up.stride[0], injection, tuple(blocks))

    def __call__(self, x: Tensor, source: Tensor | None) -> Tensor:
        margin = max(up.margin for up in self.ups)
        signal = Margined.empty(x.shape[0], x.shape[1], margin, torch.float32)
        signal.fill(x)
        phases = torch.empty(sum(up.rows for up in self.ups), x.shape[1])
        done = 0
        for up in self.ups:
            up.into(signal, phases[done : done + up.rows])
            done += up.rows
        channels, length = len(phases) // self.rate, x.shape[1] * self.rate
        x = torch.empty(channels, length)
        interleave_into(phases.view(self.rate, channels, -1), x)
        if self.injection is not None:
            assert source is not None
            stride = self.injection.channels // SOURCE_CHANNELS
            given = Margined.empty(self.injection.channels, length, self.injection.margin, torch.float32)
            given.fill(source.view(SOURCE_CHANNELS, length, stride).transpose(1, 2).reshape(-1, length))
            self.injection.into(given, x, residual=x)
        return self._residual_blocks(x)

    def _residual_blocks(self, x: Tensor) -> Tensor:
        """The mean of the blocks of x [C, T]."""
        convolutions = [c for block in self.blocks for pair in block for c in (pair.first, pair.second)]
        margin, products = max(c.margin for c in convolutions), convolutions[0].dtype
        activated = Margined.empty(x.shape[0], x.shape[1], margin, products)
        middle, y, mean = torch.empty_like(x), torch.empty_like(x), torch.empty_like(x)
        for index, block in enumerate(self.blocks):
            current = x
            for pair in block:
                pair.before_first.into(current, activated)
                pair.first.into(activated, middle)
                pair.before_second.into(middle, activated)
                if pair is not block[-1]:
                    pair.second.into(activated, y, residual=current)
                    current = y
                else:
                    total = mean if index > 0 else None
                    pair.second.into(activated, mean, residual=current, total=total, scale=1 / len(self.blocks))
        return mean


def _packed(layer: nn.Module, products: torch.dtype) -> PackedConvolution:
    assert isinstance(layer, nn.Conv1d) and isinstance(layer.padding, tuple)
    packed = PackedConvolution.pack(layer.weight, layer.bias, layer.dilation[0], layer.padding[0], products)
    let_go((layer.weight,))
    return packed


def _packed_up(layer: nn.ConvTranspose1d) -> tuple[PackedConvolution, ...]:
    """A transposed convolution as ones over its input, each for the phases that meet the same inputs.

    Output rate*t + phase meets input t + shift at tap phase + padding - rate*shift.
    """
    channels, rows, kernel = layer.weight.shape
    rate, padding = layer.stride[0], layer.padding[0]
    assert isinstance(padding, int)
    # The first and the last shift of each phase.
    reach = [(-((kernel - 1 - padding - phase) // rate), (phase + padding) // rate) for phase in range(rate)]
    packed = []
    for (first, last), group in itertools.groupby(range(rate), key=reach.__getitem__):
        phases = list(group)
        weight = layer.weight.new_zeros(len(phases), rows, channels, last - first + 1)
        for i, phase in enumerate(phases):
            for shift in range(first, last + 1):
                weight[i, :, :, shift - first] = layer.weight.detach()[:, :, phase + padding - rate * shift].T
        bias = None if layer.bias is None else layer.bias.repeat(len(phases))
        packed.append(PackedConvolution.pack(weight.flatten(0, 1), bias, 1, -first, torch.float32))
    let_go((layer.weight,))
    return tuple(packed)


def _packed_strided(layer: nn.Conv1d) -> PackedConvolution:
    """A strided convolution as one over its input's phases: channels are [channel, phase].

    Output t meets sample stride*t - padding + tap, which is phase (tap - padding) % stride.
    """
    rows, channels, kernel = layer.weight.shape
    stride, padding = layer.stride[0], layer.padding[0]
    assert isinstance(padding, int)
    before = -(-padding // stride)
    after = (kernel - 1 - padding) // stride
    weight = layer.weight.new_zeros(rows, channels, stride, before + 1 + after)
    for tap in range(kernel):
        shift, phase = divmod(tap - padding, stride)
        weight[:, :, phase, before + shift] = layer.weight.detach()[:, :, tap]
    return PackedConvolution.pack(weight.flatten(1, 2), layer.bias, 1, before, torch.float32)
