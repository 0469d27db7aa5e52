"""The anti-aliased activation of the vocoder (csrc/snake.c). Its form in PyTorch: `model/bigvgan.py`."""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from .convolution import Margined
from .library import address, load

__all__ = ["snake", "snake_into"]


def snake(x: Tensor, taps: Tensor, rate: Tensor, inverse: Tensor) -> Tensor | None:
    """[B, C, T] float32 on the CPU -> the same; None where no kernel can do it.

    `taps` [24]: up even, up odd, down even, down odd; `rate` and `inverse` [C]: a and 1/b of x + sin(a x)^2 / b.
    """
    library = load()
    if library is None or x.dtype is not torch.float32 or x.device.type != "cpu":
        return None
    x = x.contiguous()
    batch, channels, length = x.shape
    y = torch.empty_like(x)
    _float32(library, x, taps, rate, inverse, address(y, torch.float32), (batch * channels, channels, length, length))
    return y


def snake_into(x: Tensor, taps: Tensor, rate: Tensor, inverse: Tensor, out: Margined) -> None:
    """The activation of x [C, T] float32, as what a convolution reads. Only where kernels are loaded."""
    library = load()
    assert library is not None
    channels, length = x.shape
    out.check(channels, length)
    if out.values.dtype is torch.float32:
        _float32(library, x, taps, rate, inverse, out.from_sample(0), (channels, channels, length, out.stride))
        return
    library.oncue_snake_bf16(
        *(address(tensor, torch.float32) for tensor in (x, taps, rate, inverse)),
        out.from_sample(0),
        *(ctypes.c_int64(size) for size in (channels, length, out.stride)),
    )


def _float32(
    library: ctypes.CDLL,
    x: Tensor,
    taps: Tensor,
    rate: Tensor,
    inverse: Tensor,
    to: ctypes.c_void_p,
    sizes: tuple[int, int, int, int],
) -> None:
    library.oncue_snake(
        *(address(tensor, torch.float32) for tensor in (x, taps, rate, inverse)),
        to,
        *(ctypes.c_int64(size) for size in sizes),
    )
