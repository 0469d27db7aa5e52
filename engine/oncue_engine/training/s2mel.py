"""Stage 7: codes and latents to mel, by flow matching on the frames after the prompt.

A training row is [crop of another clip of the speaker | crop of the target], each length-regulated by itself as in
synthesis. A random beginning of the target is given as prompt mel too: that is what a stream's later chunks see. Half
of the rows get the latents of the language model, and a tenth loses style, prompt and condition, for guidance.
"""

from __future__ import annotations

import itertools
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
from oncue_engine.training.features import FRAMES_PER_TOKEN
from oncue_engine.training.loop import LoopConfig, train

__all__ = ["MelItem", "S2MelTraining", "train_s2mel"]


@dataclass(frozen=True, slots=True)
class S2MelTraining:
    frame_budget: int = 4800
    """Frames in a batch, prompts included."""
    latent_share: float = 0.5
    drop_share: float = 0.1
    prompt_codes: tuple[int, ...] = (14, 22, 30, 38, 46)
    target_codes: tuple[int, ...] = (24, 32, 40, 48, 56, 64, 72, 80)
    """All rows of a batch are equally long: one of these each, so that shapes recur."""
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
    target: MelItem
    target_begin: int
    given_codes: int


@dataclass(frozen=True, slots=True)
class _Batch:
    rows: tuple[_Row, ...]
    prompt_codes: int
    target_codes: int
    seed: str


def _frames(codes: int) -> int:
    return int(codes * FRAMES_PER_TOKEN)


def _mel(item: MelItem, begin: int, codes: int) -> Tensor:
    """[frames, 80] of a crop; `begin` is even, so that it falls on a whole frame."""
    return torch.from_numpy(item.mel[_frames(begin) : _frames(begin) + _frames(codes)].astype(np.float32))


class _Drawer:
    """Draws batches of equally long rows from the items long enough for them."""

    def __init__(self, items: Sequence[MelItem], settings: S2MelTraining) -> None:
        self.settings = settings
        self.by_speaker: dict[int, list[MelItem]] = defaultdict(list)
        for item in items:
            self.by_speaker[item.speaker].append(item)
        self.long_enough = {
            size: [item for item in items if len(item.codes) >= size]
            for size in (*settings.target_codes, *settings.prompt_codes)
        }

    def batch(self, seed: str, count: int | None = None) -> _Batch:
        """The batch that `seed` decides; `count` rows, or as many as the budget holds."""
        rng = random.Random(seed)
        s = self.settings
        target_codes = rng.choice([size for size in s.target_codes if self.long_enough[size]])
        prompt_codes = rng.choice(s.prompt_codes)
        count = count or max(4, s.frame_budget // _frames(prompt_codes + target_codes) // 4 * 4)
        rows = []
        while len(rows) < count:
            target = rng.choice(self.long_enough[target_codes])
            clips = self.by_speaker[target.speaker]
            prompts = [clip for clip in rng.sample(clips, min(6, len(clips))) if len(clip.codes) >= prompt_codes]
            if not prompts:
                continue
            given = rng.randint(1, target_codes - 8) if rng.random() < s.continued_share else 0
            rows.append(
                _Row(
                    prompts[0], 2 * rng.randrange((len(prompts[0].codes) - prompt_codes) // 2 + 1),
                    target, 2 * rng.randrange((len(target.codes) - target_codes) // 2 + 1), given,
                )
            )  # fmt: skip
        return _Batch(tuple(rows), prompt_codes, target_codes, seed)


def _stack(rows: Sequence[npt.NDArray[np.float16]]) -> Tensor:
    return torch.from_numpy(np.stack(rows).astype(np.float32))


def batch_tensors(model: S2Mel, codec: SemanticCodec, batch: _Batch, latent_share: float) -> dict[str, Tensor]:
    """mel [B,80,F], mu [B,F,C], style [B,S], begins [B] and `solved` [B,1,F]: where the loss counts."""
    p, c, rows = batch.prompt_codes, batch.target_codes, batch.rows
    prompt_ids = torch.from_numpy(
        np.stack([r.prompt.codes[r.prompt_begin : r.prompt_begin + p] for r in rows]).astype(np.int64)
    )
    target_ids = torch.from_numpy(
        np.stack([r.target.codes[r.target_begin : r.target_begin + c] for r in rows]).astype(np.int64)
    )
    latents = _stack([r.target.latents[r.target_begin : r.target_begin + c] for r in rows])  # [B, c, M]
    with torch.no_grad():
        prompt_emb, target_emb = codec.embed(prompt_ids), codec.embed(target_ids)
    rng = random.Random(f"latents/{batch.seed}")
    mixed = torch.tensor([float(rng.random() < latent_share) for _ in rows])[:, None, None]
    target_rows = target_emb + mixed * model.gpt_layer(latents)
    mu = torch.cat(
        [model.length_regulator(prompt_emb, _frames(p)), model.length_regulator(target_rows, _frames(c))], dim=1
    )
    mel = torch.stack([torch.cat([_mel(r.prompt, r.prompt_begin, p), _mel(r.target, r.target_begin, c)]) for r in rows])
    begins = torch.tensor([_frames(p) + _frames(r.given_codes) for r in rows])
    frame = torch.arange(mel.shape[1])[None]
    return {
        "mel": mel.transpose(1, 2),
        "mu": mu,
        "style": torch.from_numpy(np.stack([r.prompt.style for r in rows])),  # of the prompt's clip, as in synthesis
        "begins": begins,
        "solved": (frame >= begins[:, None])[:, None].float(),
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
    drawer, checks = _Drawer(items, settings), _Drawer(held_out, settings)

    def batches(first_step: int) -> Iterator[_Batch]:
        for step in itertools.count(first_step):
            yield drawer.batch(f"s2mel/{step}")

    def flow_loss(batch: _Batch) -> Tensor:
        rng = random.Random(f"flow/{batch.seed}")
        data = batch_tensors(model, codec, batch, settings.latent_share)
        solved, mel = data["solved"], data["mel"]
        t = torch.tensor([rng.random() for _ in batch.rows])
        keep = torch.tensor([float(rng.random() >= settings.drop_share) for _ in batch.rows])[:, None, None]
        point, velocity = training_pair(torch.randn_like(mel), mel, t)
        guess = model.estimator(
            point * solved, mel * (1 - solved) * keep, data["mu"] * keep, data["style"] * keep[:, :, 0], t
        )
        return ((guess.float() - velocity).abs() * solved).sum() / (solved.sum() * mel.shape[1])

    def validate() -> dict[str, float]:
        torch.manual_seed(0)
        flow = torch.stack([flow_loss(checks.batch(f"check/{k}", 8)) for k in range(4)]).mean()
        found = {"flow": float(flow)}
        for name, share in (("mel_l1_codes", 0.0), ("mel_l1_latents", 1.0)):
            errors = []
            for k in range(4):
                data = batch_tensors(model, codec, checks.batch(f"solve/{k}", 1), share)
                begin = int(data["begins"][0])
                noise = torch.randn_like(data["mel"])
                made = solve(model.estimator, noise, data["mel"][:, :, :begin], data["mu"], data["style"], 8, 0.7)
                errors.append((made - data["mel"])[:, :, begin:].abs().mean())
            found[name] = float(torch.stack(errors).mean())
        return found

    def losses(batch: _Batch, step: int) -> dict[str, Tensor]:
        return {"loss": flow_loss(batch)}

    train("s2mel", folder, modules, batches, losses, loop, validate)
    return model
