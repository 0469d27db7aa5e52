"""What later stages find of earlier ones: the vocoder of the last stage that trained it, and how it reads pitch."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest
import torch

from oncue_engine.model.bigvgan import BigVGAN
from oncue_engine.training.trained_parts import TrainedParts


def _parts(home: Path, harmonic_source: bool) -> TrainedParts:
    text = (resources.files("oncue_engine.training") / "nano.yaml").read_text(encoding="utf-8")
    config, schedule = home / "model.yaml", home / "recipe.yaml"
    config.write_text(text.replace("harmonic_source: true", f"harmonic_source: {str(harmonic_source).lower()}"))
    schedule.write_text("vocoder: {steps: 1, peak_lr: 1.0e-3}\n")
    return TrainedParts(home, 1, config, schedule)


def _leave(parts: TrainedParts, stage: str, bias: float) -> None:
    """The state of a stage, with a bias that tells it from others."""
    vocoder = BigVGAN(parts.config.vocoder)
    weights = {f"vocoder.{key}": value for key, value in vocoder.state_dict().items()}
    weights["vocoder.conv_pre.bias"].fill_(bias)
    folder = parts.home / "nano" / stage
    folder.mkdir(parents=True)
    torch.save({"modules": weights, "average": {}}, folder / "state.pt")


def test_the_vocoder_is_that_of_the_last_stage_that_trained_it(tmp_path: Path) -> None:
    parts = _parts(tmp_path, harmonic_source=True)
    _leave(parts, "vocoder", 0.25)
    assert parts.vocoder_stage == "vocoder"
    assert float(parts.vocoder().state_dict()["conv_pre.bias"][0]) == 0.25
    _leave(parts, "vocoder_made", 0.5)
    assert parts.vocoder_stage == "vocoder_made"
    assert float(parts.vocoder().state_dict()["conv_pre.bias"][0]) == 0.5


@pytest.mark.parametrize("harmonic_source", [True, False])
def test_pitch_is_read_where_the_vocoder_has_a_source(tmp_path: Path, harmonic_source: bool) -> None:
    parts = _parts(tmp_path, harmonic_source)
    _leave(parts, "vocoder", 0.0)
    reader = parts.pitch_predictor()
    assert (reader is not None) == harmonic_source
    if reader is not None:
        assert [tuple(value.shape) for value in reader(torch.zeros(1, 80, 7))] == [(1, 7), (1, 7)]
