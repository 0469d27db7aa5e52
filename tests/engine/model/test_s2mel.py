"""The bundle of codes-to-mel networks: public layout, sizes from the config, loud failures."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from oncue_engine.errors import CheckpointError
from oncue_engine.model.s2mel import S2Mel, S2MelConfig
from oncue_engine.model.weight_norm import fold
from oncue_engine.parity.acoustic import load_s2mel
from oncue_engine.parity.golden_file import GoldenFile, read_golden

GOLDEN = Path(__file__).parents[2] / "golden" / "s2mel.safetensors"


@pytest.fixture(scope="module")
def golden() -> GoldenFile:
    return read_golden(GOLDEN)


@pytest.fixture
def nano_section() -> dict[str, Any]:
    return {
        "style_encoder": {"dim": 192},
        "gpt_layer_widths": [256, 96, 64, 192],
        "length_regulator": {"channels": 192, "in_channels": 192, "sampling_ratios": [1, 1, 1, 1]},
        "DiT": {"hidden_dim": 192, "num_heads": 4, "depth": 6, "in_channels": 80, "content_dim": 192},
        "wavenet": {"hidden_dim": 192, "num_layers": 4, "kernel_size": 5, "dilation_rate": 1},
    }


@torch.no_grad()
def test_semantic_features_are_latents_projected_plus_codes(golden: GoldenFile) -> None:
    model, inputs = load_s2mel(golden), golden.inputs
    got = model.semantic(inputs["gpt_latent"], inputs["semantic_emb"])
    want = golden.outputs["gpt_layer"] + inputs["semantic_emb"]
    assert (got - want).abs().max() <= 2e-5 * want.abs().max()


def test_public_widths_are_the_default(golden: GoldenFile) -> None:
    assert S2MelConfig.from_public(golden.config).gpt_layer_widths == (1280, 256, 128, 1024)


def test_a_full_public_file_loads_strictly_under_its_own_keys(golden: GoldenFile) -> None:
    model = S2Mel(S2MelConfig.from_public(golden.config))
    weights = fold({key.removeprefix("models."): value for key, value in golden.weights.items()})
    model.load_state_dict(weights)
    assert model.state_dict().keys() <= weights.keys()
    for key, value in model.state_dict().items():
        assert torch.equal(value, weights[key]), key


@torch.no_grad()
def test_the_embedded_sizes_can_be_built(nano_section: dict[str, Any]) -> None:
    model = S2Mel(S2MelConfig.from_public(nano_section)).eval()
    semantic = model.semantic(torch.randn(2, 12, 256), torch.randn(2, 12, 192))
    mu = model.length_regulator(semantic, 30)
    x = torch.randn(2, 80, 30)
    assert model.estimator(x, torch.zeros_like(x), mu, torch.randn(2, 192), torch.rand(2)).shape == (2, 80, 30)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"gpt_layer_widths": [256, 96, 64, 191]}, "gpt_layer"),
        ({"length_regulator": {"channels": 190, "in_channels": 192, "sampling_ratios": [1]}}, "content_dim"),
        ({"DiT": {}}, "hidden_dim"),
    ],
)
def test_configs_that_do_not_fit_are_refused(nano_section: dict[str, Any], change: dict[str, Any], named: str) -> None:
    with pytest.raises(CheckpointError, match=named):
        S2MelConfig.from_public({**nano_section, **change})


def test_missing_sections_are_named(nano_section: dict[str, Any]) -> None:
    for name in ("length_regulator", "DiT", "wavenet", "style_encoder"):
        with pytest.raises(CheckpointError, match=name):
            S2MelConfig.from_public({key: value for key, value in nano_section.items() if key != name})


@pytest.mark.parametrize("key", ["gpt_layer.1.weight", "cfm.estimator.conv1.weight", "length_regulator.model.1.bias"])
def test_misshapen_weights_raise_instead_of_being_dropped(golden: GoldenFile, key: str) -> None:
    weights = dict(golden.weights)
    weights[f"models.{key}"] = weights[f"models.{key}"].flatten()[:-1]
    with pytest.raises(CheckpointError, match=key.rsplit(".", 1)[0].replace(".", r"\.")):
        load_s2mel(replace(golden, weights=weights))


def test_misshapen_weight_norm_pairs_raise(golden: GoldenFile) -> None:
    key = "models.cfm.estimator.wavenet.in_layers.0.conv.conv.weight_v"
    with pytest.raises(CheckpointError):
        load_s2mel(replace(golden, weights={**golden.weights, key: golden.weights[key][:-1]}))
