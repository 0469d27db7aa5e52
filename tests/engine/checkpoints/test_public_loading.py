"""Public weights become our networks, in whichever of their spellings they come."""

from __future__ import annotations

import shutil
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from oncue_engine.checkpoints.config import read_config
from oncue_engine.checkpoints.loaded import LoadedModel, load_model
from oncue_engine.checkpoints.public_files import find_public_files
from oncue_engine.checkpoints.public_sizes import public_sizes
from oncue_engine.checkpoints.random_folder import make_random_public
from oncue_engine.checkpoints.random_public import build_random, public_config
from oncue_engine.checkpoints.random_weights import random_bank_apart, random_networks_apart
from oncue_engine.engine import Engine
from oncue_engine.errors import CheckpointError
from oncue_engine.options import EngineOptions
from oncue_engine.requests import TargetSamples

from ..conftest import Speaker, reference
from .public_edits import rewrite_torch

_SEED = 5


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_random_public(tmp_path_factory.mktemp("public") / "small", "small", _SEED)


@pytest.fixture(scope="module")
def model(good: Path) -> LoadedModel:
    return load_model(good)


@pytest.fixture
def folder(good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy to spoil, and a place of its own for what is made of it."""
    monkeypatch.setenv("ONCUE_HOME", str(tmp_path / "home"))
    return Path(shutil.copytree(good, tmp_path / "public"))


def _states(model: LoadedModel) -> dict[str, dict[str, Tensor]]:
    names = ("encoder", "codec", "t2s", "s2mel", "style", "vocoder")
    return {name: getattr(model, name).state_dict() for name in names}


def _assert_same(ours: LoadedModel, theirs: LoadedModel) -> None:
    for block, state in _states(theirs).items():
        other = _states(ours)[block]
        assert state.keys() == other.keys()
        assert all(torch.equal(value, other[key]) for key, value in state.items()), block


def test_a_folder_has_the_weights_that_the_same_seed_has_in_memory(model: LoadedModel) -> None:
    """The statistics are of the folder alone: in memory, features are taken as they come."""
    networks = random_networks_apart(model.config, _SEED).named()
    for block, state in _states(model).items():
        mine = networks[block].state_dict()
        assert state.keys() == mine.keys()
        differing = [key for key, value in state.items() if not torch.equal(value, mine[key])]
        assert differing == (["stats.mean", "stats.var"] if block == "encoder" else []), block
    assert model.emotion_bank is not None
    assert torch.equal(model.emotion_bank.emotions, random_bank_apart(model.config, _SEED)["feat2"])


def test_random_in_memory_is_drawn_the_same_way(tiny_model_dir: Path) -> None:
    config = read_config(tiny_model_dir)
    built, apart = build_random(config, seed=9).t2s.state_dict(), random_networks_apart(config, 9).t2s.state_dict()
    assert all(torch.equal(value, apart[key]) for key, value in built.items())


def test_the_full_size_is_the_released_one() -> None:
    """What make-random writes and what random:indextts2 has in memory; the decoder is only in files."""
    parsed, memory = public_sizes("full").parsed(), public_config()
    assert parsed.codec.has_decoder and not memory.codec.has_decoder
    for part in ("t2s", "s2mel", "mel", "vocoder", "style_encoder", "semantic_encoder"):
        assert getattr(parsed, part) == getattr(memory, part), part
    speech = parsed.speech
    assert (speech.tokenizer, speech.encoder_layer, speech.sample_rate_hz) == ("sentencepiece", 17, 22_050)


def test_a_small_public_model_speaks_exactly_as_long_as_asked(good: Path, clip: Path, tmp_path: Path) -> None:
    engine = Engine.load(good, tmp_path / "data", EngineOptions(threads=1))
    try:
        speaker = Speaker(engine, reference(clip))
        for text in ("Hello there, my friend.", "你好,世界。"):
            asked = speaker.engine.plan(speaker.request(text, sample_rate_hz=22_050)).min_samples + 101
            recorder = speaker.say(text, sample_rate_hz=22_050, length=TargetSamples(asked))
            assert len(recorder.samples) == asked
            assert float(np.abs(recorder.samples).max()) > 1e-3
    finally:
        engine.close()


def test_parameters_stay_in_the_files_and_nothing_is_left_empty(model: LoadedModel) -> None:
    for state in _states(model).values():
        for value in state.values():
            assert not value.is_meta
    assert len(model.encoder.encoder.layers) == 2  # of four in the file
    assert model.codec.decoder is None
    for network in (model.encoder, model.codec, model.style, model.t2s, model.s2mel, model.vocoder):
        assert not network.training and not any(parameter.requires_grad for parameter in network.parameters())


def test_statistics_hold_the_variance(model: LoadedModel, good: Path) -> None:
    stats = torch.load(good / "wav2vec2bert_stats.pt", weights_only=True)
    features = torch.randn(1, 30, 160, generator=torch.Generator().manual_seed(0))
    mask = torch.ones(1, 30, dtype=torch.int64)
    with torch.inference_mode():
        plain = model.encoder(input_features=features, attention_mask=mask).last_hidden_state
        ours = model.encoder.semantic_features(features, mask)
    torch.testing.assert_close(ours, (plain - stats["mean"]) / stats["var"].sqrt())


# Other ways to write the same


def _on_devices(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return OrderedDict((f"module.{key}", value) for key, value in state.items())


@pytest.mark.parametrize(
    ("name", "change", "how"),
    [
        ("gpt.pth", lambda raw: {"model": raw, "epoch": 3}, {}),
        ("gpt.pth", _on_devices, {}),
        ("gpt.pth", lambda raw: raw, {"_use_new_zipfile_serialization": False}),
        ("gpt.pth", lambda raw: {**raw, "gpt.wte.weight": raw["mel_embedding.weight"]}, {}),
        ("gpt.pth", lambda raw: {**raw, "inference_model.lm_head.1.weight": torch.full((2,), torch.nan)}, {}),
        ("gpt.pth", lambda raw: {**raw, "gpt.h.0.attn.c_attn.lora_A.default.weight": torch.ones(2, 64)}, {}),
        ("gpt.pth", lambda raw: {**raw, "gpt.h.1.attn.bias": torch.ones(1, 1, 9, 9).bool()}, {}),
        ("s2mel.pth", lambda raw: {"net": {part: _on_devices(state) for part, state in raw["net"].items()}}, {}),
        ("s2mel.pth", lambda raw: raw, {"_use_new_zipfile_serialization": False}),
    ],
)
def test_spellings_of_the_same_weights(
    folder: Path, model: LoadedModel, name: str, change: Callable[[Any], Any], how: dict[str, Any]
) -> None:
    rewrite_torch(folder / name, change, **how)
    _assert_same(load_model(folder), model)


def test_adapters_are_said_not_to_be_used(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    adapters = {f"gpt.h.{layer}.attn.c_attn.lora_A.weight": torch.ones(2, 64) for layer in range(2)}
    rewrite_torch(folder / "gpt.pth", lambda raw: {**raw, **adapters})
    with caplog.at_level("INFO"):
        load_model(folder)
    assert "gpt.pth: 2 keys are not used: adapters, which the released model never runs" in caplog.text


def test_weights_may_share_their_memory(folder: Path) -> None:
    def tie(raw: dict[str, Tensor]) -> dict[str, Tensor]:
        both = torch.randn(2, 64, generator=torch.Generator().manual_seed(0))
        return {**raw, "emo_layer.bias": both[0], "emovec_layer.bias": both[1], "final_norm.bias": both[1]}

    rewrite_torch(folder / "gpt.pth", tie)
    t2s = load_model(folder).t2s
    assert torch.equal(t2s.emovec_layer.bias, t2s.final_norm.bias)
    assert not torch.equal(t2s.emo_layer.bias, t2s.final_norm.bias)


def test_an_encoder_with_a_prefix_or_without_its_config(folder: Path, model: LoadedModel) -> None:
    files = find_public_files(folder)
    save_file({f"wav2vec2_bert.{key}": value for key, value in load_file(files.encoder).items()}, files.encoder)
    _assert_same(load_model(folder), model)
    assert files.encoder_config is not None
    files.encoder_config.unlink()
    # Then its sizes are the released ones, which these weights do not have.
    with pytest.raises(CheckpointError, match=r"semantic_codec.hidden_size is 32"):
        load_model(folder)


def test_a_vocoder_may_be_without_weight_norm_and_filters(folder: Path, model: LoadedModel) -> None:
    path = find_public_files(folder).vocoder
    torch.save({"generator": model.vocoder.state_dict()}, path)
    _assert_same(load_model(folder), model)


def test_counters_of_training_may_be_absent(folder: Path, model: LoadedModel) -> None:
    path = find_public_files(folder).style_encoder
    rewrite_torch(path, lambda raw: {key: value for key, value in raw.items() if "num_batches" not in key})
    _assert_same(load_model(folder), model)


def test_half_precision_is_computed_with_as_float32(folder: Path, model: LoadedModel) -> None:
    rewrite_torch(folder / "gpt.pth", lambda raw: {key: value.half() for key, value in raw.items()})
    loaded = load_model(folder)
    assert {value.dtype for value in loaded.t2s.state_dict().values()} == {torch.float32}
    torch.testing.assert_close(loaded.t2s.mel_head.weight, model.t2s.mel_head.weight, rtol=1e-3, atol=1e-4)
