"""Stage 7: codes and latents to mel, by flow matching on the frames after the prompt.

A training row is [crop of another clip of the speaker | crop of the target], each length-regulated by itself as in
synthesis. A random beginning of the target is given as prompt mel too: that is what a stream's later chunks see. Half of
the rows get the latents of the language model, and a tenth loses style, prompt and condition, for guidance.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from oncue_engine.model.codec import SemanticCodec
from oncue_engine.model.flow import solve, training_pair
from oncue_engine.model.s2mel import S2Mel, S2MelConfig
from oncue_engine.training.batches import endless_batches
from oncue_engine.training.features import FRAMES_PER_TOKEN
from oncue_engine.training.loop import LoopConfig, train

__all__ = ["MelItem", "S2MelTraining", "train_s2mel"]


@dataclass(frozen=True, slots=True)
class S2MelTraining:
    frame_budget: int = 5600
    latent_share: float = 0.5
    drop_share: float = 0.1
    max_prompt_codes: int = 50
    max_target_codes: int = 90
    continued_share: float = 0.6
    """Rows whose target begins with given frames."""


@dataclass(frozen=True, slots=True, eq=False)
class MelItem:
    codes: npt.NDArray[np.int16]
    """[N]"""
    latents: npt.NDArray[np.float16]
    """[N, M] of the trained language model."""
    mel: npt.NDArray[np.float16]
    """[F, 80]"""
    style: npt.NDArray[np.float32]
    speaker: int


@dataclass(frozen=True, slots=True)
class _Row:
    prompt: MelItem
    prompt_begin: int
    prompt_codes: int
    target: MelItem
    target_begin: int
    target_codes: int
    given_codes: int
    style: MelItem
    """Whose style: the prompt's clip, as in synthesis."""


def _cut(values: npt.NDArray[np.float16], begin: int, codes: int) -> Tensor:
    first = int(begin * FRAMES_PER_TOKEN)
    rows = values[first : first + int(codes * FRAMES_PER_TOKEN)]
    return torch.from_numpy(rows.astype(np.float32))


