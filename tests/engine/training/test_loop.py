"""The loop that all stages share: it learns, writes its log, and goes on exactly where it was cut off."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from oncue_engine.checkpoints.config import SemanticEncoderConfig
from oncue_engine.model.codec import CodecConfig
from oncue_engine.training.codec import Statistics, train_codec
from oncue_engine.training.encoder import semantic_statistics, train_encoder
from oncue_engine.training.features import FeatureItem
from oncue_engine.training.loop import LoopConfig, learning_rate, train


def _line(folder: Path, steps: int, until: int) -> nn.ModuleDict:
    """Fit y = 3 x; `until` is where this run ends, `steps` what the schedule is made for."""
    torch.manual_seed(0)
    modules = nn.ModuleDict({"line": nn.Linear(1, 1)})

    def batches(first: int) -> Iterator[Tensor]:
        for step in itertools.count(first):
            yield torch.randn(16, 1, generator=torch.Generator().manual_seed(step))

    def losses(x: Tensor, step: int) -> dict[str, Tensor]:
        if step >= until:
            raise InterruptedError
        return {"loss": (modules["line"](x) - 3 * x).square().mean()}

    config = LoopConfig(steps=steps, peak_lr=0.05, warmup_steps=5, bf16=False, save_every_s=0.0, log_every=10)
    try:
        train("line", folder, modules, batches, losses, config)
    except InterruptedError:
        pass
    return modules


def test_a_run_that_was_cut_off_ends_where_an_unbroken_one_does(tmp_path: Path) -> None:
    whole = _line(tmp_path / "whole", 120, 120)["line"]
    _line(tmp_path / "cut", 120, 50)
    resumed = _line(tmp_path / "cut", 120, 120)["line"]
    torch.testing.assert_close(resumed.weight, whole.weight)
    assert abs(whole.weight.item() - 3.0) < 0.1
    with (tmp_path / "whole" / "log.csv").open() as file:
        losses = [float(row["value"]) for row in csv.DictReader(file)]
    assert len(losses) == 12 and losses[-1] < 0.05 * losses[0]


def test_learning_rate_rises_then_falls_to_its_floor() -> None:
    config = LoopConfig(steps=100, peak_lr=1.0, warmup_steps=10, final_lr_share=0.1)
    rates = [learning_rate(config, step) for step in range(101)]
    assert max(rates) == rates[9] == 1.0
    assert all(a <= b for a, b in itertools.pairwise(rates[:10]))
    assert all(a >= b for a, b in itertools.pairwise(rates[10:]))
    assert abs(rates[100] - 0.1) < 1e-9


def _items(count: int) -> list[FeatureItem]:
    """Clips whose features tell their phone: each of four phones lights its own band."""
    rng = np.random.default_rng(0)
    items = []
    for _ in range(count):
        phones = np.repeat(rng.integers(1, 5, 10), 3).astype(np.uint8)  # [30]
        speech = 0.1 * rng.standard_normal((30, 320))
        speech[np.arange(30), 20 * phones] += 4.0
        items.append(
            FeatureItem(
                speech=speech.astype(np.float16),
                mel=np.zeros((75, 80), np.float16),
                phones=np.stack([phones, phones], axis=1),
                pitch=np.zeros(30, np.float16),
                voiced=np.ones(30, np.bool_),
                energy=np.zeros(30, np.float16),
                text=(7,),
                speaker=0,
                emotion=0,
                sentence="",
            )
        )
    return items


def test_encoder_and_codec_learn_what_there_is_to_hear(tmp_path: Path) -> None:
    torch.manual_seed(0)
    items, held_out = _items(150), _items(8)
    size = SemanticEncoderConfig(32, 1, 2, 32, 3, 32, 32)
    loop = LoopConfig(steps=40, peak_lr=1e-2, warmup_steps=5, bf16=False)
    modules = train_encoder(items, held_out, tmp_path / "encoder", loop, size, feature_stride=4)
    assert _valid(tmp_path / "encoder", "phone_accuracy") > 0.9
    mean, var = semantic_statistics(modules["encoder"], items[:30])
    config = CodecConfig(16, 32, 8, 16, 32, 1, has_decoder=True)
    loop = LoopConfig(steps=320, peak_lr=5e-3, warmup_steps=5, bf16=False)
    train_codec(modules, Statistics(mean, var), items, held_out, tmp_path / "codec", loop, config)
    assert _valid(tmp_path / "codec", "phone_accuracy") > 0.8
    assert _valid(tmp_path / "codec", "perplexity") > 2.0


def _valid(folder: Path, name: str) -> float:
    with (folder / "log.csv").open() as file:
        return [float(row["value"]) for row in csv.DictReader(file) if row["name"] == f"valid_{name}"][-1]
