"""Stage 7: codes and latents to mel, by flow matching on the frames after the prompt.

A training row is [crop of another clip of the speaker | crop of the target], each length-regulated by itself as in
synthesis. A random beginning of the target is given as prompt mel too: that is what a stream's later chunks see. Half
of the rows get the latents of the language model, and a tenth loses style, prompt and condition, for guidance. Beside
the flow's loss there are those of mel_heads.py, where a pitch predictor is given.

Two settings are there for comparison only (ablations.py): `objective` regression takes the flow away, `text_width` adds
text features that were repeated over the codes (paper, appendix B).
"""

from __future__ import annotations

import itertools
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from oncue_engine.model.codec import SemanticCodec
from oncue_engine.model.flow import solve, training_pair
from oncue_engine.model.harmonic_source import PitchPredictor
from oncue_engine.model.s2mel import S2Mel, S2MelConfig
from oncue_engine.training.features import FRAMES_PER_TOKEN
from oncue_engine.training.loop import LoopConfig, train
from oncue_engine.training.mel_heads import ConditionHead, pitch_distance, read_pitch

__all__ = [
    "GUIDANCE",
    "SOLVER_STEPS",
    "MelItem",
    "S2MelTraining",
    "render",
    "s2mel_modules",
    "train_s2mel",
    "whole_item",
]

SOLVER_STEPS, GUIDANCE = 8, 0.7
"""How validation solves the flow."""


@dataclass(frozen=True, slots=True)
class S2MelTraining:
    frame_budget: int = 4800
    """Frames in a batch, prompts included."""
    latent_share: float = 0.5
    drop_share: float = 0.1
    prompt_codes: tuple[int, ...] = (14, 22, 30, 38, 46)
    target_codes: tuple[int, ...] = (16, 24, 32, 40, 48, 56, 64, 72, 80)
    """All rows of a batch are equally long: one of these each, so that shapes recur."""
    continued_share: float = 0.5
    """Rows whose target begins with given frames."""
    opening_share: float = 0.3
    """Rows whose target is the beginning of its utterance, right after the prompt: every stream begins so."""
    objective: Literal["flow", "regression"] = "flow"
    """`regression`: the same network as one plain function from condition to mel: no noise, no time, L1 to the mel."""
    pitch_weight: float = 2.0
    """Of the pitch that is read from the solved mel, and of the condition's own; a loss per octave."""
    told_mel_weight: float = 0.25
    text_width: int = 0
    """Width of the items' text features; 0: they have none."""


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
    words: npt.NDArray[np.float16] | None = None
    """[N, `text_width`]: features of the word spoken at each code."""


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


