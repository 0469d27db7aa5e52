"""Stage 4: text to semantic codes, as the paper trains it.

The sequence is [speaker latents + emotion, p, text, codes]; p is the code position row of the true length and zero for
30 % of the items. The speaker prompt is another utterance of the same speaker, cut at random; the emotion prompt is the
target itself or another speaker's utterance of the same emotion. One attention head is pulled to the known text
position of each code, so that text and speech align early; marks read it later.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from oncue_engine.model.gpt import HeadTap
from oncue_engine.model.t2s import T2S, T2SConfig
from oncue_engine.training.batches import endless_batches, pad_rows
from oncue_engine.training.loop import LoopConfig, train
from oncue_engine.training.tokens import TokenItem

__all__ = ["ALIGNED_HEAD", "PromptPicker", "T2SBatch", "T2STraining", "forward_states", "train_t2s"]

ALIGNED_HEAD = HeadTap(layer=2, head=0)
FREE_SHARE = 0.3
"""Items trained without the length (paper, section 3.1)."""


@dataclass(frozen=True, slots=True)
class T2STraining:
    budget: int = 4200
    """Positions in a batch."""
    max_prompt_frames: int = 75
    same_clip_emotion: float = 0.5
    alignment_weight: float = 0.3


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
        speaker_prompt, speaker_lengths = pad_rows(speakers, 0.0, settings.max_prompt_frames)
        emotion_prompt, emotion_lengths = pad_rows(emotions, 0.0, settings.max_prompt_frames)
        return T2SBatch(
            text, text_lengths, codes, code_lengths, spoken,
            speaker_prompt, speaker_lengths, emotion_prompt, emotion_lengths,
        )  # fmt: skip


def forward_states(model: T2S, batch: T2SBatch, free: Tensor) -> tuple[Tensor, Tensor]:
    """Backbone states that predict codes 1..N and the stop, [B, N+1, M], and the aligned head's weights [B, N+1, L+2].

    `free` [B] bool: items without the length row. Rows are packed [prefix | text | codes]; the padding of the text is
    masked away, and positions are as in synthesis.
    """
    latents = model.speaker_latents(batch.speaker_prompt, batch.speaker_lengths)
    emotion = model.emotion_vector(batch.emotion_prompt, batch.emotion_lengths)
    prefix = model.conditioning_rows(latents, emotion, torch.where(free, 0, batch.code_lengths))
    # every row's text ends in its own stop token; what follows is masked
    text = model.text_rows(batch.text)
    start = model.start_row()[None].expand(len(text), -1, -1)
    rows = torch.cat([prefix, text, start, model.code_rows(batch.codes, 1)], dim=1)
    b, p, length = len(text), prefix.shape[1], text.shape[1]
    text_valid = torch.arange(length)[None] < batch.text_lengths[:, None] + 2
    n = batch.codes.shape[1] + 1
    valid = torch.cat([torch.ones(b, p, dtype=torch.bool), text_valid, torch.ones(b, n, dtype=torch.bool)], dim=1)
    states, weights = model.gpt.forward_tapped(rows, valid, ALIGNED_HEAD)
    return states[:, -n:], weights[:, -n:, p : p + length]


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
) -> T2S:
    """Train; validation prints the code loss with the length given and without, and code accuracy."""
    modules = nn.ModuleDict({"t2s": T2S(config)})
    model: T2S = modules["t2s"]  # type: ignore[assignment]
    model.text_head.requires_grad_(False)
    picker = PromptPicker(items)
    stop = config.stop_mel_token

    def length(item: TokenItem) -> int:
        # as padded in a batch: codes to 16, text to 8
        return -(-len(item.codes) // 16) * 16 + -(-len(item.text) // 8) * 8 + config.conditioning_latents + 4

    def batches(first_step: int) -> Iterator[list[TokenItem]]:
        return endless_batches(items, length, settings.budget, seed=4, first_step=first_step)

    def losses(batch_items: list[TokenItem], step: int) -> dict[str, Tensor]:
        rng = random.Random(f"t2s/{step}")
        batch = picker.batch(batch_items, settings, rng, config)
        free = torch.tensor([rng.random() < FREE_SHARE for _ in batch_items])
        states, weights = forward_states(model, batch, free)
        targets, valid = code_targets(batch, stop)
        logits = model.logits(states[valid]).float()
        code = functional.cross_entropy(logits, targets[valid], label_smoothing=0.02)
        aligned = _alignment_loss(weights, batch)
        return {"loss": code + settings.alignment_weight * aligned, "code": code, "aligned": aligned}

    def validate() -> dict[str, float]:
        totals = {"given": 0.0, "free": 0.0, "accuracy": 0.0}
        count = 0
        for begin in range(0, len(held_out), 24):
            part = held_out[begin : begin + 24]
            batch = picker.batch(part, settings, random.Random(begin), config)
            targets, valid = code_targets(batch, stop)
            for name, free in (("given", False), ("free", True)):
                states, _ = forward_states(model, batch, torch.full((len(part),), free))
                logits = model.logits(states[valid])
                totals[name] += float(functional.cross_entropy(logits, targets[valid], reduction="sum"))
                if not free:
                    totals["accuracy"] += float((logits.argmax(-1) == targets[valid]).sum())
            count += int(valid.sum())
        return {name: value / count for name, value in totals.items()}

    train("t2s", folder, modules, batches, losses, loop, validate)
    return model
