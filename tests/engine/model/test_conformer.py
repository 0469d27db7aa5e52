"""The conformer encoder: golden numbers, and each of its traps by name."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from oncue_engine.model.conformer import (
    ConformerConfig,
    ConformerEncoder,
    ConvolutionModule,
    PositionAttention,
    Subsample,
    sinusoid_table,
)
from oncue_engine.parity.golden_file import read_golden
from oncue_engine.parity.t2s import SETS

GOLDEN = Path(__file__).parents[2] / "golden"
SMALL = ConformerConfig(
    input_width=20, output_size=16, linear_units=24, attention_heads=2, num_blocks=2, position_rows=64
)


@pytest.fixture
def encoder() -> ConformerEncoder:
    torch.manual_seed(0)
    return ConformerEncoder(SMALL).eval()


def relative_error(got: Tensor, want: Tensor) -> float:
    return float((got - want).abs().max() / want.abs().max())


@pytest.mark.parametrize("name", ["gpt_conditioning_spk", "gpt_conditioning_emo"])
def test_golden_encoder(name: str) -> None:
    golden = read_golden(GOLDEN / f"{name}.safetensors")
    got = SETS[name](golden)
    assert relative_error(got["encoder"], golden.outputs["encoder"]) < 1e-5


def test_mask_of_golden_encoder_covers_every_frame() -> None:
    golden = read_golden(GOLDEN / "gpt_conditioning_spk.safetensors")
    assert torch.equal(SETS[golden.set](golden)["encoder_mask"], golden.outputs["encoder_mask"])


@torch.no_grad()
def test_flatten_order_is_channel_major() -> None:
    module = Subsample(SMALL)
    bands = (SMALL.input_width - 1) // 2
    x = torch.randn(1, 9, SMALL.input_width)
    grid = module.conv(x[:, None])  # [1, W, T', bands]
    channel, band = 3, 5
    module.out[0].weight.zero_()
    module.out[0].bias.zero_()
    module.out[0].weight[0, channel * bands + band] = 1.0
    torch.testing.assert_close(module(x)[0, :, 0], grid[0, channel, :, band] * math.sqrt(SMALL.output_size))


@torch.no_grad()
def test_sqrt_scaling_and_positions_not_added() -> None:
    module = Subsample(SMALL)
    x = torch.randn(2, 7, SMALL.input_width)
    flat = module.conv(x[:, None]).permute(0, 2, 1, 3).reshape(2, 3, -1)
    want = functional.linear(flat, module.out[0].weight, module.out[0].bias) * 4.0
    torch.testing.assert_close(module(x), want)


@torch.no_grad()
def test_attention_has_no_relative_shift() -> None:
    torch.manual_seed(1)
    width, heads, length = 8, 2, 5
    attention = PositionAttention(width, heads)
    x, positions = torch.randn(1, length, width), torch.randn(1, length, width)
    got = attention(x, positions, torch.ones(1, length, dtype=torch.bool))
    q, k, v = attention.linear_q(x[0]), attention.linear_k(x[0]), attention.linear_v(x[0])
    p = attention.linear_pos(positions[0])
    out = torch.zeros(length, width)
    for head in range(heads):
        part = slice(head * 4, head * 4 + 4)
        for i in range(length):
            scores = [
                (q[i, part] + attention.pos_bias_u[head]) @ k[j, part]
                + (q[i, part] + attention.pos_bias_v[head]) @ p[j, part]  # row j for key j, whatever i
                for j in range(length)
            ]
            out[i, part] = (torch.stack(scores) / 2.0).softmax(0) @ v[:, part]
    torch.testing.assert_close(got[0], attention.linear_out(out), rtol=1e-5, atol=1e-6)


@torch.no_grad()
def test_layer_norm_inside_convolution_module() -> None:
    torch.manual_seed(2)
    module = ConvolutionModule(6, 15)
    torch.nn.init.normal_(module.norm.weight)
    x = torch.randn(1, 20, 6)
    value, gate = module.pointwise_conv1(x.transpose(1, 2)).chunk(2, dim=1)
    y = module.depthwise_conv(value * gate.sigmoid())
    mean, variance = y.mean(1, keepdim=True), y.var(1, unbiased=False, keepdim=True)  # over channels, frame by frame
    y = (y - mean) / (variance + 1e-5).sqrt() * module.norm.weight[:, None] + module.norm.bias[:, None]
    want = module.pointwise_conv2(y * y.sigmoid()).transpose(1, 2)
    torch.testing.assert_close(module(x, torch.ones(1, 20, dtype=torch.bool)), want)


@torch.no_grad()
def test_true_lengths_hide_what_the_pads_hold(encoder: ConformerEncoder) -> None:
    x, lengths = torch.randn(2, 33, 20), torch.tensor([33, 22])
    other = x.clone()
    other[1, 22:] = 50.0
    y, mask = encoder(x, lengths)
    assert mask.sum(1).tolist() == [16, 10]
    assert mask[1, :10].all()
    torch.testing.assert_close(encoder(other, lengths)[0][1, :10], y[1, :10], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_true_lengths_in_a_batch_equal_single_runs(encoder: ConformerEncoder) -> None:
    for block in encoder.encoders:
        block.conv_module.pointwise_conv1.bias.zero_()  # pads reach the frames before them by this bias, and only so
    long, short = torch.randn(1, 33, 20), torch.randn(1, 22, 20)
    padded = torch.cat((short, torch.full((1, 11, 20), 50.0)), dim=1)
    y, _ = encoder(torch.cat((long, padded)), torch.tensor([33, 22]))
    torch.testing.assert_close(y[1, :10], encoder(short, torch.tensor([22]))[0][0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(y[:1], encoder(long, torch.tensor([33]))[0], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_length_above_frames_masks_nothing(encoder: ConformerEncoder) -> None:
    x = torch.randn(1, 21, 20)
    y, mask = encoder(x, torch.tensor([1024]))
    assert mask.all()
    assert torch.equal(y, encoder(x, torch.tensor([21]))[0])


@torch.no_grad()
def test_position_table_comes_from_the_checkpoint(encoder: ConformerEncoder) -> None:
    x, lengths = torch.randn(1, 21, 20), torch.tensor([21])
    before = encoder(x, lengths)[0]
    state = encoder.state_dict()
    assert state["embed.pos_enc.pe"].shape == (1, 64, 16)
    state["embed.pos_enc.pe"] = state["embed.pos_enc.pe"].roll(1, dims=1)
    encoder.load_state_dict(state)
    assert relative_error(encoder(x, lengths)[0], before) > 1e-3


def test_new_position_table_is_sine_even_cosine_odd() -> None:
    table = sinusoid_table(10, 8)
    for position in (0, 1, 9):
        for pair in range(4):
            angle = position / 10000 ** (2 * pair / 8)
            assert table[position, 2 * pair] == pytest.approx(math.sin(angle), abs=1e-6)
            assert table[position, 2 * pair + 1] == pytest.approx(math.cos(angle), abs=1e-6)


def test_golden_position_table_is_the_closed_form() -> None:
    golden = read_golden(GOLDEN / "gpt_conditioning_spk.safetensors")
    stored = golden.weights["conditioning_encoder.embed.pos_enc.pe"][0]
    torch.testing.assert_close(sinusoid_table(*stored.shape), stored, rtol=0, atol=2e-4)


def test_row_without_valid_frames_keeps_numbers_and_gradients_finite(encoder: ConformerEncoder) -> None:
    x = torch.randn(2, 9, 20, requires_grad=True)
    y, mask = encoder(x, torch.tensor([9, 1]))
    assert mask.tolist() == [[True] * 4, [False] * 4]
    y.square().sum().backward()
    assert y.isfinite().all()
    assert x.grad is not None and x.grad.isfinite().all()


def test_refuses_too_few_and_too_many_frames(encoder: ConformerEncoder) -> None:
    with pytest.raises(ValueError, match="at least 3"):
        encoder(torch.zeros(1, 2, 20), torch.tensor([2]))
    with pytest.raises(ValueError, match="position table"):
        encoder(torch.zeros(1, 140, 20), torch.tensor([140]))
    with pytest.raises(ValueError, match="multiple"):
        ConformerConfig(input_width=8, output_size=10, linear_units=8, attention_heads=3, num_blocks=1)
