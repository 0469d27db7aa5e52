"""The decode step in C: equal to the backbone of the unpacked weights, and the same to the bit in any company."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import get_args

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from oncue_engine.kernels.decode import (
    PackedBackbone,
    PackedLayer,
    Precision,
    StepBuffers,
    heads_fit,
    pack_matrix,
    run_step,
)
from oncue_engine.kernels.library import load

pytestmark = pytest.mark.skipif(load() is None, reason="no kernels on this machine")

_PRECISIONS = get_args(Precision)
_CAPACITY = 24
_SLOTS = 14
_VOCABULARY = 70


class _Net:
    """A small backbone of random weights, and steps over a cache of its own."""

    def __init__(self, precision: Precision, heads: int, head_dim: int, *, half: bool = False) -> None:
        generator = torch.Generator().manual_seed(3)
        width = heads * head_dim

        def numbers(*shape: int) -> Tensor:
            drawn = torch.randn(shape, generator=generator) * (shape[0] ** -0.5 if len(shape) == 2 else 0.2)
            return drawn.half().float() if half else drawn

        def norm() -> tuple[Tensor, Tensor]:
            return 1 + numbers(width), numbers(width)

        def layer() -> PackedLayer:
            sizes = ((width, 3 * width), (width, width), (width, 4 * width), (4 * width, width))
            qkv, out, up, down = (pack_matrix(numbers(*size), numbers(size[1]), precision) for size in sizes)
            return PackedLayer(norm(), qkv, out, norm(), up, down)

        self.norms = norm(), norm()
        head = pack_matrix(numbers(width, _VOCABULARY), numbers(_VOCABULARY), precision)
        self.packed = PackedBackbone([layer(), layer()], *self.norms, head, heads)
        dtype = torch.float32 if precision == "float32" else torch.bfloat16
        self.keys = torch.zeros(2, _SLOTS, heads, _CAPACITY, head_dim, dtype=dtype)
        self.values = torch.zeros_like(self.keys)

    def run(self, x: Tensor, slots: list[int], lengths: list[int], *, is_prefix: bool = False) -> tuple[Tensor, Tensor]:
        buffers = StepBuffers(self.packed, len(x), _CAPACITY, threads=1)
        results = 1 if is_prefix else len(x)
        latent, logits = torch.empty(results, x.shape[1]), torch.empty(results, _VOCABULARY)
        buffers.begin(x, self.keys, self.values, slots, lengths, latent, logits, is_prefix=is_prefix)
        run_step(self.packed, buffers, 0)
        return latent, logits

    def plain(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """rows [S,M] of one sequence -> latents [S,M], logits [S,V] in float64, with the unpacked weights."""
        x, length = rows.double(), len(rows)
        dtype, heads = self.keys.dtype, self.packed.heads
        for layer in self.packed.layers:
            (qkv_w, out_w, up_w, down_w), (qkv_b, out_b, up_b, down_b) = zip(
                *(
                    (m.unpacked().double(), m.bias[: m.width].double())
                    for m in (layer.qkv, layer.out, layer.up, layer.down)
                ),
                strict=True,
            )
            q, k, v = (_normed(x, layer.norm_1) @ qkv_w + qkv_b).view(length, 3, heads, -1).permute(1, 2, 0, 3)
            k, v = k.to(dtype).double(), v.to(dtype).double()
            y = functional.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(0, 1).flatten(1)
            x = x + y @ out_w + out_b
            hidden = functional.gelu(_normed(x, layer.norm_2) @ up_w + up_b, approximate="tanh")
            x = x + hidden @ down_w + down_b
        latents = _normed(_normed(x, self.norms[0]), self.norms[1])
        head = self.packed.head
        return latents, latents @ head.unpacked().double() + head.bias[: head.width].double()


def _normed(x: Tensor, norm: tuple[Tensor, Tensor]) -> Tensor:
    return functional.layer_norm(x, x.shape[-1:], norm[0].double(), norm[1].double(), 1e-5)


def _rows(count: int, width: int, seed: int = 0) -> Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("precision", _PRECISIONS)
def test_weights_come_back_from_their_packed_form(precision: Precision) -> None:
    weight, bias = _rows(32, 70), torch.zeros(70)
    back = pack_matrix(weight, bias, precision).unpacked()
    if precision == "float32":
        assert torch.equal(back, weight)
    elif precision == "bfloat16":
        assert torch.equal(back, weight.bfloat16().float())
    else:
        assert bool(((back - weight).abs() <= weight.abs().amax(0) / 127 * 0.501).all())


def test_float32_costs_two_bytes_where_float16_holds_every_weight() -> None:
    weight, bias = _rows(32, 64), torch.zeros(64)
    exact = weight.half().float()
    assert pack_matrix(exact, bias, "float32").num_bytes == 2 * 32 * 64
    assert torch.equal(pack_matrix(exact, bias, "float32").unpacked(), exact)
    exact[3, 5] = 1e-9
    assert pack_matrix(exact, bias, "float32").num_bytes == 4 * 32 * 64


def test_bf16_needs_an_even_depth() -> None:
    with pytest.raises(ValueError, match="odd"):
        pack_matrix(torch.zeros(3, 4), torch.zeros(4), "bfloat16")


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("precision", _PRECISIONS)
@pytest.mark.parametrize(("heads", "head_dim"), [(2, 64), (3, 32), (1, 128)])
def test_steps_equal_the_plain_backbone(precision: Precision, heads: int, head_dim: int, half: bool) -> None:
    net = _Net(precision, heads, head_dim, half=half)
    rows = _rows(17, heads * head_dim)
    got = [net.run(row[None], [2], [place]) for place, row in enumerate(rows)]
    wanted_latents, wanted_logits = net.plain(rows)
    # Keys and values in bf16 may round to the neighbour of what the plain form rounds to.
    tolerance = 1e-5 if precision == "float32" else 2e-2
    torch.testing.assert_close(torch.cat([x for x, _ in got]).double(), wanted_latents, rtol=0, atol=tolerance)
    torch.testing.assert_close(torch.cat([x for _, x in got]).double(), wanted_logits, rtol=0, atol=tolerance)


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("precision", _PRECISIONS)
@pytest.mark.parametrize("count", [2, 3, 4, 5, 8, 11, 12, 13])
def test_a_row_is_the_same_to_the_bit_alone_and_in_a_crowd(precision: Precision, count: int, half: bool) -> None:
    crowd, alone = _Net(precision, 2, 64, half=half), _Net(precision, 2, 64, half=half)
    slots = list(range(count))[::-1]
    for place in range(4):
        x = _rows(count, 128, seed=place)
        latents, logits = crowd.run(x, slots, [place] * count)
        for row in range(count):
            latent, row_logits = alone.run(x[row : row + 1], [slots[row]], [place])
            assert torch.equal(latent[0], latents[row])
            assert torch.equal(row_logits[0], logits[row])
    assert torch.equal(crowd.keys, alone.keys)


@pytest.mark.parametrize("precision", _PRECISIONS)
@pytest.mark.parametrize("length", [1, 7, 19])
def test_a_prefix_is_its_steps_to_the_bit(precision: Precision, length: int) -> None:
    at_once, stepwise = _Net(precision, 2, 64), _Net(precision, 2, 64)
    rows = _rows(length, 128)
    latent, logits = at_once.run(rows, [1] * length, list(range(length)), is_prefix=True)
    for place, row in enumerate(rows):
        wanted_latent, wanted_logits = stepwise.run(row[None], [1], [place])
    assert torch.equal(latent, wanted_latent)
    assert torch.equal(logits, wanted_logits)
    assert torch.equal(at_once.keys, stepwise.keys) and torch.equal(at_once.values, stepwise.values)


def test_threads_share_a_step_and_change_nothing() -> None:
    net, x, places = _Net("float32", 2, 64), _rows(5, 128), [0] * 5
    wanted = net.run(x, list(range(5)), places)
    buffers = StepBuffers(net.packed, 5, _CAPACITY, threads=3)
    with ThreadPoolExecutor(3) as pool:
        for _ in range(50):
            got = torch.empty(5, 128), torch.empty(5, _VOCABULARY)
            buffers.begin(x, net.keys, net.values, range(5), places, *got)
            list(pool.map(lambda thread: run_step(net.packed, buffers, thread), range(3)))
            assert torch.equal(got[0], wanted[0]) and torch.equal(got[1], wanted[1])


@pytest.mark.parametrize("precision", _PRECISIONS)
def test_what_is_no_number_stays_one_and_in_its_row(precision: Precision) -> None:
    net = _Net(precision, 2, 64)
    x = _rows(6, 128)
    _, wanted = net.run(x, list(range(6)), [0] * 6)
    x[2, 7] = float("nan")
    x[4, 0] = float("inf")
    latents, logits = net.run(x, list(range(6)), [0] * 6)
    assert latents[[2, 4]].isnan().all() and logits[[2, 4]].isnan().all()
    fine = [0, 1, 3, 5]
    assert torch.equal(logits[fine], wanted[fine])


def test_slots_that_are_not_there_are_refused() -> None:
    net = _Net("float32", 2, 64)
    for slots, lengths in (([_SLOTS], [0]), ([-1], [0]), ([0], [-1])):
        with pytest.raises(ValueError, match="slots"):
            net.run(_rows(1, 128), slots, lengths)


def test_widths_of_heads_that_the_kernel_knows() -> None:
    assert [width for width in (8, 16, 24, 64, 128, 144) if heads_fit(width)] == [16, 64, 128]
