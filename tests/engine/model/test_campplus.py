"""The style encoder: public numbers, small sizes, and a style that keeps its length."""

from pathlib import Path

import pytest
import torch

from oncue_engine.model.campplus import CampPlus, CampPlusConfig
from oncue_engine.parity.golden_file import GoldenFile, read_golden

GOLDEN = Path(__file__).parents[2] / "golden" / "campplus.safetensors"
SMALL = CampPlusConfig(
    embedding_size=24,
    growth_rate=4,
    bn_size=2,
    init_channels=16,
    head_channels=8,
    block_layers=(2, 3),
    block_dilations=(1, 2),
)


@pytest.fixture(scope="module")
def golden() -> GoldenFile:
    return read_golden(GOLDEN)


@pytest.fixture(scope="module")
def encoder(golden: GoldenFile) -> CampPlus:
    model = CampPlus(CampPlusConfig.from_public(golden.config))
    model.load_state_dict(golden.weights)
    return model.eval()


@torch.no_grad()
@pytest.mark.parametrize("length", ["", "_short"])
def test_golden_style(golden: GoldenFile, encoder: CampPlus, length: str) -> None:
    want = golden.outputs[f"style{length}"]
    got = encoder(golden.inputs[f"feat{length}"])
    assert (got - want).abs().max() / want.abs().max() < 2e-5


@torch.no_grad()
def test_style_is_not_normalised(golden: GoldenFile, encoder: CampPlus) -> None:
    norms = [encoder(golden.inputs[name]).norm().item() for name in ("feat", "feat_short")]
    assert all(abs(norm - 1.0) > 0.1 for norm in norms)
    assert abs(norms[0] - norms[1]) > 1e-3


@torch.no_grad()
def test_rows_of_a_batch_do_not_touch(encoder: CampPlus) -> None:
    clips = torch.randn(3, 120, 80, generator=torch.Generator().manual_seed(0))
    together = encoder(clips)
    for row in range(3):
        torch.testing.assert_close(encoder(clips[row : row + 1])[0], together[row], rtol=1e-4, atol=1e-5)


def test_public_key_layout_and_sizes() -> None:
    with torch.device("meta"):
        state = CampPlus(CampPlusConfig()).state_dict()
    assert len(state) == 937  # 815 tensors and 122 counters
    for key, shape in {
        "head.conv1.weight": (32, 1, 3, 3),
        "head.layer1.0.shortcut.0.weight": (32, 32, 1, 1),
        "xvector.tdnn.linear.weight": (128, 320, 5),
        "xvector.block1.tdnnd1.linear1.weight": (128, 128, 1),
        "xvector.block2.tdnnd24.linear1.weight": (128, 256 + 32 * 23, 1),
        "xvector.block3.tdnnd16.cam_layer.linear2.weight": (32, 64, 1),
        "xvector.transit2.linear.weight": (512, 1024, 1),
        "xvector.dense.linear.weight": (192, 1024, 1),
        "xvector.dense.nonlinear.batchnorm.running_var": (192,),
    }.items():
        assert tuple(state[key].shape) == shape, key


def test_small_sizes_train() -> None:
    torch.manual_seed(0)
    model = CampPlus(SMALL)
    style = model(torch.randn(4, 90, 80))
    assert style.shape == (4, 24)
    style.square().mul(torch.rand(4, 24)).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, name
