"""The WaveNet tail of the flow estimator: gated convolutions with reflect padding (spec 6.4).

Reflect padding belongs to each row's own end, not to the end of the batch tensor: a row padded on the right inside a
ragged batch must give what it gives alone. `reflect_index` therefore computes, once per batch, where each padded
position reads from; a batch without ragged rows needs none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from oncue_engine.errors import CheckpointError

__all__ = ["WaveNet", "WaveNetConfig", "reflect_index"]


@dataclass(frozen=True, slots=True)
class WaveNetConfig:
    """`hidden_dim` channels, `num_layers` gated layers, odd `kernel_size`; dilation is 1 everywhere."""

    hidden_dim: int = 512
    num_layers: int = 8
    kernel_size: int = 5

    @classmethod
    def from_public(cls, section: Mapping[str, Any]) -> WaveNetConfig:
        """Read the `s2mel.wavenet` section. CheckpointError for missing fields or unknown structure."""
        if int(section.get("dilation_rate", 1)) != 1 or not section.get("style_condition", True):
            raise CheckpointError("wavenet: only dilation 1 with style condition is known")
        try:
            config = cls(int(section["hidden_dim"]), int(section["num_layers"]), int(section["kernel_size"]))
        except KeyError as missing:
            raise CheckpointError(f"wavenet: the config lacks {missing}") from None
        if config.kernel_size % 2 == 0:
            raise CheckpointError("wavenet: the kernel size must be odd")
        return config


def reflect_index(lengths: Tensor, num_frames: int, pad_frames: int) -> Tensor | None:
    """Where each position of the padded axis reads from, [B, num_frames + 2 * pad_frames] int64.

    lengths [B] >= 1. None when every row fills the tensor and plain reflection is right. Rows not longer than the
    padding are taken as lengthened with zeros to pad_frames + 1 first, since there is nothing else to reflect.
    """
    if num_frames > pad_frames and bool((lengths == num_frames).all()):
        return None
    position = torch.arange(-pad_frames, num_frames + pad_frames, device=lengths.device)  # [F+2p]
    last = torch.clamp(lengths, min=pad_frames + 1)[:, None] - 1  # [B,1]
    index = last - (last - position.abs()).abs()
    # What lies beyond the reflected end is nobody's input; any index in range will do.
    return index.clamp(min=0)


def _pad_reflect(x: Tensor, pad_frames: int, index: Tensor | None) -> Tensor:
    """x [B,C,F] -> [B,C,F+2p]; with an index, frames past a row's end must be zero."""
    if index is None:
        return F.pad(x, (pad_frames, pad_frames), mode="reflect")
    missing = pad_frames + 1 - x.shape[2]
    if missing > 0:
        x = F.pad(x, (0, missing))
    return x.gather(2, index[:, None].expand(-1, x.shape[1], -1))


class _NamedConv(nn.Module):
    """A convolution two levels down, because that is where its public key has it (`conv.conv.weight`)."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int) -> None:
        super().__init__()
        self.conv = nn.ModuleDict({"conv": nn.Conv1d(in_channels, out_channels, kernel_size)})

    @property
    def inner(self) -> nn.Conv1d:
        conv = self.conv["conv"]
        assert isinstance(conv, nn.Conv1d)
        return conv


class WaveNet(nn.Module):
    """Public keys `cond_layer`, `in_layers.{i}`, `res_skip_layers.{i}`, each `.conv.conv.{weight,bias}` once folded."""

    def __init__(self, config: WaveNetConfig) -> None:
        super().__init__()
        self.config = config
        hidden, layers = config.hidden_dim, config.num_layers
        self.cond_layer = _NamedConv(hidden, 2 * hidden * layers, 1)
        self.in_layers = nn.ModuleList(_NamedConv(hidden, 2 * hidden, config.kernel_size) for _ in range(layers))
        self.res_skip_layers = nn.ModuleList(
            _NamedConv(hidden, hidden if layer == layers - 1 else 2 * hidden, 1) for layer in range(layers)
        )

    @property
    def gated_convolutions(self) -> list[nn.Conv1d]:
        return [layer.inner for layer in self.in_layers if isinstance(layer, _NamedConv)]

    @property
    def output_convolutions(self) -> list[nn.Conv1d]:
        """Width 1: residual and skip of each layer, of the last the skip alone."""
        return [layer.inner for layer in self.res_skip_layers if isinstance(layer, _NamedConv)]

    @property
    def pad_frames(self) -> int:
        """Frames of reflection at each end of every layer."""
        return self.config.kernel_size // 2

    def condition(self, g: Tensor) -> Tensor:
        """Time embedding [S,C] -> additive inputs of all layers [S, layers * 2C]; the same for every frame."""
        conv = self.cond_layer.inner
        return F.linear(g, conv.weight[:, :, 0], conv.bias)

    def forward(self, x: Tensor, condition: Tensor, valid: Tensor | None, index: Tensor | None) -> Tensor:
        """x [B,C,F], condition [B, layers * 2C] -> [B,C,F].

        `valid` [B,1,F] (1 inside a row, 0 after its end) and `index` from `reflect_index` go together;
        both None when every row fills the tensor.
        """
        if valid is not None:
            x = x * valid
        skips: Tensor | None = None
        last = len(self.in_layers) - 1
        for layer, (in_layer, res_skip) in enumerate(zip(self.in_layers, self.res_skip_layers, strict=True)):
            assert isinstance(in_layer, _NamedConv) and isinstance(res_skip, _NamedConv)
            gates = in_layer.inner(_pad_reflect(x, self.pad_frames, index))  # [B,2C,F]
            width = gates.shape[1]
            gates = gates + condition[:, layer * width : (layer + 1) * width, None]
            value, gate = gates.chunk(2, dim=1)
            out = res_skip.inner(torch.tanh(value) * torch.sigmoid(gate))
            if layer < last:
                residual, out = out.chunk(2, dim=1)
                x = x + residual
                if valid is not None:
                    x = x * valid
            skips = out if skips is None else skips + out
        assert skips is not None
        return skips if valid is None else skips * valid
