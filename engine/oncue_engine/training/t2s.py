"""Stage 4: text to semantic codes, as the paper trains it.

The sequence is [speaker latents + emotion, p, text, codes]; p is the code position row of the true length and zero for
30 % of the items. The speaker prompt is another utterance of the same speaker, cut at random; the emotion prompt is the
target itself or another speaker's utterance of the same emotion. One attention head is pulled to the known text
position of each code, so that text and speech align early; marks read it later.

Two stages. First the emotion conditioner learns with everything else, on all emotions in equal parts, with a speaker
classifier behind gradient reversal. Then it is frozen, and the rest learns on the whole corpus, most of it neutral.

A share of the codes that the model reads is hidden: codes at 25 Hz say so much about their followers that a small model
otherwise leaves text, length and emotion aside.
"""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from oncue_engine.model.gpt import HeadTap
from oncue_engine.model.t2s import T2S, T2SConfig
from oncue_engine.training.batches import endless_batches, pad_rows
from oncue_engine.training.features import FRAMES_PER_TOKEN
from oncue_engine.training.loop import LoopConfig, train
from oncue_engine.training.t2s_heads import EmotionHeads, StateHeads
from oncue_engine.training.tokens import TokenItem
from oncue_engine.training.virtual_speakers import EMOTION_RULES

__all__ = [
    "ALIGNED_HEAD",
    "EMOTION_PARTS",
    "PromptPicker",
    "Stage",
    "T2SBatch",
    "T2STraining",
    "forward_states",
    "order_positions",
    "prefix_rows",
    "train_t2s",
]

ALIGNED_HEAD = HeadTap(layer=2, head=0)
LENGTH_HEAD = HeadTap(layer=1, head=1)
"""Pulled to the length row where there is one: found by chance, it is found late."""
MEL_BANDS = 80
FREE_SHARE = 0.3
"""Items trained without the length (paper, section 3.1)."""


EMOTION_PARTS = ("emo_conditioning_encoder", "emo_perceiver_encoder", "emovec_layer", "emo_layer")
"""Modules of T2S that make the emotion vector; frozen in the second stage."""

Stage = Literal["emotion", "main"]


@dataclass(frozen=True, slots=True)
class T2STraining:
    budget: int = 4200
    """Positions in a batch."""
    max_prompt_frames: int = 75
    same_clip_emotion: float = 0.5
    """Items whose emotion prompt is the target itself, as in the paper; the others get another speaker's clip."""
    hidden_codes: float = 0.7
    """Each item hides a share of its input codes drawn between 0 and this."""
    blind_share: float = 0.25
    """Items that hide all of them: then only the length row tells the pace."""
    tied_length: bool = True
    """False: p comes from a table of its own (ablation)."""
    speaker_reversal: float = 0.3
    """Of the speaker classifier's gradient on the emotion vector, in the first stage; 0 is the ablation."""
    alignment_weight: float = 0.2
    length_head_weight: float = 0.05
    emotion_weight: float = 0.3
    speaker_weight: float = 0.3
    left_weight: float = 1.0
    mel_weight: float = 0.1
    stop_weight: float = 3.0
    """Of the stop in the code loss against any other code: there is one of it in a hundred."""


@dataclass(frozen=True, slots=True, eq=False)
class T2SBatch:
    text: Tensor
    text_lengths: Tensor
    codes: Tensor
    code_lengths: Tensor
    spoken: Tensor
    speaker_prompt: Tensor
    speaker_lengths: Tensor
    emotion_prompt: Tensor
    emotion_lengths: Tensor
    mel: Tensor
    """[B, N, 80]: mean log mel over each code."""
    speaker: Tensor
    emotion: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class HeadWeights:
    """Attention weights of the code positions."""

    text: Tensor
    """[B, N+1, L+2]: of ALIGNED_HEAD on the text rows."""
    length: Tensor
    """[B, N+1]: of LENGTH_HEAD on the length row."""