class _Assembler:
    """Draws rows and turns them into tensors."""

    def __init__(self, items: Sequence[MelItem], codec: SemanticCodec, model: S2Mel, settings: S2MelTraining) -> None:
        self.by_speaker: dict[int, list[MelItem]] = defaultdict(list)
        for item in items:
            self.by_speaker[item.speaker].append(item)
        self.codec = codec
        self.model = model
        self.settings = settings

    def draw(self, target: MelItem, rng: random.Random) -> _Row:
        s = self.settings
        codes = min(len(target.codes), rng.randint(16, s.max_target_codes))
        begin = 2 * rng.randrange((len(target.codes) - codes) // 2 + 1)  # even, so that mel frames begin at a whole frame
        prompt = rng.choice(self.by_speaker[target.speaker])
        prompt_codes = 2 * (min(len(prompt.codes), rng.randint(12, s.max_prompt_codes)) // 2)
        prompt_begin = 2 * rng.randrange((len(prompt.codes) - prompt_codes) // 2 + 1)
        given = rng.randint(1, max(1, codes - 8)) if rng.random() < s.continued_share else 0
        return _Row(prompt, prompt_begin, prompt_codes, target, begin, codes, given, prompt)

    def tensors(self, rows: Sequence[_Row], rng: random.Random) -> dict[str, Tensor]:
        """mel [B,80,F], prompt_x, mu [B,F,C], style, lengths, and `solved` [B,1,F]: where the loss counts."""
        mels, mus, lengths, begins = [], [], [], []
        for row in rows:
            p, t = row.prompt, row.target
            parts = []
            with_latents = rng.random() < self.settings.latent_share
            for item, begin, codes, latents in (
                (p, row.prompt_begin, row.prompt_codes, False),
                (t, row.target_begin, row.target_codes, with_latents),
            ):
                ids = torch.from_numpy(item.codes[begin : begin + codes].astype(np.int64))
                with torch.no_grad():
                    semantic = self.codec.embed(ids[None])
                if latents:
                    state = torch.from_numpy(item.latents[begin : begin + codes].astype(np.float32))
                    semantic = self.model.semantic(state[None], semantic)
                parts.append(self.model.length_regulator(semantic, int(codes * FRAMES_PER_TOKEN))[0])
            mus.append(torch.cat(parts))
            mels.append(
                torch.cat([_cut(p.mel, row.prompt_begin, row.prompt_codes), _cut(t.mel, row.target_begin, row.target_codes)])
            )
            lengths.append(len(mels[-1]))
            begins.append(len(parts[0]) + int(row.given_codes * FRAMES_PER_TOKEN))
        longest = max(lengths)
        mel = torch.stack([torch.nn.functional.pad(m, (0, 0, 0, longest - len(m))) for m in mels]).transpose(1, 2)
        mu = torch.stack([torch.nn.functional.pad(m, (0, 0, 0, longest - len(m))) for m in mus])
        frame = torch.arange(longest)[None]
        begin_at, end_at = torch.tensor(begins)[:, None], torch.tensor(lengths)[:, None]
        return {
            "mel": mel,
            "mu": mu,
            "style": torch.from_numpy(np.stack([row.style.style for row in rows])),
            "lengths": torch.tensor(lengths),
            "begins": torch.tensor(begins),
            "solved": ((frame >= begin_at) & (frame < end_at))[:, None].float(),
        }


def train_s2mel(
    items: Sequence[MelItem],
    held_out: Sequence[MelItem],
    codec: SemanticCodec,
    folder: Path,
    loop: LoopConfig,
    config: S2MelConfig,
    settings: S2MelTraining,
) -> S2Mel:
    """Train; validation prints the flow loss and the mel distance of an 8-step solution on held-out items."""
    model = S2Mel(config)
    modules = nn.ModuleDict({"s2mel": model})
    assembler = _Assembler([*items, *held_out], codec, model, settings)

    def batches(first_step: int) -> Iterator[list[MelItem]]:
        budget = settings.frame_budget
        reach = settings.max_target_codes + settings.max_prompt_codes
        return endless_batches(
            items, lambda i: int(min(len(i.codes) + 32, reach) * FRAMES_PER_TOKEN), budget, seed=7, first_step=first_step
        )

    def flow_loss(batch: Sequence[MelItem], rng: random.Random) -> Tensor:
        data = assembler.tensors([assembler.draw(item, rng) for item in batch], rng)
        solved, mel = data["solved"], data["mel"]
        t = torch.tensor([rng.random() for _ in batch])
        keep = torch.tensor([float(rng.random() >= settings.drop_share) for _ in batch])[:, None, None]
        point, velocity = training_pair(torch.randn_like(mel), mel, t)
        prompt = mel * (torch.arange(mel.shape[2])[None] < data["begins"][:, None])[:, None]
        guess = model.estimator(
            point * solved, prompt * keep, data["mu"] * keep, data["style"] * keep[:, :, 0], t, data["lengths"]
        )
        return ((guess.float() - velocity).abs() * solved).sum() / (solved.sum() * mel.shape[1])

    def losses(batch: list[MelItem], step: int) -> dict[str, Tensor]:
        return {"loss": flow_loss(batch, random.Random(f"s2mel/{step}"))}

    def validate() -> dict[str, float]:
        torch.manual_seed(0)
        rng = random.Random(0)
        batch = list(held_out[:24])
        flow = torch.stack([flow_loss(batch[k : k + 8], rng) for k in range(0, 24, 8)]).mean()
        row = assembler.draw(batch[0], rng)
        errors = []
        for item in batch[:6]:
            row = assembler.draw(item, rng)
            data = assembler.tensors([row], rng)
            begin = int(data["begins"][0])
            noise = torch.randn_like(data["mel"])
            made = solve(model.estimator, noise, data["mel"][:, :, :begin], data["mu"], data["style"], 8, 0.7)
            errors.append((made - data["mel"])[:, :, begin:].abs().mean())
        return {"flow": float(flow), "mel_l1": float(torch.stack(errors).mean())}

    train("s2mel", folder, modules, batches, losses, loop, validate)
    return model
