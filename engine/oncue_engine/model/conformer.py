"""Conformer encoder of the prompt features (spec 3.1a), for speaker and emotion conditioning.

It carries the parameters of relative-position attention but applies no relative shift: position row j
belongs to key j, whatever the query.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["ConformerConfig", "ConformerEncoder", "sinusoid_table"]


@dataclass(frozen=True, slots=True)
class ConformerConfig:
    """Sizes of one conformer encoder; names as in the public `condition_module` sections.

    `input_width` is the feature width D, `output_size` the width W, `position_rows` the rows of the position table
    and so the longest sequence after subsampling.
    """

    input_width: int
    output_size: int
    linear_units: int
    attention_heads: int
    num_blocks: int
    kernel_size: int = 15
    position_rows: int = 5000

    def __post_init__(self) -> None:
        if self.output_size % self.attention_heads:
            raise ValueError(f"output_size {self.output_size} is not a multiple of attention_heads")
        if self.kernel_size % 2 == 0:
            raise ValueError("kernel_size must be odd")


def sinusoid_table(rows: int, width: int) -> Tensor:
    """Absolute sine/cosine positions [rows, width]: even columns sine, odd cosine, base 10000."""
    position = torch.arange(rows, dtype=torch.float32)[:, None]  # [rows, 1]
    rate = torch.exp(torch.arange(0, width, 2, dtype=torch.float32) * -(math.log(10000.0) / width))
    table = torch.zeros(rows, width)
    table[:, 0::2] = torch.sin(position * rate)
    table[:, 1::2] = torch.cos(position * rate)[:, : width // 2]
    return table


class _PositionTable(nn.Module):
    """Holds `pe` [1, rows, W] as a buffer: a checkpoint's stored values count, not the closed form."""

    pe: Tensor

    def __init__(self, rows: int, width: int) -> None:
        super().__init__()
        self.register_buffer("pe", sinusoid_table(rows, width)[None])


