"""S2M training: what its variants learn, from items whose mel is a function of the codes, the latents and the words."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from oncue_engine.model.codec import CodecConfig, SemanticCodec
from oncue_engine.model.dit import DiTConfig
from oncue_engine.model.harmonic_source import PitchPredictor
from oncue_engine.model.length_regulator import LengthRegulatorConfig
from oncue_engine.model.s2mel import S2MelConfig
from oncue_engine.model.wavenet import WaveNetConfig
from oncue_engine.training.loop import LoopConfig
from oncue_engine.training.mel_heads import pitch_distance
from oncue_engine.training.s2mel import (
    MelItem,
    S2MelTraining,
    batch_tensors,
    render,
    s2mel_modules,
    train_s2mel,
    whole_item,
)

CONFIG = S2MelConfig(
    gpt_layer_widths=(6, 8, 8, 16),
    length_regulator=LengthRegulatorConfig(channels=24, in_channels=16, num_convs=2),
    dit=DiTConfig(
        hidden_dim=32,
        num_heads=2,
        depth=2,
        content_dim=24,
        style_dim=8,
        wavenet=WaveNetConfig(hidden_dim=32, num_layers=2),
    ),
)
SETTINGS = S2MelTraining(frame_budget=600, prompt_codes=(8,), target_codes=(16, 24))


def items(count: int, seed: int = 0) -> list[MelItem]:
    """A code's mel is a hill whose place the code tells; its height is told by the latents and the words alone."""
    rng = np.random.default_rng(seed)
    made = []
    for i in range(count):
        codes = rng.integers(0, 8, 30)
        height = rng.choice([1.0, 3.0], 30)
        frames = (np.arange(75) / 2.5).astype(int)
        hill = np.exp(-0.5 * ((np.arange(80)[None] - 8 * codes[frames, None] - 10) / 6) ** 2)
        latents = np.repeat(height[:, None] - 2.0, 6, axis=1)
        made.append(
            MelItem(
                codes=codes.astype(np.int16),
                latents=latents.astype(np.float16),
                mel=(height[frames, None] * hill - 2).astype(np.float16),
                style=np.full(8, i % 2, np.float32),
                speaker=i % 2,
                words=latents[:, :3].astype(np.float16),
            )
        )
    return made


def codec() -> SemanticCodec:
    torch.manual_seed(0)
    return SemanticCodec(CodecConfig(8, 16, 4, 16, 16, 1)).eval().requires_grad_(False)


def _trained(folder: Path, settings: S2MelTraining, steps: int = 120) -> dict[str, float]:
    torch.manual_seed(1)
    loop = LoopConfig(steps=steps, peak_lr=4e-3, warmup_steps=10, bf16=False, log_every=10)
    train_s2mel(items(40), items(8, 9), codec(), folder, loop, CONFIG, settings)
    with (folder / "log.csv").open() as file:
        return {row["name"]: float(row["value"]) for row in csv.DictReader(file)}


def test_flow_learns_and_tells_what_it_can_do_with_codes_and_with_latents(tmp_path: Path) -> None:
    start = _trained(tmp_path / "start", SETTINGS, steps=1)
    found = _trained(tmp_path / "flow", SETTINGS, steps=60)
    assert found["valid_flow"] < 0.9 * start["valid_flow"]
    assert {"valid_mel_l1_codes", "valid_mel_l1_latents"} <= found.keys()
    state = torch.load(tmp_path / "flow" / "state.pt", weights_only=True)
    assert all(key.startswith("s2mel.") for key in state["modules"]), "the served network and nothing else"


class _Hill(PitchPredictor):
    """Reads where the energy lies: two octaves from the lowest band to the highest."""

    def forward(self, mel: Tensor) -> tuple[Tensor, Tensor]:
        share = (2.0 * mel.clamp(-2.0, 2.0)).softmax(dim=1)
        place = (share * torch.arange(80.0)[:, None]).sum(dim=1) / 40.0
        return place, 4.0 * torch.ones_like(place)


def _pitched(folder: Path, settings: S2MelTraining, steps: int) -> dict[str, float]:
    torch.manual_seed(1)
    loop = LoopConfig(steps=steps, peak_lr=4e-3, warmup_steps=10, bf16=False, log_every=10)
    train_s2mel(items(40), items(8, 9), codec(), folder, loop, CONFIG, settings, _Hill(80).requires_grad_(False))
    with (folder / "log.csv").open() as file:
        return {row["name"]: float(row["value"]) for row in csv.DictReader(file)}