class PromptPicker:
    """Finds prompts for an item: by speaker, and by emotion."""

    def __init__(self, items: Sequence[TokenItem]) -> None:
        self.by_speaker: dict[int, list[TokenItem]] = defaultdict(list)
        self.by_emotion: dict[int, list[TokenItem]] = defaultdict(list)
        for item in items:
            self.by_speaker[item.speaker].append(item)
            self.by_emotion[item.emotion].append(item)

    def crop(self, item: TokenItem, longest: int, rng: random.Random) -> np.ndarray:
        """A run of 25 to `longest` feature rows of the item, or all of it when it is shorter."""
        size = min(len(item.features), rng.randint(25, longest))
        begin = rng.randrange(len(item.features) - size + 1)
        return item.features[begin : begin + size]

    def batch(
        self, items: Sequence[TokenItem], settings: T2STraining, rng: random.Random, sizes: T2SConfig
    ) -> T2SBatch:
        """Tensors of one batch; prompts drawn with `rng`. Text is padded with the stop token (spec 3.8)."""
        speakers, emotions = [], []
        for item in items:
            speakers.append(self.crop(rng.choice(self.by_speaker[item.speaker]), settings.max_prompt_frames, rng))
            same = rng.random() < settings.same_clip_emotion
            source = item if same else rng.choice(self.by_emotion[item.emotion])
            emotions.append(self.crop(source, settings.max_prompt_frames, rng))
        text, text_lengths = pad_rows(
            [np.array(i.text, dtype=np.int64) for i in items], sizes.stop_text_token, 8, sizes.max_text_tokens
        )
        codes, code_lengths = pad_rows([i.codes.astype(np.int64) for i in items], 0, 16, sizes.max_mel_tokens)
        spoken, _ = pad_rows([i.spoken.astype(np.int64) for i in items], 0, 16, sizes.max_mel_tokens)
        mel, _ = pad_rows([_mel_by_code(i) for i in items], 0.0, 16, sizes.max_mel_tokens)
        speaker_prompt, speaker_lengths = pad_rows(speakers, 0.0, settings.max_prompt_frames)
        emotion_prompt, emotion_lengths = pad_rows(emotions, 0.0, settings.max_prompt_frames)
        return T2SBatch(
            text, text_lengths, codes, code_lengths, spoken,
            speaker_prompt, speaker_lengths, emotion_prompt, emotion_lengths, mel,
            torch.tensor([i.speaker for i in items]), torch.tensor([i.emotion for i in items]),
        )  # fmt: skip


def _mel_by_code(item: TokenItem) -> np.ndarray:
    """[N, 80] mean of the frames that begin within each code."""
    begins = (np.arange(len(item.codes)) * FRAMES_PER_TOKEN).astype(np.int64)
    counts = np.diff(np.append(begins, len(item.mel)))
    return np.add.reduceat(item.mel.astype(np.float32), begins, axis=0) / counts[:, None]