class Subsample(nn.Module):
    """Convolution with stride 2 over time and features, then a linear layer: [B,T,D] -> [B,T',W], T' = (T-1)//2."""

    def __init__(self, config: ConformerConfig) -> None:
        super().__init__()
        width = config.output_size
        self.conv = nn.Sequential(nn.Conv2d(1, width, 3, stride=2), nn.ReLU())
        self.out = nn.Sequential(nn.Linear(width * ((config.input_width - 1) // 2), width))
        self.pos_enc = _PositionTable(config.position_rows, width)
        self.scale = math.sqrt(width)

    def forward(self, x: Tensor) -> Tensor:
        grid = self.conv(x[:, None])  # [B, W, T', D']
        flat = grid.transpose(1, 2).flatten(2)  # [B, T', W*D'], channel-major: feature index runs fastest
        y: Tensor = self.out(flat) * self.scale
        return y


class PositionAttention(nn.Module):
    """Self-attention with learned biases for content (u) and position (v)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.head_dim = width // heads
        self.linear_q = nn.Linear(width, width)
        self.linear_k = nn.Linear(width, width)
        self.linear_v = nn.Linear(width, width)
        self.linear_out = nn.Linear(width, width)
        self.linear_pos = nn.Linear(width, width, bias=False)
        self.pos_bias_u = nn.Parameter(torch.empty(heads, self.head_dim))
        self.pos_bias_v = nn.Parameter(torch.empty(heads, self.head_dim))
        nn.init.xavier_uniform_(self.pos_bias_u)
        nn.init.xavier_uniform_(self.pos_bias_v)

    def _split(self, x: Tensor) -> Tensor:
        """[B,T,W] -> [B,H,T,d]."""
        return x.view(*x.shape[:-1], self.heads, self.head_dim).transpose(1, 2)

    def forward(self, x: Tensor, positions: Tensor, mask: Tensor) -> Tensor:
        """x [B,T,W], positions [1,T,W], mask [B,T] true where valid -> [B,T,W]."""
        q, k, v = self._split(self.linear_q(x)), self._split(self.linear_k(x)), self._split(self.linear_v(x))
        p = self._split(self.linear_pos(positions))  # [1, H, T, d]
        content = (q + self.pos_bias_u[:, None]) @ k.transpose(-2, -1)  # [B, H, T, T]
        place = (q + self.pos_bias_v[:, None]) @ p.transpose(-2, -1)
        scores = (content + place) / math.sqrt(self.head_dim)
        hidden = ~mask[:, None, None]  # [B, 1, 1, T]
        # Finite: a row without any valid key gives numbers (zeroed afterwards) and no NaN, backwards too.
        weights = scores.masked_fill(hidden, torch.finfo(scores.dtype).min).softmax(-1).masked_fill(hidden, 0.0)
        y: Tensor = self.linear_out((weights @ v).transpose(1, 2).flatten(2))
        return y


class ConvolutionModule(nn.Module):
    """Pointwise, GLU, depthwise, LayerNorm over channels, SiLU, pointwise; masked positions zero at both ends.

    As in the public model, the first bias makes masked positions non-zero again before the depthwise step, so that the
    last 7 frames of a shorter row in a batch differ slightly from the row run alone. What the pads hold never counts.
    """

    def __init__(self, width: int, kernel_size: int) -> None:
        super().__init__()
        self.pointwise_conv1 = nn.Conv1d(width, 2 * width, 1)
        self.depthwise_conv = nn.Conv1d(width, width, kernel_size, padding=kernel_size // 2, groups=width)
        self.norm = nn.LayerNorm(width)
        self.pointwise_conv2 = nn.Conv1d(width, width, 1)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x [B,T,W], mask [B,T] -> [B,T,W]."""
        hidden = ~mask[:, None]  # [B, 1, T]
        y = x.transpose(1, 2).masked_fill(hidden, 0.0)  # [B, W, T]
        y = self.depthwise_conv(functional.glu(self.pointwise_conv1(y), dim=1))
        y = functional.silu(self.norm(y.transpose(1, 2))).transpose(1, 2)
        out: Tensor = self.pointwise_conv2(y).masked_fill(hidden, 0.0).transpose(1, 2)
        return out


class FeedForward(nn.Module):
    """Linear, SiLU, linear."""

    def __init__(self, width: int, units: int) -> None:
        super().__init__()
        self.w_1 = nn.Linear(width, units)
        self.w_2 = nn.Linear(units, width)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.w_2(functional.silu(self.w_1(x)))
        return y


class ConformerBlock(nn.Module):
    """Attention, convolution, feed-forward, each pre-normed and residual; a norm at the end. No macaron half."""

    def __init__(self, config: ConformerConfig) -> None:
        super().__init__()
        width = config.output_size
        self.self_attn = PositionAttention(width, config.attention_heads)
        self.conv_module = ConvolutionModule(width, config.kernel_size)
        self.feed_forward = FeedForward(width, config.linear_units)
        self.norm_mha = nn.LayerNorm(width)
        self.norm_conv = nn.LayerNorm(width)
        self.norm_ff = nn.LayerNorm(width)
        self.norm_final = nn.LayerNorm(width)

    def forward(self, x: Tensor, positions: Tensor, mask: Tensor) -> Tensor:
        x = x + self.self_attn(self.norm_mha(x), positions, mask)
        x = x + self.conv_module(self.norm_conv(x), mask)
        x = x + self.feed_forward(self.norm_ff(x))
        y: Tensor = self.norm_final(x)
        return y


class ConformerEncoder(nn.Module):
    """[B,T,D] features -> [B,T',W], T' = (T-1)//2 (spec 3.1a). Keys equal the public ones."""

    def __init__(self, config: ConformerConfig) -> None:
        super().__init__()
        self.config = config
        self.embed = Subsample(config)
        self.encoders = nn.ModuleList(ConformerBlock(config) for _ in range(config.num_blocks))
        self.after_norm = nn.LayerNorm(config.output_size)

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encode.

        x [B,T,D]; lengths [B], true frame counts (larger than T means no frame is masked).
        Returns y [B,T',W] and mask [B,T'] bool, true where valid.
        Raises ValueError if T is under 3 frames or T' over the rows of the position table.
        """
        num_frames = x.shape[1]
        if num_frames < 3:
            raise ValueError(f"{num_frames} frames: the encoder needs at least 3")
        y = self.embed(x)
        if y.shape[1] > self.config.position_rows:
            raise ValueError(f"{num_frames} frames are more than the position table of the encoder holds")
        positions = self.embed.pos_enc.pe[:, : y.shape[1]].to(y.dtype)  # [1, T', W]
        mask = torch.arange(num_frames, device=x.device) < lengths[:, None]  # [B, T]
        mask = mask[:, 2::2]  # the last of the three frames under each stride-2 window
        for block in self.encoders:
            y = block(y, positions, mask)
        return self.after_norm(y), mask
