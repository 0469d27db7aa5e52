"""The semantic codec: golden numbers, and the traps of spec 11 (9, 10, 25) by name."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from oncue_engine.errors import CheckpointError, Unsupported
from oncue_engine.model.codec import CodecConfig, SemanticCodec
from oncue_engine.model.weight_norm import fold
from oncue_engine.parity.acoustic import SETS, load_codec
from oncue_engine.parity.golden_file import GoldenFile, read_golden

GOLDEN = Path(__file__).parents[2] / "golden" / "semantic_codec.safetensors"
SMALL = CodecConfig(
    codebook_size=32,
    hidden_size=12,
    codebook_dim=4,
    vocos_dim=16,
    vocos_intermediate_dim=24,
    vocos_num_layers=2,
)


@pytest.fixture(scope="module")
def golden() -> GoldenFile:
    return read_golden(GOLDEN)


@pytest.fixture
def codec() -> SemanticCodec:
    torch.manual_seed(0)
    return SemanticCodec(SMALL).eval()


def test_every_golden_output_is_reproduced(golden: GoldenFile) -> None:
    found = SETS[golden.set](golden)
    assert found.keys() == golden.outputs.keys()
    for name, want in golden.outputs.items():
        got = found[name]
        if want.is_floating_point():
            assert got.shape == want.shape
            assert (got - want).abs().max() <= 1e-5 * want.abs().max(), name
        else:
            assert torch.equal(got, want), name


@torch.no_grad()
def test_lookup_compares_directions(codec: SemanticCodec) -> None:
    codec.codebook.copy_(torch.randn_like(codec.codebook) * 0.01 - 1.0)
    codec.codebook[3] = torch.tensor([10.0, 0.0, 0.0, 0.0])
    codec.codebook[5] = torch.tensor([0.9, 0.9, 0.0, 0.0])
    asked = torch.tensor([[[1.0, 0.1, 0.0, 0.0]]])
    assert torch.cdist(asked[0], codec.codebook).argmin() == 5, "the plain nearest row must be another one"
    assert codec.nearest(asked).tolist() == [[3]]


@torch.no_grad()
def test_lookup_returns_unnormalised_rows(codec: SemanticCodec) -> None:
    codes, emb = codec.quantize(torch.randn(1, 9, 12))
    rows = codec.codebook[codes]
    assert torch.equal(emb, codec.expand(rows))
    assert not torch.allclose(emb, codec.expand(F.normalize(rows, dim=-1)), atol=1e-3)


@torch.no_grad()
def test_vq2emb_takes_batches(codec: SemanticCodec) -> None:
    codes = torch.randint(0, 32, (3, 7))
    together = codec.embed(codes)
    assert together.shape == (3, 7, 12)
    for row in range(3):
        assert torch.allclose(together[row : row + 1], codec.embed(codes[row : row + 1]), atol=1e-6)
    assert not torch.allclose(together[0], together[1], atol=1e-3)


@torch.no_grad()
def test_ragged_rows_equal_single_rows(codec: SemanticCodec) -> None:
    features, lengths = torch.randn(3, 21, 12) * 3, torch.tensor([21, 8, 1])
    together = codec.encode(features, lengths)
    for row, length in enumerate(lengths.tolist()):
        alone = codec.encode(features[row : row + 1, :length])
        assert torch.allclose(together[row : row + 1, :length], alone, atol=1e-5)
    unmasked = codec.encode(features)
    assert not torch.allclose(unmasked[1, :8], together[1, :8], atol=1e-3), "padding must matter without lengths"


def test_misshapen_weights_raise(golden: GoldenFile) -> None:
    weights = fold(golden.weights)
    weights["encoder.1.weight"] = weights["encoder.1.weight"][:, :-1]
    codec = SemanticCodec(CodecConfig.from_public(golden.config))
    with pytest.raises(RuntimeError, match=r"size mismatch for encoder\.1\.weight"):
        codec.load_state_dict(weights)
    broken = dict(golden.weights)
    del broken["encoder.1.bias"]
    replaced = GoldenFile(
        path=GOLDEN,
        set=golden.set,
        variant=golden.variant,
        config=golden.config,
        weights=broken,
        inputs={},
        outputs={},
    )
    with pytest.raises(CheckpointError, match=r"encoder\.1\.bias"):
        load_codec(replaced)


def test_a_codec_without_decoder_reads_a_full_file(golden: GoldenFile) -> None:
    codec = SemanticCodec(CodecConfig.from_public({**golden.config, "has_decoder": False}))
    codec.load_state_dict(fold(golden.weights))
    assert not any(key.startswith("decoder") for key in codec.state_dict())
    with pytest.raises(Unsupported):
        codec.decode(golden.outputs["emb"])


def test_configs_of_other_structure_are_refused(golden: GoldenFile) -> None:
    with pytest.raises(CheckpointError, match="rate"):
        CodecConfig.from_public({**golden.config, "downsample_scale": 3})
    with pytest.raises(CheckpointError, match="vocos_dim"):
        CodecConfig.from_public({name: value for name, value in golden.config.items() if name != "vocos_dim"})


def test_every_encoder_parameter_learns(codec: SemanticCodec) -> None:
    encoded = codec.encode(torch.randn(2, 9, 12))
    codec.decode(codec.expand(codec.project(encoded))).square().mean().backward()
    idle = [name for name, parameter in codec.named_parameters() if parameter.grad is None]
    assert idle == ["quantizer.quantizers.0.codebook.weight"]
