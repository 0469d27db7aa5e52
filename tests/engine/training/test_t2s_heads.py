"""What only training has: reversed gradients, hidden codes, the two stages."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from oncue_engine.model.t2s_config import ConditionConfig, T2SConfig
from oncue_engine.training.loop import LoopConfig
from oncue_engine.training.t2s import EMOTION_PARTS, PromptPicker, T2STraining, forward_states, t2s_modules, train_t2s
from oncue_engine.training.t2s_heads import EmotionHeads, StateHeads, reverse_gradient
from oncue_engine.training.tokens import TokenItem

_PART = ConditionConfig(16, 32, 2, 1, 1, 100)
CONFIG = T2SConfig(
    model_dim=32, layers=3, heads=2, max_mel_tokens=60, max_text_tokens=30, number_text_tokens=47, number_mel_codes=26,
    start_mel_token=24, stop_mel_token=25, condition_module=_PART, emo_condition_module=_PART, codes_width=16,
    conditioning_latents=2, emotion_width=16, duration_row="tied",
)  # fmt: skip
TINY = T2STraining(budget=400, max_prompt_frames=30)


def items(count: int) -> list[TokenItem]:
    rng = np.random.default_rng(0)
    made = []
    for i in range(count):
        n = int(rng.integers(26, 40))
        made.append(
            TokenItem(
                rng.integers(0, 24, n).astype(np.int16), rng.standard_normal((n, 16)).astype(np.float16),
                rng.standard_normal((int(2.5 * n), 80)).astype(np.float16), tuple(rng.integers(2, 40, 12).tolist()),
                np.minimum(np.arange(n) // 3, 11).astype(np.int16), i % 3, i % 7, f"sentence {i}",
            )
        )  # fmt: skip
    return made


def test_reversed_gradient_is_negative_and_scaled() -> None:
    x = torch.tensor([1.0, -2.0], requires_grad=True)
    y = reverse_gradient(x, 0.25)
    assert torch.equal(y, x)
    (y * torch.tensor([4.0, 8.0])).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [-1.0, -2.0]


def test_without_reversal_the_vector_hears_nothing_of_the_speaker() -> None:
    torch.manual_seed(0)
    heads = EmotionHeads(8, 7, 3)
    vector = torch.randn(4, 8, requires_grad=True)
    labels = torch.tensor([0, 1, 2, 0])
    for strength in (0.0, 1.0):
        vector.grad = None
        heads.losses(vector, labels, labels, strength)["speaker"].backward()
        assert vector.grad is not None
        assert bool(vector.grad.abs().sum() > 0) == (strength > 0)


def test_state_heads_learn_what_is_left() -> None:
    torch.manual_seed(0)
    heads = StateHeads(4, 80)
    left = torch.tensor([0.0, 50.0, 100.0])
    with torch.no_grad():
        heads.left.weight.zero_()
        heads.left.weight[0, 0] = 1.0
        heads.left.bias.zero_()
    latents = torch.stack([left / 50.0, *[torch.zeros(3)] * 3], 1)
    assert heads.left_loss(latents, left).item() == pytest.approx(0.0)


def test_hidden_codes_are_not_read_and_their_positions_are() -> None:
    torch.manual_seed(0)
    model = t2s_modules(CONFIG, TINY, 3)["t2s"].eval()
    data = items(2)
    batch = PromptPicker(data).batch(data, TINY, random.Random(0), CONFIG)
    free = torch.tensor([False, False])
    everything = torch.ones_like(batch.codes, dtype=torch.bool)
    emotion = model.emotion_vector(batch.emotion_prompt, batch.emotion_lengths)
    first, _ = forward_states(model, batch, free, emotion, everything)
    batch.codes.copy_((batch.codes + 5) % 24)
    second, _ = forward_states(model, batch, free, emotion, everything)
    read, _ = forward_states(model, batch, free, emotion)
    torch.testing.assert_close(first, second)
    assert (read - first).abs().max() > 1e-3


@pytest.mark.parametrize("tied", [True, False])
def test_the_second_stage_leaves_the_emotion_conditioner_as_it_is(tmp_path: Path, tied: bool) -> None:
    torch.manual_seed(0)
    settings = T2STraining(budget=400, max_prompt_frames=30, tied_length=tied)
    loop = LoopConfig(steps=2, peak_lr=1e-2, warmup_steps=1, bf16=False)
    data = items(14)
    first = train_t2s(data, data[:3], tmp_path / "one", loop, CONFIG, settings, "emotion", 3)
    before = {key: value.clone() for key, value in first.state_dict().items()}
    second = train_t2s(data, data[:3], tmp_path / "two", loop, CONFIG, settings, "main", 3, first)
    after = second.state_dict()
    moved = {key for key in before if not torch.equal(before[key], after[key])}
    assert moved and not any(key.startswith(EMOTION_PARTS) for key in moved)
