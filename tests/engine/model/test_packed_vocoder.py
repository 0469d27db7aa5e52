"""The vocoder in its packed form makes the samples of BigVGAN."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from oncue_engine.kernels.convolution import has_bf16_tiles
from oncue_engine.kernels.library import load
from oncue_engine.model.bigvgan import BigVGAN, BigVGANConfig
from oncue_engine.model.packed_vocoder import PackedVocoder, inference_form
from oncue_engine.model.weight_norm import fold
from oncue_engine.parity.golden_file import read_golden

pytestmark = pytest.mark.skipif(load() is None, reason="no build for this machine")

GOLDEN = Path(__file__).parents[2] / "golden" / "bigvgan.safetensors"
NANO_SHAPE = BigVGANConfig((8, 4, 4, 2), (16, 8, 8, 4), 96, (3, 7), ((1,), (3,)), harmonic_source=True)
PUBLIC_SHAPE = BigVGANConfig(upsample_initial_channel=128)
ODD = BigVGANConfig((3, 2), (7, 4), 20, (5,), ((2, 3),), snake_logscale=False, use_bias_at_final=True)
CONFIGS = [NANO_SHAPE, PUBLIC_SHAPE, ODD]


def _seeded(config: BigVGANConfig) -> BigVGAN:
    torch.manual_seed(0)
    model = BigVGAN(config).eval()
    for name, value in model.named_parameters():
        if name.endswith((".alpha", ".beta")):
            torch.nn.init.normal_(value, 0.0 if config.snake_logscale else 1.0, 0.3)
    return model


def _relative(got: Tensor, want: Tensor) -> float:
    return ((got - want).abs().max() / want.abs().max()).item()


@torch.no_grad()
@pytest.mark.parametrize("config", CONFIGS, ids=["nano", "public", "odd"])
@pytest.mark.parametrize("frames", [1, 2, 19])
def test_in_float32_it_is_the_same_wave(config: BigVGANConfig, frames: int) -> None:
    model = _seeded(config)
    packed = PackedVocoder(model)
    mel = torch.randn(2, 80, frames) - 4
    excitation = model.excite(mel)
    source = None if excitation is None else excitation.source
    want = model.before_clamp(mel, source)
    assert _relative(packed.before_clamp(mel, source), want) < 2e-5
    torch.testing.assert_close(packed(mel), model(mel), rtol=0, atol=2e-5)
    assert packed.context_frames == model.context_frames


@torch.no_grad()
def test_golden_wave() -> None:
    golden = read_golden(GOLDEN)
    model = BigVGAN(BigVGANConfig.from_public(golden.config)).eval()
    model.load_state_dict(fold(golden.weights))
    assert _relative(PackedVocoder(model)(golden.inputs["mel"]), golden.outputs["wav"]) < 5e-5


@torch.no_grad()
@pytest.mark.skipif(not has_bf16_tiles(), reason="no bf16 tiles on this machine")
@pytest.mark.parametrize("config", [NANO_SHAPE, PUBLIC_SHAPE], ids=["nano", "public"])
def test_bf16_products_change_little(config: BigVGANConfig) -> None:
    """But something: else the switch would do nothing."""
    model = _seeded(config)
    mel = torch.randn(1, 80, 30) - 4
    excitation = model.excite(mel)
    source = None if excitation is None else excitation.source
    want = model.before_clamp(mel, source)
    assert 1e-5 < _relative(PackedVocoder(model, torch.bfloat16).before_clamp(mel, source), want) < 2e-2


@torch.no_grad()
@pytest.mark.parametrize("products", [torch.float32, torch.bfloat16])
def test_context_frames_settle_the_middle_of_a_window(products: torch.dtype) -> None:
    """To the bit: a sample is summed in the same order wherever it stands in a window, rounding and all."""
    packed = PackedVocoder(_seeded(PUBLIC_SHAPE), products)
    reach, hop, frames = packed.context_frames, packed.config.hop_samples, 4
    mel = torch.randn(1, 80, 2 * reach + 40)
    full = packed.before_clamp(mel)
    for first in (reach, reach + 13, reach + 36):
        window = packed.before_clamp(mel[..., first - reach : first + frames + reach])
        middle = window[..., reach * hop : (reach + frames) * hop]
        assert torch.equal(middle, full[..., first * hop : (first + frames) * hop])


@torch.no_grad()
def test_a_mel_that_is_no_number_gives_no_numbers() -> None:
    packed, mel = PackedVocoder(_seeded(NANO_SHAPE), torch.bfloat16), torch.randn(2, 80, 40)
    source = torch.randn(2, 2, 40 * 256)
    clean = packed.before_clamp(mel, source)
    mel[1, 5, 20] = float("nan")
    dirty = packed.before_clamp(mel, source)
    assert torch.equal(dirty[0], clean[0]) and dirty[1, 0, 20 * 256 : 21 * 256].isnan().all()


@torch.no_grad()
def test_two_threads_do_not_meet() -> None:
    packed = PackedVocoder(_seeded(NANO_SHAPE), torch.bfloat16)
    mels = [torch.randn(1, 80, frames) for frames in (25, 40)]
    alone = [packed(mel) for mel in mels]
    differing: list[int] = []

    def run(index: int) -> None:
        differing.extend(index for _ in range(10) if not torch.equal(packed(mels[index]), alone[index]))

    threads = [threading.Thread(target=run, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert differing == []


def test_a_wave_of_its_own_is_kept_when_the_module_is_loaded_anew() -> None:
    model = _seeded(ODD)
    packed, mel = PackedVocoder(model), torch.randn(1, 80, 5)
    before = packed(mel)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    assert torch.equal(packed(mel), before)


def test_tanh_where_the_config_says_so() -> None:
    packed = PackedVocoder(_seeded(replace(ODD, use_tanh_at_final=True)))
    mel = torch.randn(1, 80, 5)
    assert torch.equal(packed(mel), torch.tanh(packed.before_clamp(mel)))


def test_with_kernels_the_packed_form_is_taken() -> None:
    assert isinstance(inference_form(_seeded(ODD)), PackedVocoder)
