"""Stage 5: the style encoder, CAMPPlus on speakers told apart.

Every speaker also occurs resampled, as a further speaker, so that the vector follows formants and F0 smoothly instead
of naming the few speakers there are. Emotion and pace vary within a speaker and are thereby left out of the vector.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soxr
import torch
from torch import Tensor, nn
from torch.nn import functional

from oncue_engine.frontend.fbank import fbank
from oncue_engine.model.campplus import CampPlus, CampPlusConfig
from oncue_engine.training.loop import LoopConfig, train
from oncue_engine.training.teacher import SAMPLE_RATE_HZ

__all__ = ["StyleItem", "build_style_items", "style_of", "train_style"]

_WARPS = (0.93, 1.0, 1.075)
_SCALE, _MARGIN = 24.0, 0.2


@dataclass(frozen=True, slots=True, eq=False)
class StyleItem:
    bank: npt.NDArray[np.float16]
    """[F, 80] filterbank at 100 frames a second, mean not removed."""
    label: int


def build_style_items(clips: Sequence[tuple[npt.NDArray[np.int16], int]]) -> list[StyleItem]:
    """Filterbanks of (samples, speaker) clips, a third of them at each warp."""
    items = []
    for i, (samples, speaker) in enumerate(clips):
        warp = i % len(_WARPS)
        wave = samples.astype(np.float32) / 32768.0
        if _WARPS[warp] != 1.0:
            wave = soxr.resample(wave, SAMPLE_RATE_HZ * _WARPS[warp], SAMPLE_RATE_HZ)
        bank = fbank(torch.from_numpy(wave), SAMPLE_RATE_HZ)
        items.append(StyleItem(bank.numpy().astype(np.float16), speaker * len(_WARPS) + warp))
    return items


class _MarginHead(nn.Module):
    """Cosine classifier with an additive margin on the right class."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(classes, width) * 0.05)

    def forward(self, style: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        cosine = functional.normalize(style.float(), dim=-1) @ functional.normalize(self.weight, dim=-1).T
        margin = functional.one_hot(labels, len(self.weight)) * _MARGIN
        return functional.cross_entropy(_SCALE * (cosine - margin), labels), cosine.argmax(-1)


def _batch(items: Sequence[StyleItem], frames: int, rng: random.Random) -> Tensor:
    rows = []
    for item in items:
        begin = rng.randrange(max(1, len(item.bank) - frames))
        row = item.bank[begin : begin + frames]
        if len(row) < frames:
            row = np.resize(row, (frames, row.shape[1]))
        rows.append(row.astype(np.float32))
    x = torch.from_numpy(np.stack(rows)).to(torch.get_default_device())
    return x - x.mean(dim=1, keepdim=True)


def train_style(
    items: Sequence[StyleItem], speakers: int, folder: Path, loop: LoopConfig, config: CampPlusConfig
) -> CampPlus:
    """Train; the log holds the accuracy over speakers and warps in training."""
    classes = speakers * len(_WARPS)
    modules = nn.ModuleDict({"style": CampPlus(config), "head": _MarginHead(config.embedding_size, classes)})

    def batches(first_step: int) -> Iterator[list[StyleItem]]:
        by_label: dict[int, list[StyleItem]] = defaultdict(list)
        for item in items:
            by_label[item.label].append(item)
        labels = sorted(by_label)
        step = first_step
        while True:
            rng = random.Random(f"style/{step}")
            yield [rng.choice(by_label[label]) for label in rng.sample(labels, min(48, len(labels)))]
            step += 1

    def losses(batch: list[StyleItem], step: int) -> dict[str, Tensor]:
        rng = random.Random(f"style-crop/{step}")
        x = _batch(batch, rng.choice((120, 160, 220)), rng)
        labels = torch.tensor([item.label for item in batch])
        loss, guess = modules["head"](modules["style"](x), labels)
        return {"loss": loss, "accuracy": (guess == labels).float().mean()}

    train("style", folder, modules, batches, losses, loop)
    model: CampPlus = modules["style"]  # type: ignore[assignment]
    return model.eval()


def style_of(model: CampPlus, samples: npt.NDArray[np.int16]) -> Tensor:
    """[192] of a whole clip, as conditioning computes it."""
    bank = fbank(torch.from_numpy(samples.astype(np.float32) / 32768.0), SAMPLE_RATE_HZ)
    with torch.inference_mode():
        style: Tensor = model((bank - bank.mean(dim=0, keepdim=True))[None])[0]
    return style
