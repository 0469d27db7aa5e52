"""CAM++: a filterbank to one style vector, by a densely connected network with context-aware masks.

Wang et al., "CAM++: A Fast and Efficient Network for Speaker Verification Using Context-Aware Masking" (2023);
keys and numbers: spec 7.1. The style is not normalised (trap 17).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["CampPlus", "CampPlusConfig"]

_SEGMENT_FRAMES = 100
_DENSE_KERNEL = 3


@dataclass(frozen=True, slots=True)
class CampPlusConfig:
    """Sizes; the defaults are the public checkpoint's. A dense layer is `bn_size * growth_rate` wide inside."""

    feat_dim: int = 80
    embedding_size: int = 192
    growth_rate: int = 32
    bn_size: int = 4
    init_channels: int = 128
    head_channels: int = 32
    block_layers: tuple[int, ...] = (12, 24, 16)
    block_dilations: tuple[int, ...] = (1, 2, 2)

    @classmethod
    def from_public(cls, mapping: Mapping[str, Any]) -> CampPlusConfig:
        """Read known fields; all that is missing is public. `head_channels`, `block_*` are ours, for small models."""
        default = cls()
        return cls(
            feat_dim=int(mapping.get("feat_dim", default.feat_dim)),
            embedding_size=int(mapping.get("embedding_size", default.embedding_size)),
            growth_rate=int(mapping.get("growth_rate", default.growth_rate)),
            bn_size=int(mapping.get("bn_size", default.bn_size)),
            init_channels=int(mapping.get("init_channels", default.init_channels)),
            head_channels=int(mapping.get("head_channels", default.head_channels)),
            block_layers=tuple(mapping.get("block_layers", default.block_layers)),
            block_dilations=tuple(mapping.get("block_dilations", default.block_dilations)),
        )


