"""Which public model a checkpoint is, told by its keys; contradictions are errors."""

from __future__ import annotations

from typing import Any

import pytest

from oncue_engine.checkpoints.family import completed_config, tell_family
from oncue_engine.errors import CheckpointError

SHAPES_2 = {
    "conditioning_encoder.after_norm.weight": (512,),
    "perceiver_encoder.latents": (32, 1280),
    "speed_emb.weight": (2, 1280),
    "text_embedding.weight": (12_001, 1280),
    "emo_conditioning_encoder.after_norm.weight": (512,),
    "emo_perceiver_encoder.latents": (1, 1024),
}
SHAPES_25 = {
    "spk_emb_proj.weight": (1280, 192),
    "spk_emb_proj.bias": (1280,),
    "lang_embedding.weight": (107, 1280),
    "text_embedding.weight": (60_510, 1280),
    "emo_conditioning_encoder.after_norm.weight": (512,),
    "emo_perceiver_encoder.latents": (1, 1024),
}
CODEC_2 = {"encoder.1.weight": (1024, 384)}
CODEC_25 = CODEC_2 | {"down.weight": (1024, 1024, 3), "down.bias": (1024,)}
CODEC_25 |= {"up.weight": (1024, 1024, 3), "up.bias": (1024,)}
# The released config of 2.5 still says version 2.0.
RAW: dict[str, Any] = {
    "version": 2.0,
    "gpt": {"number_text_tokens": 60_509, "model_dim": 1280},
    "semantic_codec": {"codebook_size": 8192},
    "s2mel": {"length_regulator": {}},
}


def without(shapes: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: shape for key, shape in shapes.items() if key not in keys}


def test_the_keys_tell() -> None:
    assert tell_family(SHAPES_2) == "indextts2"
    assert tell_family(SHAPES_25) == "indextts2.5"


@pytest.mark.parametrize(
    ("shapes", "says"),
    [
        (SHAPES_25 | {"speed_emb.weight": (2, 1280)}, "spk_emb_proj.weight.*and of IndexTTS-2.*speed_emb"),
        (without(SHAPES_25, "lang_embedding.weight"), "but not lang_embedding.weight"),
        (without(SHAPES_25, "spk_emb_proj.weight", "spk_emb_proj.bias"), "but not spk_emb_proj.weight"),
        (without(SHAPES_25, *SHAPES_25), "neither"),
        # The emotion's encoder is in both.
        ({"emo_conditioning_encoder.after_norm.weight": (512,)}, "neither"),
    ],
)
def test_keys_that_say_two_things_or_nothing(shapes: dict[str, Any], says: str) -> None:
    with pytest.raises(CheckpointError, match=says) as caught:
        tell_family(shapes)
    assert caught.value.reason == "CHECKPOINT_FAMILY"


def test_the_config_of_2_stays_as_it_is() -> None:
    assert completed_config(RAW, SHAPES_2, CODEC_2) == RAW


def test_the_config_of_2_5_is_completed() -> None:
    config = completed_config(RAW, SHAPES_25, CODEC_25)
    assert config["gpt"] == {
        "number_text_tokens": 60_509,
        "model_dim": 1280,
        "speaker": "style",
        "style_width": 192,
        "conditioning_latents": 1,
        "duration_row": "zero_rows",
        "languages": 107,
    }
    assert config["semantic_codec"] == {"codebook_size": 8192, "downsample_scale": 2, "has_decoder": True}
    assert config["s2mel"]["gpt_layer_widths"] == []
    assert config["oncue"]["token_rate_hz"] == 25 and config["oncue"]["frames_per_token"] == "3.44"
    assert config["oncue"]["languages"] == ["zh", "en", "ja", "es", "ar"]
    assert "gpt_layer_widths" not in RAW["s2mel"], "the given config is not changed"


def test_what_the_config_says_of_our_own_section_stays() -> None:
    config = completed_config(RAW | {"oncue": {"flow_steps": 3}}, SHAPES_25, CODEC_25)
    assert config["oncue"]["flow_steps"] == 3 and config["oncue"]["tokenizer"] == "tiktoken"


@pytest.mark.parametrize(
    ("change", "t2s", "codec", "says"),
    [
        ({}, SHAPES_25, CODEC_2, "codec lacks down.weight, down.bias, up.weight, up.bias"),
        ({}, SHAPES_25, without(CODEC_25, "up.bias"), "codec lacks up.bias"),
        ({}, SHAPES_2, CODEC_25, "IndexTTS-2's, but the codec has down.weight"),
        ({"gpt": {"number_text_tokens": 12_000}}, SHAPES_25, CODEC_25, "number_text_tokens is 12000.*60509"),
        ({"gpt": {**RAW["gpt"], "spk_cond_mode": "conformer"}}, SHAPES_25, CODEC_25, "spk_cond_mode"),
        ({"gpt": {**RAW["gpt"], "languages": 99}}, SHAPES_25, CODEC_25, "languages is 99.*107"),
        ({"semantic_codec": {"downsample_scale": 1}}, SHAPES_25, CODEC_25, "downsample_scale is 1.*2"),
        ({}, SHAPES_25 | {"lang_embedding.weight": (13, 1280)}, CODEC_25, "13 rows; .* need 14"),
    ],
)
def test_contradictions_are_errors(change: dict[str, Any], t2s: Any, codec: Any, says: str) -> None:
    with pytest.raises(CheckpointError, match=says) as caught:
        completed_config(RAW | change, t2s, codec)
    assert caught.value.reason == "CHECKPOINT_FAMILY"
