"""Products with laid out weights against plain ones: whole blocks of rows and ends of any length."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from oncue_engine.kernels.library import load_tiles
from oncue_engine.kernels.products import Product

sizes = pytest.mark.parametrize(
    ("rows", "inner", "columns"),
    [(1, 32, 32), (15, 96, 64), (17, 160, 480), (32, 64, 32), (51, 40, 48), (300, 800, 320)],
)
precisions = pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])


def _random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _near(got: Tensor, want: Tensor, precision: torch.dtype) -> None:
    assert got.dtype is precision and got.is_contiguous()
    tolerance = 2**-7 if precision is torch.bfloat16 else 1e-4
    torch.testing.assert_close(got.float(), want, rtol=tolerance, atol=tolerance)


@precisions
@sizes
@pytest.mark.parametrize("with_bias", [False, True])
def test_a_product_is_the_linear_layer(
    rows: int, inner: int, columns: int, with_bias: bool, precision: torch.dtype
) -> None:
    weight = (_random(columns, inner) * inner**-0.5).to(precision)
    bias = _random(columns, seed=1).to(precision) if with_bias else None
    x = _random(rows, 3 * inner, seed=2).to(precision)[:, inner : 2 * inner]
    want = functional.linear(x.float(), weight.float(), None if bias is None else bias.float())
    _near(Product.of(weight, bias, precision)(x), want, precision)


@precisions
@sizes
def test_a_product_of_gates_is_silu_of_one_half_times_the_other(
    rows: int, inner: int, columns: int, precision: torch.dtype
) -> None:
    weight = (_random(columns, inner) * inner**-0.5).to(precision)
    x = _random(rows, inner, seed=2).to(precision)
    first, second = functional.linear(x.float(), weight.float()).chunk(2, dim=-1)
    product = Product.of(weight, None, precision, gates=True)
    # Without tiles the sums are rounded before the gate, and what it gives once more.
    tolerance = 2**-6 if precision is torch.bfloat16 else 1e-4
    got = product(x)
    assert got.dtype is precision
    torch.testing.assert_close(got.float(), functional.silu(first) * second, rtol=tolerance, atol=tolerance)


@precisions
def test_rows_may_overlap(precision: torch.dtype) -> None:
    frames, weight = _random(40, 32).to(precision), _random(64, 96, seed=1).to(precision) * 0.1
    view = frames.as_strided((38, 96), (32, 1))
    _near(Product.of(weight, None, precision)(view), view.float() @ weight.float().t(), precision)


@pytest.mark.parametrize("gates", [False, True])
def test_what_is_no_number_stays_in_its_row(gates: bool) -> None:
    x = _random(70, 96).bfloat16()
    x[33, 0] = float("nan")
    out = Product.of(_random(64, 96, seed=1), None, torch.bfloat16, gates=gates)(x)
    assert out[33].isnan().all() and out[:33].isfinite().all() and out[34:].isfinite().all()


@pytest.mark.skipif(load_tiles() is None, reason="no matrix tiles here")
def test_weights_that_fit_are_laid_out_and_rows_that_do_not_are_refused() -> None:
    small, large, odd = (
        Product.of(torch.zeros(*shape), None, torch.bfloat16) for shape in ((64, 96), (1024, 512), (80, 96))
    )
    assert small.tiles is not None and large.tiles is None and odd.tiles is None
    with pytest.raises(ValueError, match="product over 96"):
        small(torch.zeros(4, 64).bfloat16())