class CampPlus(nn.Module):
    """Filterbank `[B, F, feat_dim]`, its time mean removed, to style `[B, embedding_size]`.

    All rows of a batch are taken to be equally long.
    """

    def __init__(self, config: CampPlusConfig) -> None:
        super().__init__()
        self.config = config
        self.head = _Head(config.head_channels)
        channels = config.init_channels
        bands = (config.feat_dim + 7) // 8  # three convolutions halve the frequency axis, rounding up
        parts: OrderedDict[str, nn.Module] = OrderedDict()
        parts["tdnn"] = _Projection(config.head_channels * bands, channels, kernel=5, stride=2)
        for number, (layers, dilation) in enumerate(
            zip(config.block_layers, config.block_dilations, strict=True), start=1
        ):
            parts[f"block{number}"] = _DenseBlock(channels, layers, config.growth_rate, config.bn_size, dilation)
            channels += layers * config.growth_rate
            parts[f"transit{number}"] = _Transit(channels, channels // 2)
            channels //= 2
        parts["out_nonlinear"] = _norm_relu(channels)
        parts["stats"] = _StatsPool()
        parts["dense"] = _Dense(2 * channels, config.embedding_size)
        self.xvector = nn.Sequential(parts)

    def forward(self, fbank: Tensor) -> Tensor:
        style: Tensor = self.xvector(self.head(fbank.transpose(1, 2)))
        return style


class _Head(nn.Module):
    """Two-dimensional front: `[B, bands, F] -> [B, channels*ceil(bands/8), F]`."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.layer1 = nn.Sequential(_Residual(channels, stride=2), _Residual(channels, stride=1))
        self.layer2 = nn.Sequential(_Residual(channels, stride=2), _Residual(channels, stride=1))
        self.conv2 = nn.Conv2d(channels, channels, 3, stride=(2, 1), padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x.unsqueeze(1))))  # [B, C, bands, F]
        x = self.layer2(self.layer1(x))
        x = F.relu(self.bn2(self.conv2(x)))
        return x.flatten(1, 2)  # channel-major


class _Residual(nn.Module):
    """`stride` is on frequency alone."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, stride=(stride, 1), padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.shortcut = nn.Sequential()
        if stride != 1:
            self.shortcut.append(nn.Conv2d(channels, channels, 1, stride=(stride, 1), bias=False))
            self.shortcut.append(nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


def _norm_relu(channels: int) -> nn.Sequential:
    return nn.Sequential(OrderedDict(batchnorm=nn.BatchNorm1d(channels), relu=nn.ReLU()))


class _Projection(nn.Module):
    """Convolution, batch norm, ReLU: `[B, C_in, F] -> [B, C_out, ceil(F/stride)]`."""

    def __init__(self, c_in: int, c_out: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.linear = nn.Conv1d(c_in, c_out, kernel, stride=stride, padding=(kernel - 1) // 2, bias=False)
        self.nonlinear = _norm_relu(c_out)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.nonlinear(self.linear(x))
        return y


class _Transit(nn.Module):
    """Batch norm, ReLU, then fewer channels: `[B, C_in, T] -> [B, C_out, T]`."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.nonlinear = _norm_relu(c_in)
        self.linear = nn.Conv1d(c_in, c_out, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.linear(self.nonlinear(x))
        return y


class _DenseBlock(nn.Module):
    """Each layer's output joins its input: `[B, C, T] -> [B, C + layers*growth, T]`."""

    def __init__(self, channels: int, layers: int, growth: int, bn_size: int, dilation: int) -> None:
        super().__init__()
        self.layers = layers
        for number in range(1, layers + 1):
            layer = _DenseLayer(channels + (number - 1) * growth, growth, bn_size * growth, dilation)
            self.add_module(f"tdnnd{number}", layer)  # the public names

    def forward(self, x: Tensor) -> Tensor:
        for number in range(1, self.layers + 1):
            x = torch.cat([x, self.get_submodule(f"tdnnd{number}")(x)], dim=1)
        return x


class _DenseLayer(nn.Module):
    def __init__(self, c_in: int, growth: int, width: int, dilation: int) -> None:
        super().__init__()
        self.nonlinear1 = _norm_relu(c_in)
        self.linear1 = nn.Conv1d(c_in, width, 1, bias=False)
        self.nonlinear2 = _norm_relu(width)
        self.cam_layer = _ContextMask(width, growth, dilation)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.cam_layer(self.nonlinear2(self.linear1(self.nonlinear1(x))))
        return y


class _ContextMask(nn.Module):
    """A convolution, masked per channel and frame by what the whole clip and the frame's segment are like."""

    def __init__(self, c_in: int, c_out: int, dilation: int) -> None:
        super().__init__()
        padding = (_DENSE_KERNEL - 1) // 2 * dilation
        self.linear_local = nn.Conv1d(c_in, c_out, _DENSE_KERNEL, dilation=dilation, padding=padding, bias=False)
        self.linear1 = nn.Conv1d(c_in, c_in // 2, 1)
        self.linear2 = nn.Conv1d(c_in // 2, c_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        context = x.mean(dim=-1, keepdim=True) + _segment_means(x)
        mask = torch.sigmoid(self.linear2(F.relu(self.linear1(context))))
        y: Tensor = self.linear_local(x) * mask
        return y


def _segment_means(x: Tensor) -> Tensor:
    """Mean of each 100-frame segment, the last one over what is there, spread back: `[B, C, T] -> [B, C, T]`."""
    means = F.avg_pool1d(x, _SEGMENT_FRAMES, stride=_SEGMENT_FRAMES, ceil_mode=True)  # [B, C, segments]
    return means.repeat_interleave(_SEGMENT_FRAMES, dim=-1)[..., : x.shape[-1]]


class _StatsPool(nn.Module):
    """Mean and unbiased standard deviation over time: `[B, C, T] -> [B, 2C]`."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x.mean(dim=-1), x.std(dim=-1, unbiased=True)], dim=-1)


class _Dense(nn.Module):
    """The last projection and a batch norm without affine: `[B, C] -> [B, E]`."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.linear = nn.Conv1d(c_in, c_out, 1, bias=False)
        self.nonlinear = nn.Sequential(OrderedDict(batchnorm=nn.BatchNorm1d(c_out, affine=False)))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.nonlinear(self.linear(x.unsqueeze(-1)).squeeze(-1))
        return y
