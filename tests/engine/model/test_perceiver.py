"""The perceiver resampler: golden numbers, and each of its traps by name."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from oncue_engine.model.perceiver import GEGLU, PerceiverConfig, PerceiverResampler, RootMeanSquareNorm, geglu_width
from oncue_engine.parity.golden_file import read_golden
from oncue_engine.parity.t2s import SETS

GOLDEN = Path(__file__).parents[2] / "golden"
SMALL = PerceiverConfig(width=24, context_width=10, num_latents=5, heads=2)


@pytest.fixture
def resampler() -> PerceiverResampler:
    torch.manual_seed(0)
    module = PerceiverResampler(SMALL).eval()
    torch.nn.init.normal_(module.latents)
    return module


@pytest.mark.parametrize(
    ("name", "outputs"),
    [
        ("gpt_conditioning_spk", ["cond_latents", "cond_latents_batch2_masked"]),
        ("gpt_conditioning_emo", ["perceiver"]),
    ],
)
def test_golden_latents(name: str, outputs: list[str]) -> None:
    golden = read_golden(GOLDEN / f"{name}.safetensors")
    got = SETS[name](golden)
    for output in outputs:
        want = golden.outputs[output]
        assert float((got[output] - want).abs().max() / want.abs().max()) < 1e-5, output


@torch.no_grad()
def test_latents_stand_first_among_keys_and_values(resampler: PerceiverResampler) -> None:
    attention = resampler.layers[0][0]
    latents, context = torch.randn(1, 5, 24), torch.randn(1, 3, 24)
    mask = torch.tensor([[True] * 5 + [True, False, True]])  # hides the second context frame: the latents come first
    got = attention(latents, context, mask)
    keys, values = attention.to_kv(torch.cat((latents, context[:, [0, 2]]), dim=1)[0]).chunk(2, dim=-1)
    queries = attention.to_q(latents[0])
    heads = [
        (queries[:, part] @ keys[:, part].T / 8.0).softmax(-1) @ values[:, part]  # head width 64: scale 1/8
        for part in (slice(0, 64), slice(64, 128))
    ]
    torch.testing.assert_close(got[0], attention.to_out(torch.cat(heads, dim=-1)), rtol=1e-5, atol=1e-6)


@torch.no_grad()
def test_masked_context_equals_cut_context(resampler: PerceiverResampler) -> None:
    context = torch.randn(1, 9, 10)
    mask = torch.arange(9)[None] < 6
    whole = torch.ones(1, 6, dtype=torch.bool)
    torch.testing.assert_close(resampler(context, mask), resampler(context[:, :6], whole), rtol=1e-5, atol=1e-6)


def test_geglu_value_is_the_first_half_and_gate_the_exact_gelu() -> None:
    x = torch.tensor([[2.0, -3.0, 1.0, 3.0]])
    gate = [0.5 * v * (1 + math.erf(v / math.sqrt(2))) for v in (1.0, 3.0)]
    torch.testing.assert_close(GEGLU()(x), torch.tensor([[2.0 * gate[0], -3.0 * gate[1]]]), rtol=1e-6, atol=1e-6)


@torch.no_grad()
def test_norm_is_by_length_times_root_of_width() -> None:
    norm = RootMeanSquareNorm(4)
    norm.gamma.copy_(torch.tensor([1.0, 2.0, 3.0, 4.0]))
    x = torch.tensor([[1.0, 2.0, 2.0, 4.0]])  # length 5
    torch.testing.assert_close(norm(x), torch.tensor([[0.4, 1.6, 2.4, 6.4]]))


@pytest.mark.parametrize(
    ("width", "mult", "inner"), [(1280, 2, 1706), (1024, 2, 1365), (1024, 0.02, 13), (128, 2, 170)]
)
def test_inner_width(width: int, mult: float, inner: int) -> None:
    assert geglu_width(width, mult) == inner


@torch.no_grad()
def test_there_is_no_norm_before_attention(resampler: PerceiverResampler) -> None:
    assert not any(isinstance(module, torch.nn.LayerNorm) for module in resampler.modules())
    attention = resampler.layers[0][0]
    latents, context = torch.randn(1, 5, 24), torch.randn(1, 3, 24)
    mask = torch.ones(1, 8, dtype=torch.bool)
    once, twice = attention(latents, context, mask), attention(2 * latents, 2 * context, mask)
    assert not torch.allclose(once, twice, rtol=1e-3)  # a norm would make both alike
