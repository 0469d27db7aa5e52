"""A model folder is read without mercy: every file, field, key and shape."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from oncue_engine.checkpoints.config import read_config
from oncue_engine.checkpoints.layout import WEIGHT_FILES, fingerprint
from oncue_engine.checkpoints.loaded import LoadedModel, load_model
from oncue_engine.checkpoints.pace import read_pace
from oncue_engine.checkpoints.random_nano import make_random_nano
from oncue_engine.checkpoints.semantic_encoder import SemanticEncoder, fill_semantic_encoder
from oncue_engine.errors import CheckpointError


@pytest.fixture
def folder(nano_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(nano_folder, tmp_path / "model"))


def _edit_config(folder: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    path = folder / "config.yaml"
    config = yaml.safe_load(path.read_text())
    edit(config)
    path.write_text(yaml.safe_dump(config))


def test_weights_are_float32_in_memory_frozen_and_in_eval(nano: LoadedModel, nano_folder: Path) -> None:
    assert {t.dtype for t in load_file(nano_folder / "t2s.safetensors").values()} == {torch.float16}
    for network in (nano.encoder, nano.codec, nano.style, nano.t2s, nano.s2mel, nano.vocoder):
        assert not network.training
        floats = [p for p in (*network.parameters(), *network.buffers()) if p.is_floating_point()]
        assert {p.dtype for p in floats} == {torch.float32}
        assert not any(p.requires_grad for p in network.parameters())


def test_the_same_seed_makes_the_same_folder(nano_folder: Path, tmp_path: Path) -> None:
    assert fingerprint(make_random_nano(tmp_path / "same")) == fingerprint(nano_folder)
    assert fingerprint(make_random_nano(tmp_path / "other", seed=1)) != fingerprint(nano_folder)


@pytest.mark.parametrize("file", ["config.yaml", "t2s.safetensors", "text.json"])
def test_the_fingerprint_covers_all_that_decides_how_it_sounds(folder: Path, file: str) -> None:
    before = fingerprint(folder)
    assert len(before) == 16
    path = folder / file
    path.write_bytes(path.read_bytes() + b"\n")
    assert fingerprint(folder) != before


@pytest.mark.parametrize("file", ["config.yaml", *WEIGHT_FILES.values()])
def test_a_missing_file_is_named(folder: Path, file: str) -> None:
    (folder / file).unlink()
    with pytest.raises(CheckpointError, match=file) as caught:
        load_model(folder)
    assert caught.value.reason == "CHECKPOINT_FILE_MISSING"


def test_a_damaged_weight_file_is_named(folder: Path) -> None:
    path = folder / "codec.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match=r"codec\.safetensors"):
        load_model(folder)


_SOME_KEYS = {
    "encoder.safetensors": ("encoder.layers.0.ffn1.intermediate_dense.weight", "stats.mean"),
    "codec.safetensors": ("quantizer.quantizers.0.codebook.weight",),
    "t2s.safetensors": ("gpt.h.0.attn.c_attn.weight",),
    "s2mel.safetensors": ("cfm.estimator.conv1.weight",),
    "campplus.safetensors": ("xvector.dense.linear.weight",),
    "bigvgan.safetensors": ("conv_pre.weight",),
}


@pytest.mark.parametrize(("file", "key"), [(file, key) for file, keys in _SOME_KEYS.items() for key in keys])
def test_a_missing_an_extra_and_a_misshapen_key_are_named(folder: Path, file: str, key: str) -> None:
    path = folder / file
    good = load_file(path)
    bad = (
        {name: tensor for name, tensor in good.items() if name != key},
        {**good, "no.such.key": torch.zeros(3)},
        {**good, key: torch.zeros(3, 5)},
    )
    for tensors, named in zip(bad, (key, "no.such.key", key), strict=True):
        save_file(tensors, path)
        with pytest.raises(CheckpointError) as caught:
            load_model(folder)
        assert named in str(caught.value) and file in str(caught.value)
        assert caught.value.reason == "CHECKPOINT_KEYS"


def test_weight_norm_may_be_there_or_folded(folder: Path, nano: LoadedModel) -> None:
    path = folder / "bigvgan.safetensors"
    tensors = {key: value.float() for key, value in load_file(path).items()}
    weight = tensors.pop("conv_pre.weight")
    norm = torch.linalg.vector_norm(weight, dim=(1, 2), keepdim=True)
    save_file({**tensors, "conv_pre.weight_g": norm, "conv_pre.weight_v": 3.0 * weight}, path)
    torch.testing.assert_close(load_model(folder).vocoder.conv_pre.weight, nano.vocoder.conv_pre.weight)


def test_encoder_layers_beyond_the_one_that_is_used_are_passed_over(folder: Path, nano: LoadedModel) -> None:
    features = torch.randn(1, 30, 320, generator=torch.Generator().manual_seed(0))
    mask = torch.ones(1, 30, dtype=torch.int64)
    with torch.inference_mode():
        states = nano.encoder(input_features=features, attention_mask=mask, output_hidden_states=True).hidden_states
        _edit_config(folder, lambda config: config["oncue"].update(encoder_layer=1))
        shorter = load_model(folder).encoder
        ours = shorter.semantic_features(features, mask)
    assert len(shorter.encoder.layers) == 1
    torch.testing.assert_close(ours, states[1])  # index 0 is the projected input (trap 5)


def test_the_statistics_hold_the_variance(folder: Path) -> None:
    path = folder / "encoder.safetensors"
    tensors = load_file(path)
    width = len(tensors["stats.mean"])
    plain, scaled = (SemanticEncoder(read_config(folder).semantic_encoder, 2, 4) for _ in range(2))
    fill_semantic_encoder(plain, path)
    tensors["stats.mean"], tensors["stats.var"] = torch.full((width,), 0.5), torch.full((width,), 4.0)
    save_file(tensors, path)
    features = torch.randn(1, 30, 320, generator=torch.Generator().manual_seed(0))
    mask = torch.ones(1, 30, dtype=torch.int64)
    with torch.inference_mode():
        fill_semantic_encoder(scaled, path)
        ours = scaled.semantic_features(features, mask)
        torch.testing.assert_close(ours, (plain.semantic_features(features, mask) - 0.5) / 2.0)
    tensors["stats.var"][3] = 0.0
    save_file(tensors, path)
    with pytest.raises(CheckpointError, match="var"):
        fill_semantic_encoder(scaled, path)


@pytest.mark.parametrize(
    ("edit", "named"),
    [
        (lambda c: c.pop("gpt"), "gpt"),
        (lambda c: c["gpt"].pop("model_dim"), "model_dim"),
        (lambda c: c["s2mel"]["DiT"].pop("depth"), "depth"),
        (lambda c: c["oncue"].update(colour="blue"), "colour"),
        (lambda c: c["oncue"].update(flow_steps=0), "flow_steps"),
        (lambda c: c["oncue"].update(frames_per_token="much"), "much"),
        (lambda c: c["oncue"].update(tokenizer="runes"), "runes"),
        (lambda c: c["oncue"].update(encoder_layer=3), "encoder_layer"),
        (lambda c: c["oncue"].update(max_segment_tokens=401), "max_segment_tokens"),
        (lambda c: c["oncue"].update(sample_rate_hz=22_050), "preprocess_params.sr"),
        (lambda c: c["semantic_encoder"].update(flavour=1), "flavour"),
        (lambda c: c["semantic_codec"].update(hidden_size=48), "hidden_size"),
        (lambda c: c["vocoder"].update(upsample_rates=[8, 8, 2], upsample_kernel_sizes=[16, 16, 4]), "hop"),
        (lambda c: c["gpt"].update(number_text_tokens=10), "text_embedding"),
    ],
)
def test_a_wrong_field_is_named(folder: Path, edit: Callable[[dict[str, Any]], object], named: str) -> None:
    _edit_config(folder, edit)
    with pytest.raises(CheckpointError, match=named):
        load_model(folder)


def test_config_that_is_no_mapping(folder: Path) -> None:
    for text in ("[1, 2]", "a: [", "just words"):
        (folder / "config.yaml").write_text(text)
        with pytest.raises(CheckpointError, match=r"config\.yaml"):
            load_model(folder)


def test_the_public_values_are_the_defaults(nano_folder: Path, folder: Path) -> None:
    """A public config.yaml has none of our sections (spec 0.1)."""
    public = {
        "gpt": {
            "model_dim": 1280,
            "max_mel_tokens": 1815,
            "max_text_tokens": 600,
            "heads": 20,
            "layers": 24,
            "number_text_tokens": 12000,
            "number_mel_codes": 8194,
            "start_mel_token": 8192,
            "stop_mel_token": 8193,
            "start_text_token": 0,
            "stop_text_token": 1,
            "condition_module": {
                "output_size": 512,
                "linear_units": 2048,
                "attention_heads": 8,
                "num_blocks": 6,
                "input_layer": "conv2d2",
                "perceiver_mult": 2,
            },
            "emo_condition_module": {
                "output_size": 512,
                "linear_units": 1024,
                "attention_heads": 4,
                "num_blocks": 4,
                "input_layer": "conv2d2",
                "perceiver_mult": 2,
            },
        },
        "semantic_codec": {
            "codebook_size": 8192,
            "hidden_size": 1024,
            "codebook_dim": 8,
            "vocos_dim": 384,
            "vocos_intermediate_dim": 2048,
            "vocos_num_layers": 12,
        },
        "s2mel": {
            "preprocess_params": {
                "sr": 22050,
                "spect_params": {"n_fft": 1024, "win_length": 1024, "hop_length": 256, "n_mels": 80, "fmax": "None"},
            },
            "style_encoder": {"dim": 192},
            "length_regulator": {
                "channels": 512,
                "is_discrete": False,
                "in_channels": 1024,
                "sampling_ratios": [1, 1, 1, 1],
                "vector_quantize": False,
                "f0_condition": False,
            },
            "DiT": {"hidden_dim": 512, "num_heads": 8, "depth": 13, "in_channels": 80, "content_dim": 512},
            "wavenet": {"hidden_dim": 512, "num_layers": 8, "kernel_size": 5, "dilation_rate": 1},
        },
        "vocoder": {"type": "bigvgan", "name": "nvidia/bigvgan_v2_22khz_80band_256x"},
        "version": 2.0,
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(public))
    config = read_config(folder)
    speech = config.speech
    assert (speech.sample_rate_hz, speech.token_rate_hz, speech.feature_stride) == (22_050, 50.0, 2)
    assert (speech.encoder_layer, speech.flow_steps, speech.guidance, speech.prompt_limit_s) == (17, 25, 0.7, 15.0)
    assert int(1500 * speech.frames_per_token) == 2580
    assert config.vocoder.hop_samples == 256 and config.mel.fmax is None
    assert config.t2s.duration_row == "speed_rows"
    assert read_config(nano_folder).t2s.duration_row == "tied"


def test_pace(tmp_path: Path) -> None:
    path = tmp_path / "text.json"
    assert read_pace(path, 25.0).natural_tokens([5] * 8) == 50  # no file: a quarter of a second per piece
    path.write_text(json.dumps({"codes_per_piece": [0.0, 0.0, 1.5, 2.25], "codes_per_segment": 3.0}))
    pace = read_pace(path, 25.0)
    assert pace.natural_tokens([2, 3, 3]) == round(1.5 + 2.25 + 2.25 + 3.0)
    assert pace.natural_tokens([40]) == round(0.25 * 25 + 3.0)  # a piece without a figure
    assert pace.natural_tokens([]) == 3
    for bad in ('{"codes_per_piece": [1, -1]}', '{"codes_per_piece": "x"}', "[]", "{", '{"codes_per_piece": [NaN]}'):
        path.write_text(bad)
        with pytest.raises(CheckpointError, match=r"text\.json"):
            read_pace(path, 25.0)


def test_an_emotion_bank_must_fit(folder: Path, nano: LoadedModel) -> None:
    assert nano.emotion_bank is not None and nano.emotion_bank.counts == (2, 2, 2, 2, 2, 0, 2, 2)
    styles, emotions = nano.config.style_encoder.embedding_size, nano.config.t2s.model_dim
    path = folder / "emotion_bank.safetensors"
    good = {"feat1": torch.ones(14, styles), "feat2": torch.ones(14, emotions)}
    for wrong in (
        {**good, "feat1": torch.zeros(13, styles)},
        {**good, "feat2": torch.full((14, emotions), float("inf"))},
        {"feat1": good["feat1"]},
        {**good, "feat3": torch.zeros(1)},
    ):
        save_file(wrong, path)
        with pytest.raises(CheckpointError, match="feat"):
            load_model(folder)
    path.unlink()
    assert load_model(folder).emotion_bank is None


@pytest.mark.parametrize("counts", [[2] * 7, [2, 2, 2, 2, 2, -1, 2, 3], [0] * 8])
def test_emotion_counts_must_make_sense(folder: Path, counts: list[int]) -> None:
    _edit_config(folder, lambda config: config.update(emo_num=counts))
    with pytest.raises(CheckpointError, match="emo_num"):
        load_model(folder)


def test_a_public_bank_is_two_bare_tensors(folder: Path, nano: LoadedModel) -> None:
    (folder / "emotion_bank.safetensors").unlink()
    before = fingerprint(folder)
    _edit_config(folder, lambda config: config.pop("emo_num"))
    styles, emotions = nano.config.style_encoder.embedding_size, nano.config.t2s.model_dim
    torch.save(torch.randn(73, styles), folder / "feat1.pt")
    with pytest.raises(CheckpointError, match=r"feat2\.pt is missing"):
        load_model(folder)
    rows = torch.randn(73, emotions)
    torch.save(rows, folder / "feat2.pt")
    bank = load_model(folder).emotion_bank
    assert bank is not None and bank.counts == (3, 17, 2, 8, 4, 5, 10, 24)
    assert torch.equal(bank.emotions, rows)
    assert fingerprint(folder) != before
    for wrong in ({"rows": rows}, rows.long()):
        torch.save(wrong, folder / "feat2.pt")
        with pytest.raises(CheckpointError, match=r"feat2\.pt is not one tensor"):
            load_model(folder)
    (folder / "feat2.pt").write_bytes(b"no tensor at all")
    with pytest.raises(CheckpointError, match=r"feat2\.pt cannot be read"):
        load_model(folder)


def test_words_need_a_bank_that_has_what_they_give(tiny_words_model_dir: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_words_model_dir, tmp_path / "model"))
    loaded = load_model(folder)
    assert loaded.emotion_words is not None and "melancholic" not in loaded.emotion_words.emotions
    before = loaded.fingerprint
    path = folder / "emotion_words" / "words.json"
    path.write_text(path.read_text() + "\n")
    assert fingerprint(folder) != before
    _edit_config(folder, lambda config: config.update(emo_num=[2, 2, 2, 2, 2, 2, 2, 0]))
    with pytest.raises(CheckpointError, match="emotion_words gives calm, but the emotion bank has happy"):
        load_model(folder)
    (folder / "emotion_bank.safetensors").unlink()
    with pytest.raises(CheckpointError, match="no emotion bank"):
        load_model(folder)
    path.unlink()
    _edit_config(folder, lambda config: config.update(emo_num=[14, 0, 0, 0, 0, 0, 0, 0]))
    with pytest.raises(CheckpointError, match="emotion_words"):
        load_model(folder)
