"""The length regulator: golden numbers, and the traps of spec 11 (11, 24, 25) by name."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from oncue_engine.errors import CheckpointError
from oncue_engine.model.length_regulator import LengthRegulator, LengthRegulatorConfig, mel_frames
from oncue_engine.parity.acoustic import load_s2mel
from oncue_engine.parity.golden_file import read_golden

GOLDEN = Path(__file__).parents[2] / "golden" / "s2mel.safetensors"


@pytest.fixture
def regulator() -> LengthRegulator:
    torch.manual_seed(0)
    regulator = LengthRegulator(LengthRegulatorConfig(channels=10, in_channels=6, num_convs=2)).eval()
    for layer in regulator.model:
        if isinstance(layer, torch.nn.GroupNorm):
            torch.nn.init.normal_(layer.weight, 1.0, 0.3)
            torch.nn.init.normal_(layer.bias)
    return regulator


@torch.no_grad()
def test_golden_prompt_condition() -> None:
    golden = read_golden(GOLDEN)
    want = golden.outputs["cond_prompt"]
    got = load_s2mel(golden).length_regulator(golden.inputs["ref_semantic_emb"], want.shape[1])
    assert (got - want).abs().max() <= 2e-5 * want.abs().max()


def test_mel_frames_agree_in_both_precisions_up_to_the_longest_utterance() -> None:
    counts = torch.arange(1, 1816)
    single = (counts * torch.tensor(1.72, dtype=torch.float32)).long().tolist()
    double = (counts * torch.tensor(1.72, dtype=torch.float64)).long().tolist()
    assert [mel_frames(count, 1.72) for count in counts.tolist()] == single == double


def test_mel_frames_count_the_cut_codes() -> None:
    stop = 99
    codes = [7, 8, 9, stop, 4, 4]
    cut = codes[: codes.index(stop)]
    assert mel_frames(len(cut), 1.72) == 5
    assert mel_frames(3, 2.5) == 7, "the ratio is the model's, and the rest is cut, not rounded"


@torch.no_grad()
@pytest.mark.parametrize("num_codes", [1, 2, 7, 23, 100, 313])
def test_stretching_takes_the_nearest_neighbour(regulator: LengthRegulator, num_codes: int) -> None:
    x = torch.randn(1, num_codes, 6)
    for num_frames in [1, 3, num_codes, 2 * num_codes, mel_frames(num_codes, 1.72) or 1, 3 * num_codes - 1]:
        projected = regulator.content_in_proj(x).transpose(1, 2)
        want = regulator.model(F.interpolate(projected, size=num_frames, mode="nearest")).transpose(1, 2)
        assert torch.allclose(regulator(x, num_frames), want, atol=1e-6)


@torch.no_grad()
def test_stretching_is_not_linear(regulator: LengthRegulator) -> None:
    x = torch.randn(1, 9, 6)
    linear = F.interpolate(regulator.content_in_proj(x).transpose(1, 2), size=20, mode="linear")
    assert not torch.allclose(regulator(x, 20), regulator.model(linear).transpose(1, 2), atol=1e-3)


@torch.no_grad()
def test_group_norm_is_global_over_time(regulator: LengthRegulator) -> None:
    x = torch.randn(1, 60, 6)
    changed = x.clone()
    changed[:, -1] += 20.0
    first, other = regulator(x, 60)[:, 0], regulator(changed, 60)[:, 0]
    assert (first - other).abs().max() > 1e-3, "far beyond the reach of the convolutions"
    padded = regulator(F.pad(x, (0, 0, 0, 20)), 80)
    assert (padded[:, 0] - first).abs().max() > 1e-3


@torch.no_grad()
def test_ragged_rows_equal_single_rows(regulator: LengthRegulator) -> None:
    x = torch.randn(4, 31, 6)
    lengths, frames = torch.tensor([31, 17, 1, 20]), torch.tensor([53, 29, 2, 11])
    together = regulator(x, 53, lengths=lengths, frames=frames)
    for row, (length, count) in enumerate(zip(lengths.tolist(), frames.tolist(), strict=True)):
        alone = regulator(x[row : row + 1, :length], count)
        assert torch.allclose(together[row : row + 1, :count], alone, atol=1e-5)
        assert not together[row, count:].any()


@torch.no_grad()
def test_ragged_rows_in_half_precision_follow_full_precision(regulator: LengthRegulator) -> None:
    x, lengths, frames = torch.randn(2, 331, 6), torch.tensor([331, 200]), torch.tensor([569, 343])
    want = regulator(x, 569, lengths=lengths, frames=frames)
    with torch.autocast("cpu", torch.bfloat16):
        got = regulator(x, 569, lengths=lengths, frames=frames)
    assert (got - want).abs().max() <= 0.03 * want.abs().max()


def test_ragged_rows_need_both_lengths(regulator: LengthRegulator) -> None:
    with pytest.raises(ValueError, match="together"):
        regulator(torch.randn(2, 5, 6), 8, lengths=torch.tensor([5, 4]))


def test_public_keys_without_a_use_are_let_through(regulator: LengthRegulator) -> None:
    state = {**regulator.state_dict(), "embedding.weight": torch.zeros(2, 10), "mask_token": torch.zeros(1, 10)}
    regulator.load_state_dict(state)
    with pytest.raises(RuntimeError, match="stranger"):
        regulator.load_state_dict({**state, "stranger": torch.zeros(1)})


def test_misshapen_weights_raise(regulator: LengthRegulator) -> None:
    state = dict(regulator.state_dict())
    state["model.3.weight"] = state["model.3.weight"][..., :1]
    with pytest.raises(RuntimeError, match=r"size mismatch for model\.3\.weight"):
        regulator.load_state_dict(state)


@pytest.mark.parametrize("change", [{"is_discrete": True}, {"f0_condition": True}, {"sampling_ratios": [1, 2]}])
def test_configs_of_other_structure_are_refused(change: dict[str, object]) -> None:
    section = {"channels": 8, "in_channels": 6, "sampling_ratios": [1, 1, 1, 1]}
    assert LengthRegulatorConfig.from_public(section) == LengthRegulatorConfig(8, 6, 4)
    with pytest.raises(CheckpointError):
        LengthRegulatorConfig.from_public({**section, **change})