def order_positions(model: T2S) -> None:
    """Start the code position table from sines of many wavelengths, so that near positions look alike from the first
    step on: the length row is read against it, and most of its rows are rarely seen.
    """
    table = model.mel_pos_embedding.emb.weight
    rows, width = table.shape
    waves = torch.exp(torch.linspace(math.log(4.0), math.log(4.0 * rows), width // 2))
    angle = 2 * math.pi * torch.arange(rows)[:, None] / waves
    with torch.no_grad():
        table.copy_(0.1 * torch.cat([angle.sin(), angle.cos()], dim=1))


def prefix_rows(model: T2S, latents: Tensor, emotion: Tensor, asked: Tensor, lengths: nn.Embedding | None) -> Tensor:
    """[B, K+1, M] before the text: `asked` [B] codes, 0 where the length is free; `lengths`: a table of their own."""
    if lengths is None:
        return model.conditioning_rows(latents, emotion, asked)
    own = lengths(asked) * (asked > 0)[:, None]
    return torch.cat([model.conditioning_rows(latents, emotion, None)[:, :-1], own[:, None]], dim=1)


def forward_states(
    model: T2S,
    batch: T2SBatch,
    free: Tensor,
    emotion: Tensor | None = None,
    hidden: Tensor | None = None,
    lengths: nn.Embedding | None = None,
) -> tuple[Tensor, HeadWeights]:
    """Backbone states that predict codes 1..N and the stop, [B, N+1, M], and where two heads look.

    `free` [B] bool: items without the length row. `emotion` [B,M] is made from the prompt if it is not given. `hidden`
    [B,N] bool: codes whose rows have only their position. `lengths`: a length table instead of the tied one. Rows are
    packed [prefix | text | codes]; the padding of the text is masked away, and positions are as in synthesis.
    """
    latents = model.speaker_latents(batch.speaker_prompt, batch.speaker_lengths)
    if emotion is None:
        emotion = model.emotion_vector(batch.emotion_prompt, batch.emotion_lengths)
    asked = torch.where(free, 0, batch.code_lengths)
    prefix = prefix_rows(model, latents, emotion, asked, lengths)
    codes = model.code_rows(batch.codes, 1)
    if hidden is not None:
        codes = codes - model.mel_embedding(batch.codes) * hidden[..., None]
    # every row's text ends in its own stop token; what follows is masked
    text = model.text_rows(batch.text)
    start = model.start_row()[None].expand(len(text), -1, -1)
    rows = torch.cat([prefix, text, start, codes], dim=1)
    b, p, length = len(text), prefix.shape[1], text.shape[1]
    text_valid = torch.arange(length)[None] < batch.text_lengths[:, None] + 2
    n = batch.codes.shape[1] + 1
    valid = torch.cat([torch.ones(b, p, dtype=torch.bool), text_valid, torch.ones(b, n, dtype=torch.bool)], dim=1)
    states, (aligned, counting) = model.gpt.forward_tapped(rows, valid, ALIGNED_HEAD, LENGTH_HEAD)
    return states[:, -n:], HeadWeights(aligned[:, -n:, p : p + length], counting[:, -n:, p - 1])


def _alignment_loss(weights: Tensor, batch: T2SBatch) -> Tensor:
    """Negative log of the weight on the token spoken at the code that each state predicts."""
    n = batch.codes.shape[1]
    target = (batch.spoken + 1).unsqueeze(-1)  # text position: start token is 0
    picked = weights[:, :n].float().gather(-1, target)[..., 0]
    total = weights[:, :n].float().sum(-1)
    valid = torch.arange(n)[None] < batch.code_lengths[:, None]
    # the weights on the whole text are normalised: the head may still look at the prefix
    return -(picked.clamp_min(1e-6).log() - 0.5 * total.clamp_min(1e-6).log())[valid].mean()


def code_targets(batch: T2SBatch, stop: int) -> tuple[Tensor, Tensor]:
    """Targets [B, N+1] with the stop after each row's last code, and which of them count."""
    n = batch.codes.shape[1] + 1
    targets = functional.pad(batch.codes, (0, 1), value=stop)
    index = torch.arange(n)[None]
    targets = torch.where(index >= batch.code_lengths[:, None], stop, targets)
    return targets, index <= batch.code_lengths[:, None]


def train_t2s(
    items: Sequence[TokenItem],
    held_out: Sequence[TokenItem],
    folder: Path,
    loop: LoopConfig,
    config: T2SConfig,
    settings: T2STraining,
    stage: Stage,
    speakers: int,
    begin: T2S | None = None,
) -> T2S:
    """Train one stage, from the model `begin` where it is given. `speakers`: how many the classifier tells apart.

    Validation prints the code loss with the length given and without, and code accuracy.
    """
    modules = t2s_modules(config, settings, speakers)
    model: T2S = modules["t2s"]  # type: ignore[assignment]
    states_heads: StateHeads = modules["states"]  # type: ignore[assignment]
    emotion_heads: EmotionHeads = modules["emotions"]  # type: ignore[assignment]
    table: nn.Embedding | None = modules["lengths"] if "lengths" in modules else None  # type: ignore[assignment]
    if begin is not None:
        model.load_state_dict(begin.state_dict())
    if stage == "main":
        for part in EMOTION_PARTS:
            model.get_submodule(part).requires_grad_(False)
        emotion_heads.requires_grad_(False)
    picker = PromptPicker(items)
    stop = config.stop_mel_token
    chosen = items if stage == "main" else _equal_emotions(items)

    def length(item: TokenItem) -> int:
        # as padded in a batch: codes to 16, text to 8
        return -(-len(item.codes) // 16) * 16 + -(-len(item.text) // 8) * 8 + config.conditioning_latents + 4

    def batches(first_step: int) -> Iterator[list[TokenItem]]:
        return endless_batches(chosen, length, settings.budget, seed=4, first_step=first_step)

    def losses(batch_items: list[TokenItem], step: int) -> dict[str, Tensor]:
        rng = random.Random(f"t2s/{stage}/{step}")
        batch = picker.batch(batch_items, settings, rng, config)
        b, n = batch.codes.shape
        free = torch.tensor([rng.random() < FREE_SHARE for _ in batch_items])
        blind = [rng.random() < settings.blind_share for _ in batch_items]
        share = torch.tensor([1.0 if all_ else rng.uniform(0.0, settings.hidden_codes) for all_ in blind])
        hidden = torch.rand(b, n) < share[:, None]
        emotion = model.emotion_vector(batch.emotion_prompt, batch.emotion_lengths)
        states, weights = forward_states(model, batch, free, emotion, hidden, table)
        targets, valid = code_targets(batch, stop)
        latents = model.latent(states)
        each = functional.cross_entropy(
            functional.linear(latents[valid], model.mel_head.weight, model.mel_head.bias).float(),
            targets[valid], label_smoothing=0.02, reduction="none",
        )  # fmt: skip
        weight = torch.where(targets[valid] == stop, settings.stop_weight, 1.0)
        code = (each * weight).sum() / weight.sum()
        left = batch.code_lengths[:, None] - torch.arange(n + 1)[None]
        asked = valid & ~free[:, None]
        values = {
            "code": code,
            "aligned": _alignment_loss(weights.text, batch),
            "counting": -weights.length.float()[asked].clamp_min(1e-6).log().mean(),
            "left": states_heads.left_loss(latents[asked], left[asked]),
            "mel": states_heads.mel_loss(latents[:, :n][valid[:, 1:]], batch.mel[valid[:, 1:]]),
        }
        total = code + settings.alignment_weight * values["aligned"]
        total = total + settings.length_head_weight * values["counting"]
        total = total + settings.left_weight * values["left"] + settings.mel_weight * values["mel"]
        if stage == "emotion":
            told = emotion_heads.losses(emotion, batch.emotion, batch.speaker, settings.speaker_reversal)
            values |= told
            total = total + settings.emotion_weight * told["emotion"] + settings.speaker_weight * told["speaker"]
        return {"loss": total, **values}

    def validate() -> dict[str, float]:
        totals = {"given": 0.0, "free": 0.0, "accuracy": 0.0}
        count = 0
        for first in range(0, len(held_out), 24):
            part = held_out[first : first + 24]
            batch = picker.batch(part, settings, random.Random(first), config)
            targets, valid = code_targets(batch, stop)
            for name, free in (("given", False), ("free", True)):
                states, _ = forward_states(model, batch, torch.full((len(part),), free), lengths=table)
                logits = model.logits(states[valid])
                totals[name] += float(functional.cross_entropy(logits, targets[valid], reduction="sum"))
                if not free:
                    totals["accuracy"] += float((logits.argmax(-1) == targets[valid]).sum())
            count += int(valid.sum())
        return {name: value / count for name, value in totals.items()}

    train(folder.name, folder, modules, batches, losses, loop, validate)
    return model


def t2s_modules(config: T2SConfig, settings: T2STraining, speakers: int) -> nn.ModuleDict:
    """The model as it begins, and the heads that only training has."""
    model = T2S(config)
    model.text_head.requires_grad_(False)
    order_positions(model)
    modules = nn.ModuleDict(
        {
            "t2s": model,
            "states": StateHeads(config.model_dim, MEL_BANDS),
            "emotions": EmotionHeads(config.model_dim, len(EMOTION_RULES), speakers),
        }
    )
    if not settings.tied_length:
        modules["lengths"] = nn.Embedding(config.max_mel_tokens + 3, config.model_dim)
        nn.init.normal_(modules["lengths"].weight, std=0.02)  # type: ignore[arg-type]
    return modules


def _equal_emotions(items: Sequence[TokenItem]) -> list[TokenItem]:
    """All emotional items, and as many neutral ones as an emotion has on average."""
    acted = [item for item in items if item.emotion != 0]
    neutral = [item for item in items if item.emotion == 0]
    return acted + neutral[: max(1, len(acted) // (len(EMOTION_RULES) - 1))]
