"""The activation's kernel against the same in PyTorch."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from oncue_engine.kernels.convolution import Margined
from oncue_engine.kernels.library import load
from oncue_engine.kernels.snake import snake, snake_into
from oncue_engine.model.bigvgan import AntiAliasedSnake

pytestmark = pytest.mark.skipif(load() is None, reason="no build for this machine")


def _layer(channels: int, seed: int = 0) -> AntiAliasedSnake:
    generator = torch.Generator().manual_seed(seed)
    layer = AntiAliasedSnake(channels, logscale=True).requires_grad_(False)
    layer.act.alpha.copy_(0.5 * torch.randn(channels, generator=generator))
    layer.act.beta.copy_(0.5 * torch.randn(channels, generator=generator))
    return layer


def _in_pytorch(layer: AntiAliasedSnake, x: Tensor) -> Tensor:
    with torch.enable_grad():  # learning takes the form in PyTorch
        return layer(x).detach()


def _in_kernel(layer: AntiAliasedSnake, x: Tensor) -> Tensor:
    rate, inverse = layer.act.rates()
    y = snake(x, layer.taps, rate.flatten(), inverse.flatten())
    assert y is not None
    return y


@pytest.mark.parametrize("length", [1, 2, 3, 5, 6, 15, 16, 17, 505, 509, 510, 511, 512, 513, 515, 518, 1024, 1537])
def test_every_length_and_both_ends(length: int) -> None:
    """Around the block of 512 samples above all: what a block needs of the next one crosses there."""
    layer = _layer(5, length)
    x = 2 * torch.randn(2, 5, length, generator=torch.Generator().manual_seed(length))
    torch.testing.assert_close(_in_kernel(layer, x), _in_pytorch(layer, x), rtol=1e-6, atol=4e-6)


def test_a_view_with_strides_is_read_as_it_reads() -> None:
    layer = _layer(4)
    x = torch.randn(2, 40, 4).transpose(1, 2)
    torch.testing.assert_close(_in_kernel(layer, x), _in_pytorch(layer, x), rtol=1e-6, atol=4e-6)


def test_the_layer_takes_the_kernel_where_nothing_learns() -> None:
    layer, x = _layer(3), torch.randn(1, 3, 700)
    with torch.no_grad():
        assert torch.equal(layer(x), _in_kernel(layer, x))
    x.requires_grad_()
    layer(x).sum().backward()
    assert x.grad is not None


def test_weights_loaded_anew_count_at_once() -> None:
    layer, other, x = _layer(3, 1), _layer(3, 2), torch.randn(1, 3, 50)
    with torch.no_grad():
        before = layer(x)
        layer.load_state_dict(other.state_dict())
        assert torch.equal(layer(x), other(x)) and not torch.equal(layer(x), before)


def test_a_sine_of_thousands_is_still_a_sine() -> None:
    """A level row goes through both filters unchanged: what is left is x + sin(x)^2, at arguments far from zero."""
    layer = AntiAliasedSnake(1, logscale=True).requires_grad_(False)
    levels = torch.linspace(-4000.0, 4000.0, 8001)[:, None, None]
    x = levels.expand(-1, 1, 16).contiguous()
    # float32 filters shift such a level by some 1e-4 itself: the sine is taken of the level as the filters leave it.
    flat = AntiAliasedSnake(1, logscale=True).requires_grad_(False)
    flat.act.beta.fill_(60.0)  # 1/b is nothing: the filters alone
    middle = _in_kernel(flat, x)[:, 0, 8].double()
    assert (middle - levels[:, 0, 0]).abs().max() < 2e-3
    got = _in_kernel(layer, x)[:, 0, 8].double() - middle
    want = torch.sin(middle) ** 2
    assert (got - want).abs().max() < 3e-3  # of float32 near 4000: 2.4e-4 a step, through two filters
    near = levels[:, 0, 0].abs() < 4.0
    assert (got - want)[near].abs().max() < 2e-6


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_stays_none_and_in_its_row(bad: float) -> None:
    layer, x = _layer(3), torch.randn(1, 3, 600)
    clean = _in_kernel(layer, x)
    x[0, 1, 300] = bad
    dirty, known = _in_kernel(layer, x), _in_pytorch(layer, x)
    assert torch.equal(dirty.isfinite(), known.isfinite()) and not dirty[0, 1, 300].isfinite()
    assert torch.equal(dirty[0, [0, 2]], clean[0, [0, 2]])


def test_absurd_arguments_give_numbers_of_their_size() -> None:
    layer, x = _layer(1), torch.full((1, 1, 32), 1e30)
    assert _in_kernel(layer, x).isfinite().all()


@pytest.mark.parametrize("channels", [1, 2, 5, 24, 40])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_into_a_margin_zeros_stand_around_the_same_numbers(channels: int, dtype: torch.dtype) -> None:
    layer, x, margin = _layer(channels), torch.randn(channels, 530), 9
    rate, inverse = layer.act.rates()
    out = Margined.empty(channels, 530, margin, dtype)
    snake_into(x, layer.taps, rate.flatten(), inverse.flatten(), out)
    want = _in_kernel(layer, x[None])[0].to(dtype)
    rows = out.values if dtype is torch.float32 else out.values.transpose(1, 2).flatten(0, 1)  # [channels, stride]
    assert torch.equal(rows[:channels, margin : margin + 530], want)
    assert not rows[:, :margin].any() and not rows[:, margin + 530 :].any() and not rows[channels:].any()


def test_a_signal_of_another_size_is_refused() -> None:
    layer = _layer(4)
    rate, inverse = layer.act.rates()
    with pytest.raises(ValueError, match=r"\[4, 50\]"):
        snake_into(
            torch.zeros(4, 50), layer.taps, rate.flatten(), inverse.flatten(), Margined.empty(4, 51, 3, torch.float32)
        )