def _mel(item: MelItem, begin: int, codes: int) -> npt.NDArray[np.float16]:
    """[frames, 80] of a crop; `begin` is even, so that it falls on a whole frame."""
    return item.mel[_frames(begin) : _frames(begin) + _frames(codes)]


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
            opening = rng.random() < s.opening_share
            begin = 0 if opening else 2 * rng.randrange((len(target.codes) - target_codes) // 2 + 1)
            continued = not opening and rng.random() < s.continued_share / (1.0 - s.opening_share)
            given = rng.randint(1, target_codes - 8) if continued else 0
            rows.append(
                _Row(
                    prompts[0], 2 * rng.randrange((len(prompts[0].codes) - prompt_codes) // 2 + 1),
                    target, begin, given,
                )
            )  # fmt: skip
        return _Batch(tuple(rows), prompt_codes, target_codes, seed)


def whole_item(prompt: MelItem, prompt_codes: int, target: MelItem) -> _Batch:
    """All of `target` after the first `prompt_codes` codes of `prompt` (at least as long): a batch of one row."""
    return _Batch((_Row(prompt, 0, target, 0, 0),), prompt_codes, len(target.codes), "whole")


def batch_tensors(
    modules: nn.ModuleDict, codec: SemanticCodec, batch: _Batch, latent_share: float
) -> dict[str, Tensor]:
    """mel [B,80,F], mu [B,F,C], style [B,S], begins [B] and `solved` [B,1,F]: where the loss counts.

    `modules` as s2mel_modules makes them; all on their device.
    """
    model = modules["s2mel"]
    assert isinstance(model, S2Mel)
    device = model.estimator.conv1.weight.device
    p, c, rows = batch.prompt_codes, batch.target_codes, batch.rows

    def stack(parts: Sequence[npt.NDArray[np.generic]], kind: type[np.generic]) -> Tensor:
        return torch.from_numpy(np.stack(parts).astype(kind)).to(device)

    prompt_ids = stack([r.prompt.codes[r.prompt_begin : r.prompt_begin + p] for r in rows], np.int64)
    target_ids = stack([r.target.codes[r.target_begin : r.target_begin + c] for r in rows], np.int64)
    latents = stack([r.target.latents[r.target_begin : r.target_begin + c] for r in rows], np.float32)  # [B, c, M]
    with torch.no_grad():
        prompt_rows, target_emb = codec.embed(prompt_ids), codec.embed(target_ids)
    rng = random.Random(f"latents/{batch.seed}")
    mixed = torch.tensor([float(rng.random() < latent_share) for _ in rows], device=device)[:, None, None]
    target_rows = target_emb + mixed * model.gpt_layer(latents)
    if "words" in modules:
        prompt_rows = prompt_rows + modules["words"](
            stack([_words(r.prompt, r.prompt_begin, p) for r in rows], np.float32)
        )
        target_rows = target_rows + modules["words"](
            stack([_words(r.target, r.target_begin, c) for r in rows], np.float32)
        )
    mu = torch.cat(
        [model.length_regulator(prompt_rows, _frames(p)), model.length_regulator(target_rows, _frames(c))], dim=1
    )
    mel = stack(
        [np.concatenate([_mel(r.prompt, r.prompt_begin, p), _mel(r.target, r.target_begin, c)]) for r in rows],
        np.float32,
    )
    begins = torch.tensor([_frames(p) + _frames(r.given_codes) for r in rows], device=device)
    frame = torch.arange(mel.shape[1], device=device)[None]
    return {
        "mel": mel.transpose(1, 2),
        "mu": mu,
        "style": stack([r.prompt.style for r in rows], np.float32),  # of the prompt's clip, as in synthesis
        "begins": begins,
        "solved": (frame >= begins[:, None])[:, None].float(),
    }


def _words(item: MelItem, begin: int, codes: int) -> npt.NDArray[np.float16]:
    if item.words is None:
        raise ValueError("the settings have a text_width, but an item has no text features")
    return item.words[begin : begin + codes]


def s2mel_modules(config: S2MelConfig, settings: S2MelTraining, with_pitch: bool = False) -> nn.ModuleDict:
    """What is trained: `s2mel`; with a text_width `words`, from text to semantic features; with pitch `condition`."""
    modules = nn.ModuleDict({"s2mel": S2Mel(config)})
    if settings.text_width:
        modules["words"] = nn.Linear(settings.text_width, config.gpt_layer_widths[-1])
    if with_pitch:
        dit = config.dit
        modules["condition"] = ConditionHead(dit.content_dim, dit.style_dim, dit.in_channels)
    return modules


def _regressed(model: S2Mel, data: dict[str, Tensor]) -> Tensor:
    """[B,80,F]: the estimator as a plain function: nothing noisy comes in, and the time stands still."""
    mel, solved = data["mel"], data["solved"]
    time = torch.ones(len(mel), device=mel.device)
    return model.estimator(torch.zeros_like(mel), mel * (1 - solved), data["mu"], data["style"], time)


@torch.no_grad()
def render(model: S2Mel, data: dict[str, Tensor], settings: S2MelTraining, steps: int, guidance: float) -> Tensor:
    """[1,80,F]: the mel of a batch of one row, zero in what is given. A regression needs neither noise nor steps."""
    if settings.objective == "regression":
        return _regressed(model, data).float() * data["solved"]
    begin = int(data["begins"][0])
    noise = torch.randn_like(data["mel"])
    return solve(model.estimator, noise, data["mel"][:, :, :begin], data["mu"], data["style"], steps, guidance)


def train_s2mel(
    items: Sequence[MelItem],
    held_out: Sequence[MelItem],
    codec: SemanticCodec,
    folder: Path,
    loop: LoopConfig,
    config: S2MelConfig,
    settings: S2MelTraining,
    pitch: PitchPredictor | None = None,
) -> S2Mel:
    """Train; validation prints the flow loss and the mel distance of an 8-step solution on held-out items.

    With a (frozen) `pitch` predictor the losses of mel_heads.py are added, and validation prints octaves off.
    """
    modules = s2mel_modules(config, settings, pitch is not None)
    model = modules["s2mel"]
    assert isinstance(model, S2Mel)
    drawer, checks = _Drawer(items, settings), _Drawer(held_out, settings)

    def batches(first_step: int) -> Iterator[_Batch]:
        for step in itertools.count(first_step):
            yield drawer.batch(f"s2mel/{step}")

    def losses(batch: _Batch, step: int = 0) -> dict[str, Tensor]:
        rng = random.Random(f"flow/{batch.seed}")
        data = batch_tensors(modules, codec, batch, settings.latent_share)
        solved, mel = data["solved"], data["mel"]
        count = solved.sum() * mel.shape[1]
        if settings.objective == "regression":
            off = ((_regressed(model, data).float() - mel).abs() * solved).sum() / count
            return {"loss": off, "regression": off}
        t = torch.tensor([rng.random() for _ in batch.rows])
        keep = torch.tensor([float(rng.random() >= settings.drop_share) for _ in batch.rows])[:, None, None]
        point, velocity = training_pair(torch.randn_like(mel), mel, t)
        guess = model.estimator(
            point * solved, mel * (1 - solved) * keep, data["mu"] * keep, data["style"] * keep[:, :, 0], t
        )
        flow = ((guess.float() - velocity).abs() * solved).sum() / count
        if pitch is None:
            return {"loss": flow, "flow": flow}
        with torch.autocast(mel.device.type, enabled=False):
            true = read_pitch(pitch, mel)
            # where the flow would end, were it straight from here on
            end = torch.where(solved > 0, point + (1.0 - t[:, None, None]) * guess.float(), mel)
            read = pitch_distance(pitch(end), true, solved[:, 0] * keep[:, :, 0])
        head = modules["condition"]
        assert isinstance(head, ConditionHead)
        told = head.losses(data["mu"], data["style"], mel, true, solved)
        extra = settings.pitch_weight * (read + told["told_pitch"]) + settings.told_mel_weight * told["told_mel"]
        return {"loss": flow + extra, "flow": flow, "pitch": read, **told}

    def validate() -> dict[str, float]:
        torch.manual_seed(0)
        parts = [losses(checks.batch(f"check/{k}", 8)) for k in range(4)]
        found = {key: float(torch.stack([part[key] for part in parts]).mean()) for key in parts[0] if key != "loss"}
        for name, share in (("mel_l1_codes", 0.0), ("mel_l1_latents", 1.0)):
            if share == 1.0 - settings.latent_share:
                continue  # what it never saw
            errors = []
            for k in range(4):
                data = batch_tensors(modules, codec, checks.batch(f"solve/{k}", 1), share)
                made = render(model, data, settings, SOLVER_STEPS, GUIDANCE)
                errors.append(((made - data["mel"]) * data["solved"]).abs().sum() / (data["solved"].sum() * 80))
            found[name] = float(torch.stack(errors).mean())
        return found

    companions = [codec] if pitch is None else [codec, pitch]
    train("s2mel", folder, modules, batches, losses, loop, validate, companions=companions)
    return model
