"""Random models of any size, in memory: quick to make, the same for the same seed, and alive."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch

from oncue_engine.checkpoints.config import ModelConfig, read_config
from oncue_engine.checkpoints.loaded import LoadedModel
from oncue_engine.checkpoints.named import load_named
from oncue_engine.checkpoints.random_public import build_random, public_config
from oncue_engine.checkpoints.random_weights import TiledNoise, random_networks
from oncue_engine.errors import CheckpointError
from oncue_engine.frontend.audio import decode_reference
from oncue_engine.kinds.indextts2 import IndexTTS2
from oncue_engine.model.bigvgan import BigVGANConfig
from oncue_engine.model.codec import CodecConfig
from oncue_engine.model.dit import DiTConfig
from oncue_engine.model.emotion_bank import EMOTION_NAMES
from oncue_engine.model.t2s import T2S


@pytest.fixture(scope="module")
def small(tiny_model_dir: Path) -> ModelConfig:
    """The tiny model's sizes, where a folder gives them."""
    return read_config(tiny_model_dir)


@pytest.fixture(scope="module")
def model(small: ModelConfig) -> LoadedModel:
    return build_random(small, seed=3)


def _tensors(model: LoadedModel) -> dict[str, torch.Tensor]:
    networks = (model.encoder, model.codec, model.style, model.t2s, model.s2mel, model.vocoder)
    return {f"{k}.{name}": value for k, n in enumerate(networks) for name, value in n.state_dict().items()}


def test_the_same_seed_makes_the_same_model(small: ModelConfig, model: LoadedModel) -> None:
    same, other = build_random(small, seed=3), build_random(small, seed=4)
    assert same.fingerprint == model.fingerprint != other.fingerprint
    ours, theirs, others = _tensors(model), _tensors(same), _tensors(other)
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())
    drawn = [name for name, value in ours.items() if value.is_floating_point() and value.dim() > 1]
    differing = [name for name in drawn if not torch.equal(ours[name], others[name])]
    # Only tables that are computed stay the same.
    assert {name.split(".")[-1] for name in set(drawn) - set(differing)} <= {"pe"}


def test_the_fingerprint_tells_sizes_apart(small: ModelConfig, model: LoadedModel) -> None:
    fewer = replace(small, speech=replace(small.speech, flow_steps=small.speech.flow_steps + 1))
    assert build_random(fewer, seed=3).fingerprint != model.fingerprint


def test_networks_are_float32_frozen_in_eval_and_have_no_draw_left_out(model: LoadedModel) -> None:
    for network in (model.encoder, model.codec, model.style, model.t2s, model.s2mel, model.vocoder):
        assert not network.training
        assert not any(p.requires_grad for p in network.parameters())
        for value in (*network.parameters(), *network.buffers()):
            assert not value.is_floating_point() or value.dtype == torch.float32
            assert not value.is_meta and bool(torch.isfinite(value).all())


def test_tiled_draws_are_spread_like_real_ones(small: ModelConfig) -> None:
    """Every large weight has the mean and the deviation that PyTorch's own draws give it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        real = random_networks(small).named()
    with torch.random.fork_rng(devices=[]), TiledNoise(0):
        tiled = random_networks(small).named()
    compared = 0
    for name, network in real.items():
        others = tiled[name].state_dict()
        for key, value in network.state_dict().items():
            if value.numel() < 4096 or value.std() == 0.0:
                continue
            compared += 1
            assert float(others[key].std() / value.std()) == pytest.approx(1.0, abs=0.1), (name, key)
            assert abs(float(others[key].mean() - value.mean())) < 6 * float(value.std()) / math.sqrt(value.numel())
    assert compared > 20


def test_tiled_noise_covers_what_is_longer_than_its_block_and_keeps_ranges() -> None:
    with TiledNoise(1):
        long = torch.empty(1500, 1500).normal_(2.0, 0.5)
        even = torch.empty(1000, 1000).uniform_(-3.0, 1.0)
        plain = torch.randn(7, 9)
        strided = torch.zeros(300, 200).t().normal_()
    assert float(long.mean()) == pytest.approx(2.0, abs=0.01) and float(long.std()) == pytest.approx(0.5, abs=0.01)
    assert float(even.mean()) == pytest.approx(-1.0, abs=0.02)
    assert float(even.std()) == pytest.approx(4 / math.sqrt(12), abs=0.02)
    assert len(torch.unique(plain)) == 63
    assert float(strided.std()) == pytest.approx(1.0, abs=0.02)
    # No row is another one, though the block is repeated.
    assert len(torch.unique(long[:, :3], dim=0)) == 1500


def test_a_real_clip_conditions_it_like_any_other(model: LoadedModel, clip: Path, tmp_path: Path) -> None:
    voice = IndexTTS2(model).prompts.encode_voice(decode_reference(clip))
    for field in fields(voice):
        value = getattr(voice, field.name)
        assert bool(torch.isfinite(value).all()) and float(value.std()) > 1e-5, field.name


def test_it_has_every_emotion_that_its_counts_have(model: LoadedModel, small: ModelConfig) -> None:
    bank = model.emotion_bank
    assert bank is not None
    counted = zip(EMOTION_NAMES, small.speech.emotion_counts, strict=True)
    assert bank.names == tuple(name for name, count in counted if count)


def test_the_public_sizes_are_the_public_ones() -> None:
    config = public_config()
    assert (config.t2s.model_dim, config.t2s.layers, config.t2s.heads) == (1280, 24, 20)
    assert config.t2s.number_text_tokens == 12_000 and config.t2s.number_mel_codes == 8_194
    assert config.codec == CodecConfig(has_decoder=False)
    assert config.s2mel.dit == DiTConfig() and config.vocoder == BigVGANConfig()
    assert config.speech.encoder_layer == 17 and config.speech.flow_steps == 25
    assert sum(config.speech.emotion_counts) == 73
    with torch.device("meta"):
        t2s = T2S(config.t2s)
    # gpt.pth has 866 million (spec 0).
    assert sum(parameter.numel() for parameter in t2s.parameters()) == pytest.approx(866e6, rel=0.001)


def test_what_it_cannot_be_is_refused(small: ModelConfig) -> None:
    with pytest.raises(CheckpointError, match="arpabet"):
        build_random(replace(small, speech=replace(small.speech, tokenizer="sentencepiece")))
    with pytest.raises(CheckpointError) as caught:
        load_named("random:other")
    assert caught.value.reason == "MODEL_UNKNOWN"


def test_a_name_or_a_folder_finds_its_model(tiny_model_dir: Path) -> None:
    name, loaded = load_named(tiny_model_dir)
    assert name == tiny_model_dir.name and loaded.name == "random-nano"
