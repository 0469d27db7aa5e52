"""Convolutions over time on signals with margins (csrc/convolution.c, csrc/convolution_amx.c).

Products are float32, or bf16 with float32 sums where the processor has tiles for it. The form in PyTorch is
`torch.nn.functional.conv1d`; these run only where kernels are loaded.
"""

from __future__ import annotations

import ctypes
import functools
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from .library import address, load

__all__ = ["Margined", "PackedConvolution", "has_bf16_tiles", "interleave_into"]

_BLOCK_SAMPLES = 64
"""A kernel reads whole blocks of samples."""
_MOST_PAIRS = 16
_TILE_ROWS = 32


@functools.cache
def has_bf16_tiles() -> bool:
    """Whether products in bf16 run on a matrix unit here. Asks the system for its use."""
    library = load()
    return library is not None and bool(library.oncue_has_bf16_tiles())


def _pair_blocks(channels: int) -> tuple[int, int]:
    """(blocks, pairs of channels in each) that hold `channels`: as few blocks as fit tiles, evenly filled."""
    pairs = -(-channels // 2)
    blocks = -(-pairs // _MOST_PAIRS)
    return blocks, -(-pairs // blocks)


@dataclass(frozen=True, slots=True, eq=False)
class Margined:
    """A signal [channels, length] with zeros around it, so that a convolution knows no ends."""

    values: Tensor
    """float32 [channels, stride]; or bf16 [pairs, stride, 2]: two channels side by side, zeros where there is none."""
    channels: int
    length: int
    left: int
    """Zeros before the first sample; at least as many follow the last."""

    @classmethod
    def empty(cls, channels: int, length: int, margin: int, dtype: torch.dtype) -> Margined:
        """Zeros around what is still to be filled in. `dtype` float32 or bfloat16: that of the products."""
        stride = 2 * margin + -(-length // _BLOCK_SAMPLES) * _BLOCK_SAMPLES
        if dtype is torch.float32:
            values = torch.empty(channels, stride)
        else:
            blocks, pairs = _pair_blocks(channels)
            values = torch.empty(blocks * pairs, stride, 2, dtype=torch.bfloat16)
            values[channels // 2 :] = 0
        values[:, :margin] = 0
        values[:, margin + length :] = 0
        return cls(values, channels, length, margin)

    @property
    def stride(self) -> int:
        """Samples from one row to the next."""
        return self.values.shape[1]

    def from_sample(self, first: int) -> ctypes.c_void_p:
        """Where sample `first` of the first row lies; negative ones are the zeros before the signal."""
        if first < -self.left:
            raise ValueError(f"{-first} samples are asked before a signal with {self.left}")
        begin = address(self.values, self.values.dtype).value
        assert begin is not None
        return ctypes.c_void_p(begin + 4 * (self.left + first))  # a float32, or a pair of bf16

    def check(self, channels: int, length: int) -> None:
        """ValueError where a signal [channels, length] is not what this holds."""
        if (channels, length) != (self.channels, self.length):
            raise ValueError(f"[{channels}, {length}] does not fill [{self.channels}, {self.length}]")

    def fill(self, x: Tensor) -> None:
        """Take x [channels, length] float32, rounded where this is bf16."""
        self.check(*x.shape)
        if self.values.dtype is torch.float32:
            self.values[:, self.left : self.left + self.length].copy_(x)
            return
        library = load()
        assert library is not None
        library.oncue_pair_channels(
            address(x, torch.float32),
            self.from_sample(0),
            *(ctypes.c_int64(size) for size in (self.channels, self.length, self.stride)),
        )


class _Epilogue(ctypes.Structure):
    """`epilogue` of csrc/convolution.h."""

    _fields_ = (
        ("bias", ctypes.c_void_p),
        ("residual", ctypes.c_void_p),
        ("total", ctypes.c_void_p),
        ("out", ctypes.c_void_p),
        ("scale", ctypes.c_float),
    )


@dataclass(frozen=True, slots=True, eq=False)
class PackedConvolution:
    """Weights in the order in which a kernel reads them."""

    weight: Tensor
    bias: Tensor | None
    rows: int
    channels: int
    taps: int
    dilation: int
    before: int
    """The first tap meets the sample this many before that of the output."""

    @classmethod
    def pack(
        cls, weight: Tensor, bias: Tensor | None, dilation: int, before: int, dtype: torch.dtype
    ) -> PackedConvolution:
        """weight [rows, channels, taps], bias [rows]; `dtype` float32 or bfloat16: that of the products.

        ValueError for bfloat16 where there are no tiles for it.
        """
        library = load()
        assert library is not None
        if dtype is not torch.float32 and not has_bf16_tiles():
            raise ValueError(f"no tiles for products in {dtype} here")
        rows, channels, taps = weight.shape
        weight = weight.detach().float()
        if dtype is torch.float32:
            height = library.oncue_convolution_rows()
            blocks = -(-rows // height)
            packed = functional.pad(weight, (0, 0, 0, 0, 0, blocks * height - rows))
            packed = packed.view(blocks, height, channels, taps).permute(0, 2, 3, 1).contiguous()
        else:
            blocks, pairs = _pair_blocks(channels)
            heights = -(-rows // _TILE_ROWS)
            padding = (0, 0, 0, 2 * blocks * pairs - channels, 0, heights * _TILE_ROWS - rows)
            packed = functional.pad(weight, padding).view(heights, _TILE_ROWS, blocks, pairs, 2, taps)
            packed = packed.permute(0, 2, 5, 1, 3, 4).bfloat16().contiguous()
        bias = None if bias is None else bias.detach().float().clone()
        return cls(packed, bias, rows, channels, taps, dilation, before)

    @property
    def dtype(self) -> torch.dtype:
        """That of the products, and so of the signal."""
        return self.weight.dtype

    @property
    def margin(self) -> int:
        """Zeros that the signal needs on each side."""
        return max(self.before, (self.taps - 1) * self.dilation - self.before)

    def into(
        self,
        x: Margined,
        out: Tensor,
        residual: Tensor | None = None,
        total: Tensor | None = None,
        scale: float = 1.0,
    ) -> None:
        """out = scale * (convolution of x + bias + residual) + total, all [rows, length] float32.

        `out` may be `residual` or `total`. ValueError where shapes or margins do not fit.
        """
        library = load()
        assert library is not None
        x.check(self.channels, x.length)
        shape = (self.rows, x.length)
        if x.left < self.margin or x.values.dtype is not self.dtype:
            raise ValueError(f"a margin of {self.margin} in {self.dtype} is needed, not {x.left}, {x.values.dtype}")
        given = [tensor for tensor in (residual, total, out) if tensor is not None]
        if any(tuple(tensor.shape) != shape for tensor in given):
            raise ValueError(f"{shape} is needed, not {[tuple(tensor.shape) for tensor in given]}")
        end = _Epilogue(
            *(None if tensor is None else address(tensor, torch.float32) for tensor in (self.bias, residual, total)),
            address(out, torch.float32),
            scale,
        )
        if self.dtype is torch.float32:
            library.oncue_convolution(
                x.from_sample(-self.before),
                ctypes.c_int64(x.stride),
                address(self.weight, torch.float32),
                *(ctypes.c_int64(size) for size in (self.channels, self.taps, self.dilation, *shape)),
                ctypes.byref(end),
            )
            return
        library.oncue_convolution_bf16(
            x.from_sample(-self.before),
            ctypes.c_int64(x.stride),
            address(self.weight, torch.bfloat16),
            *(ctypes.c_int64(size) for size in (*_pair_blocks(self.channels), self.taps, self.dilation, *shape)),
            ctypes.byref(end),
        )


def interleave_into(phases: Tensor, out: Tensor) -> None:
    """phases [rate, C, T] float32 -> out [C, rate*T]: sample t of phase r becomes sample rate*t + r."""
    library = load()
    assert library is not None
    rate, channels, length = phases.shape
    if tuple(out.shape) != (channels, rate * length):
        raise ValueError(f"{tuple(phases.shape)} does not interleave to {tuple(out.shape)}")
    library.oncue_interleave(
        address(phases, torch.float32),
        address(out, torch.float32),
        *(ctypes.c_int64(size) for size in (rate, channels, length)),
    )
