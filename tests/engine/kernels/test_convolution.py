"""Convolutions on signals with margins against PyTorch's."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from oncue_engine.kernels.convolution import Margined, PackedConvolution, has_bf16_tiles, interleave_into
from oncue_engine.kernels.library import load

pytestmark = pytest.mark.skipif(load() is None, reason="no build for this machine")

tiles = pytest.mark.skipif(not has_bf16_tiles(), reason="no bf16 tiles on this machine")
DTYPES = [torch.float32, pytest.param(torch.bfloat16, marks=tiles)]
# rows, channels, taps, dilation, length: less than a block, odd, one more than a block, several of everything
SIZES = [
    (1, 1, 1, 1, 1),
    (1, 12, 7, 1, 65),
    (5, 3, 3, 2, 63),
    (12, 12, 7, 3, 130),
    (33, 34, 3, 1, 64),
    (70, 66, 11, 5, 97),
]


def _random(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def _into_margin(x: Tensor, margin: int, dtype: torch.dtype) -> Margined:
    signal = Margined.empty(*x.shape, margin, dtype)
    signal.fill(x)
    return signal


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("rows", "channels", "taps", "dilation", "length"), SIZES)
def test_it_is_the_convolution(
    rows: int, channels: int, taps: int, dilation: int, length: int, dtype: torch.dtype
) -> None:
    """In bf16 the operands are rounded, and nothing else: sums of rounded ones are the same to float32's rounding."""
    weight, bias = _random(rows, channels, taps), _random(rows)
    x, padding = _random(channels, length), dilation * (taps - 1) // 2
    convolution = PackedConvolution.pack(weight, bias, dilation, padding, dtype)
    out = torch.empty(rows, length)
    convolution.into(_into_margin(x, convolution.margin + 2, dtype), out)
    want = functional.conv1d(
        x[None].to(dtype).double(), weight.to(dtype).double(), bias.double(), padding=padding, dilation=dilation
    )[0]
    torch.testing.assert_close(out.double(), want, rtol=1e-5, atol=1e-5 * math.sqrt(channels * taps))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("with_residual", [False, True])
@pytest.mark.parametrize("with_total", [False, True])
@pytest.mark.parametrize("in_place", [False, True])
def test_what_follows_the_sum(with_residual: bool, with_total: bool, in_place: bool, dtype: torch.dtype) -> None:
    """scale * (sum + residual) + total, also where the result takes the place of one of the two."""
    weight, x = _random(20, 8, 3), _random(8, 100)
    residual = _random(20, 100) if with_residual else None
    total = _random(20, 101)[:, 1:].contiguous() if with_total else None
    convolution = PackedConvolution.pack(weight, None, 1, 1, dtype)
    signal, plain = _into_margin(x, 1, dtype), torch.empty(20, 100)
    convolution.into(signal, plain)
    want = 0.5 * (plain + (0.0 if residual is None else residual)) + (0.0 if total is None else total)
    out = next((place for place in (total, residual) if in_place and place is not None), torch.empty(20, 100))
    convolution.into(signal, out, residual, total, scale=0.5)
    torch.testing.assert_close(out, want, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_no_number_stays_none(dtype: torch.dtype) -> None:
    weight, x = _random(3, 4, 3), _random(4, 50)
    x[2, 20] = math.nan
    convolution = PackedConvolution.pack(weight, None, 1, 1, dtype)
    out = torch.empty(3, 50)
    convolution.into(_into_margin(x, 1, dtype), out)
    assert out[:, 19:22].isnan().all() and out[:, :19].isfinite().all() and out[:, 22:].isfinite().all()


def test_what_does_not_fit_is_refused() -> None:
    convolution = PackedConvolution.pack(_random(2, 3, 5), None, 1, 2, torch.float32)
    x = _random(3, 10)
    with pytest.raises(ValueError, match="margin of 2"):
        convolution.into(_into_margin(x, 1, torch.float32), torch.empty(2, 10))
    with pytest.raises(ValueError, match="bfloat16"):
        convolution.into(_into_margin(x, 2, torch.bfloat16), torch.empty(2, 10))
    with pytest.raises(ValueError, match=r"\(2, 10\) is needed"):
        convolution.into(_into_margin(x, 2, torch.float32), torch.empty(2, 11))
    with pytest.raises(ValueError, match="does not fill"):
        convolution.into(_into_margin(_random(4, 10), 2, torch.float32), torch.empty(2, 10))


@pytest.mark.parametrize("rate", [1, 2, 3, 4, 8])
def test_phases_are_interleaved(rate: int) -> None:
    phases, out = _random(rate, 3, 21), torch.empty(3, 21 * rate)
    interleave_into(phases, out)
    assert torch.equal(out, phases.permute(1, 2, 0).reshape(3, -1))