def test_pitch_is_learnt_in_the_mel_and_in_the_condition(tmp_path: Path) -> None:
    start = _pitched(tmp_path / "start", SETTINGS, steps=1)
    found = _pitched(tmp_path / "with", SETTINGS, steps=60)
    without = _pitched(tmp_path / "without", replace(SETTINGS, pitch_weight=0.0), steps=60)
    for name in ("valid_told_pitch", "valid_told_mel"):
        assert found[name] < 0.5 * start[name], name
    assert found["valid_pitch"] < 0.97 * without["valid_pitch"], "the flow's own loss weighs it less"


def test_pitch_counts_where_the_frame_is_voiced_and_solved() -> None:
    octaves, logit = torch.tensor([[1.0, 2.0, 3.0, 4.0]]), torch.full((1, 4), 9.0)
    true = torch.tensor([[1.5, 2.0, 0.0, 0.0]]), torch.tensor([[1.0, 1.0, 0.0, 1.0]])
    counted = torch.tensor([[1.0, 1.0, 1.0, 0.0]])
    voicing = nn.functional.binary_cross_entropy_with_logits(logit[:, :3], true[1][:, :3])
    expected = 0.25 + 0.2 * voicing
    torch.testing.assert_close(pitch_distance((octaves, logit), true, counted), expected)
    assert pitch_distance((octaves, logit), true, torch.zeros(1, 4)) == 0


def test_regression_learns_in_the_same_loop(tmp_path: Path) -> None:
    settings = replace(SETTINGS, objective="regression", latent_share=0.0, text_width=3)
    start = _trained(tmp_path / "start", settings, steps=1)
    found = _trained(tmp_path / "regression", settings, steps=40)
    assert found["valid_regression"] < 0.5 * start["valid_regression"]
    assert "valid_mel_l1_codes" in found and "valid_mel_l1_latents" not in found, "it never saw latents"


def _condition(settings: S2MelTraining, target: MelItem, share: float) -> Tensor:
    """mu of the target after a fixed prompt, by a fixed network."""
    torch.manual_seed(2)
    modules = s2mel_modules(CONFIG, settings).eval()
    return batch_tensors(modules, codec(), whole_item(items(1)[0], 8, target), share)["mu"].detach()


def test_each_variant_hears_its_own_inputs_and_no_others() -> None:
    target = items(2)[1]
    assert target.words is not None
    other_latents = replace(target, latents=-target.latents)
    other_words = replace(target, words=-target.words)
    told = {
        (width, share, name): not torch.equal(
            _condition(replace(SETTINGS, text_width=width), target, share),
            _condition(replace(SETTINGS, text_width=width), changed, share),
        )
        for width in (0, 3)
        for share in (0.0, 1.0)
        for name, changed in (("latents", other_latents), ("words", other_words))
    }
    assert told == {key: key[1] == 1.0 if key[2] == "latents" else key[0] == 3 for key in told}


def test_regression_renders_the_same_mel_whatever_the_noise_and_leaves_the_prompt_alone() -> None:
    settings = replace(SETTINGS, objective="regression")
    modules = s2mel_modules(CONFIG, settings).eval()
    prompt, target = items(2)
    data = batch_tensors(modules, codec(), whole_item(prompt, 8, target), 1.0)
    assert data["mel"].shape == (1, 80, 20 + 75)
    torch.manual_seed(0)
    first = render(modules["s2mel"], data, settings, 8, 0.7)
    second = render(modules["s2mel"], data, settings, 1, 0.0)
    assert torch.equal(first, second)
    assert not first[:, :, :20].any() and first[:, :, 20:].abs().min() > 0


def test_items_without_words_are_refused_by_a_model_that_reads_them() -> None:
    settings = replace(SETTINGS, text_width=3)
    modules = s2mel_modules(CONFIG, settings)
    prompt, target = (replace(item, words=None) for item in items(2))
    with pytest.raises(ValueError, match="no text features"):
        batch_tensors(modules, codec(), whole_item(prompt, 8, target), 1.0)
