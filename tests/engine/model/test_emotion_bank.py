"""Emotion by weights: golden numbers, row choice, cap, strength."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import torch

from oncue_engine.model.emotion_bank import (
    EMOTION_BIAS,
    EMOTION_NAMES,
    EmotionBank,
    mix_bank,
    mix_rows,
    nearest_rows,
    normalize_weights,
    random_rows,
    scale_weights,
)
from oncue_engine.parity.golden_file import read_golden
from oncue_engine.parity.t2s import SETS

GOLDEN = Path(__file__).parents[2] / "golden" / "emo_mix.safetensors"


@pytest.fixture
def bank() -> EmotionBank:
    styles = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [3.0, 3.0], [0.0, -2.0]])
    emotions = torch.tensor([[1.0, 0, 0], [2.0, 0, 0], [0, 3.0, 0], [0, 4.0, 0], [0, 5.0, 0]])
    return EmotionBank(styles, emotions, (2, 3))


def test_golden() -> None:
    golden = read_golden(GOLDEN)
    got = SETS["emo_mix"](golden)
    assert got.keys() == golden.outputs.keys()
    assert torch.equal(got.pop("row_index"), golden.outputs["row_index"])
    for name, value in got.items():
        want = golden.outputs[name]
        assert float((value - want).abs().max() / want.abs().max()) < 1e-6, name


def test_nearest_row_is_by_angle_not_by_length_and_counted_in_its_category(bank: EmotionBank) -> None:
    assert nearest_rows(bank, torch.tensor([[0.1, 5.0]])).tolist() == [1, 1]
    assert nearest_rows(bank, torch.tensor([[0.01, -0.02]])).tolist() == [0, 2]


def test_mix_keeps_the_rest_of_the_speakers_own_emotion(bank: EmotionBank) -> None:
    own = torch.tensor([[0.0, 0.0, 10.0]])
    mixed = mix_bank(bank, torch.tensor([1, 1]), torch.tensor([0.5, 0.25]), own)
    torch.testing.assert_close(mixed, torch.tensor([[1.0, 1.0, 2.5]]))


def test_zero_weights_leave_the_own_emotion(bank: EmotionBank) -> None:
    own = torch.randn(1, 3)
    assert torch.equal(mix_bank(bank, torch.tensor([1, 2]), torch.zeros(2), own), own)


def test_weights_above_one_push_past_the_own_emotion(bank: EmotionBank) -> None:
    own = torch.tensor([[0.0, 0.0, 1.0]])
    mixed = mix_bank(bank, torch.tensor([0, 1]), torch.tensor([1.0, 0.5]), own)
    assert mixed[0, 2] == -0.5  # 1 - 1.5: the library does not cap


def test_random_rows_hang_on_the_seed_alone(bank: EmotionBank) -> None:
    drawn = Counter(tuple(random_rows(bank, seed).tolist()) for seed in range(600))
    assert drawn.keys() == {(i, j) for i in range(2) for j in range(3)}
    assert min(drawn.values()) > 60  # 100 expected of each
    # Neither what was drawn before nor the rows of other categories matter; every seed of the contract is one.
    wider = EmotionBank(torch.zeros(20, 2), torch.zeros(20, 3), (17, 3))
    for seed in (0, 1, 2**32 - 1, 2**64 - 1):
        assert torch.equal(random_rows(bank, seed), random_rows(bank, seed))
        assert random_rows(wider, seed)[1] == random_rows(bank, seed)[1]
    assert mix_rows(bank, torch.tensor([1, 2]), torch.tensor([1.0, 1.0])).tolist() == [[2.0, 5.0, 0.0]]


def test_bias_and_cap_are_two_switches() -> None:
    small, large = [0.4] + [0.0] * 7, [0.5] * 8
    assert normalize_weights(small, bias=False, cap=True) == normalize_weights(small, bias=False, cap=False) == small
    assert sum(normalize_weights(large, bias=False, cap=True)) == pytest.approx(0.8)
    assert normalize_weights(large, bias=True, cap=False) == [0.5 * factor for factor in EMOTION_BIAS]
    both = normalize_weights(large, bias=True, cap=True)
    assert sum(both) == pytest.approx(0.8)
    assert both[1] / both[2] == pytest.approx(0.875)  # the bias comes first


def test_strength_is_clamped_and_cuts_to_four_decimals() -> None:
    assert scale_weights([0.33333, 0.9], 1.0) == [0.33333, 0.9]
    assert scale_weights([0.33333, 0.9], 7.0) == [0.33333, 0.9]
    assert scale_weights([0.33339, 0.9], 0.5) == [0.1666, 0.45]
    assert scale_weights([0.5], -1.0) == [0.0]


def test_eight_names_in_the_public_order() -> None:
    assert EMOTION_NAMES[0] == "happy" and EMOTION_NAMES[7] == "calm" and len(EMOTION_NAMES) == 8


def test_bank_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="counts"):
        EmotionBank(torch.zeros(4, 2), torch.zeros(5, 3), (2, 3))
    for rows, counts in ((2, (3, -1)), (0, (0, 0)), (0, ())):
        with pytest.raises(ValueError, match="counts"):
            EmotionBank(torch.zeros(rows, 2), torch.zeros(rows, 3), counts)


def test_a_category_without_rows_is_mixed_by_nobody(bank: EmotionBank) -> None:
    gap = EmotionBank(bank.styles, bank.emotions, (2, 0, 3))
    style, own = torch.tensor([[0.0, 1.0]]), torch.tensor([[0.0, 0.0, 10.0]])
    assert nearest_rows(gap, style).tolist() == [1, -1, 1]
    assert random_rows(gap, 0).tolist()[1] == -1
    rows = nearest_rows(gap, style)
    mixed = mix_bank(gap, rows, torch.tensor([0.5, 0.0, 0.25]), own)
    torch.testing.assert_close(mixed, mix_bank(bank, nearest_rows(bank, style), torch.tensor([0.5, 0.25]), own))
    with pytest.raises(ValueError, match=r"\[1\]"):
        mix_bank(gap, rows, torch.tensor([0.5, 0.1, 0.25]), own)
