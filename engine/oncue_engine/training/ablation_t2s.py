"""Tables 4 and 2b, the T2S part: the length row away from the natural length, and who spoke, in the emotion vector."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from oncue_engine.model.gpt import decode, prefill
from oncue_engine.model.t2s import T2S, T2SConfig
from oncue_engine.training.loop import LoopConfig, trained_weights
from oncue_engine.training.t2s import (
    PromptPicker,
    T2STraining,
    prefix_rows,
    t2s_modules,
    train_t2s,
)
from oncue_engine.training.tokens import TokenItem

__all__ = ["FACTORS", "T2S_VARIANTS", "T2SBench", "probe_accuracy", "speak_freely"]

T2S_VARIANTS: dict[str, T2STraining] = {
    "base": T2STraining(),
    "untied_length": replace(T2STraining(), tied_length=False),
    "without_reversal": replace(T2STraining(), speaker_reversal=0.0),
}
FACTORS = (0.75, 0.875, 1.0, 1.125, 1.25)
_TEMPERATURE, _TOP_K, _TOP_P = 0.6, 30, 0.8  # those of the engine
_PROBE_STEPS = 300


def _drawn(logits: Tensor, generator: torch.Generator) -> Tensor:
    """logits [B,V] -> ids [B], by temperature, top-k and top-p."""
    scores, ids = (logits / _TEMPERATURE).topk(min(_TOP_K, logits.shape[-1]))
    shares = scores.softmax(-1)
    # the id that crosses top_p is kept
    shares = shares.masked_fill(shares.cumsum(-1) - shares >= _TOP_P, 0.0)
    picked = torch.multinomial(shares, 1, generator=generator)
    return ids.gather(1, picked)[:, 0]


@torch.no_grad()
def speak_freely(
    modules: nn.ModuleDict, latents: Tensor, emotion: Tensor, texts: Sequence[Sequence[int]], asked: Tensor, seed: int
) -> list[list[int]]:
    """The codes that come for each text when `asked` [B] are asked for and the end is not forced.

    latents [B,K,M], emotion [B,M]. `modules` as t2s_modules makes them: a length table of their own replaces the tied
    one. A sequence that goes on past twice the asked length, or past the model's own limit, counts as cut off there.
    """
    model = modules["t2s"]
    assert isinstance(model, T2S)
    config = model.config
    table: nn.Embedding | None = modules["lengths"] if "lengths" in modules else None  # type: ignore[assignment]
    prefixes = prefix_rows(model, latents, emotion, asked, table)
    rows = [
        torch.cat([prefixes[b], model.text_rows(torch.tensor([list(text)]))[0], model.start_row()])
        for b, text in enumerate(texts)
    ]
    limits = [min(config.max_mel_tokens, 2 * count + 8) for count in asked.tolist()]
    capacity = max(len(row) + limit for row, limit in zip(rows, limits, strict=True)) + 1
    cache = model.allocate_cache(len(rows), capacity)
    generator = torch.Generator().manual_seed(seed)
    states = torch.stack([prefill(model.gpt, row, cache, slot)[-1] for slot, row in enumerate(rows)])
    codes: list[list[int]] = [[] for _ in rows]
    live = list(range(len(rows)))
    while live:
        logits = model.logits(states).float()
        logits[:, config.start_mel_token] = -torch.inf
        ids = _drawn(logits, generator).tolist()
        going = []
        for k, code in enumerate(ids):
            if code != config.stop_mel_token:
                codes[live[k]].append(code)
                if len(codes[live[k]]) < limits[live[k]]:
                    going.append(k)
        live = [live[k] for k in going]
        if live:
            spoken = torch.tensor([len(codes[b]) for b in live])
            lengths = torch.tensor([len(rows[b]) + len(codes[b]) - 1 for b in live])
            last = model.step_rows(torch.tensor([codes[b][-1] for b in live]), spoken)
            states = decode(model.gpt, last, cache, torch.tensor(live), lengths)
    return codes


def probe_accuracy(vectors: Tensor, labels: Tensor, classes: int, seed: int) -> float:
    """A fresh linear classifier learns 70 % of `vectors` [n, D] with their labels [n]; its accuracy on the others."""
    order = torch.randperm(len(vectors), generator=torch.Generator().manual_seed(seed))
    cut = int(0.7 * len(order))
    seen, new = order[:cut], order[cut:]
    x = (vectors - vectors[seen].mean(0)) / (vectors[seen].std(0) + 1e-6)
    weight = torch.zeros(classes, x.shape[1], requires_grad=True)
    bias = torch.zeros(classes, requires_grad=True)
    optimizer = torch.optim.AdamW([weight, bias], lr=0.03, weight_decay=0.1)
    for _ in range(_PROBE_STEPS):
        optimizer.zero_grad()
        functional.cross_entropy(x[seen] @ weight.T + bias, labels[seen]).backward()
        optimizer.step()
    guess = (x[new] @ weight.T + bias).argmax(-1)
    return float((guess == labels[new]).float().mean())


@dataclass(frozen=True, slots=True, eq=False)
class T2SBench:
    """What all variants share. `speakers`: how many there are in the corpus."""

    train: Sequence[TokenItem]
    held_out: Sequence[TokenItem]
    config: T2SConfig
    loop: LoopConfig
    budget: int
    speakers: int
    sentences: int
    probe_clips: int
    begin: T2S | None = None
    """What every variant begins from; None: nothing."""

    def run(self, settings: T2STraining, folder: Path, seed: int) -> dict[str, float]:
        """Train a variant's first stage in `folder` (or go on with it), and measure it."""
        torch.manual_seed(seed)
        settings = replace(settings, budget=self.budget)
        train_t2s(
            self.train, self.held_out, folder, self.loop, self.config, settings, "emotion", self.speakers, self.begin
        )  # fmt: skip
        modules = t2s_modules(self.config, settings, self.speakers)
        modules.load_state_dict(trained_weights(folder))
        modules.eval().requires_grad_(False)
        return {**self.token_errors(modules, settings), **self.speaker_probe(modules, settings)}

    def token_errors(self, modules: nn.ModuleDict, settings: T2STraining) -> dict[str, float]:
        """`token_error@FACTOR`: mean |made - asked| / asked over held-out sentences, and their mean `token_error`."""
        model = modules["t2s"]
        assert isinstance(model, T2S)
        items = [item for item in self.held_out if len(item.codes) * FACTORS[-1] <= self.config.max_mel_tokens]
        items = items[: self.sentences]
        batch = PromptPicker(self.held_out).batch(items, settings, random.Random("lengths"), self.config)
        with torch.no_grad():
            latents = model.speaker_latents(batch.speaker_prompt, batch.speaker_lengths)
            emotion = model.emotion_vector(batch.emotion_prompt, batch.emotion_lengths)
        found = {}
        for factor in FACTORS:
            asked = torch.tensor([max(1, round(factor * len(item.codes))) for item in items])
            made = speak_freely(modules, latents, emotion, [item.text for item in items], asked, seed=1)
            gaps = [abs(len(m) - a) / a for m, a in zip(made, asked.tolist(), strict=True)]
            found[f"token_error@{factor:g}"] = sum(gaps) / len(gaps)
        return {**found, "token_error": sum(found.values()) / len(found)}

    def speaker_probe(self, modules: nn.ModuleDict, settings: T2STraining) -> dict[str, float]:
        """`speaker_from_emotion`: how often the emotion vector of a clip tells a linear classifier who spoke."""
        model = modules["t2s"]
        assert isinstance(model, T2S)
        clips = random.Random("probe").sample(list(self.train), min(self.probe_clips, len(self.train)))
        picker = PromptPicker(clips)
        own = replace(settings, same_clip_emotion=1.0)
        vectors = []
        for begin in range(0, len(clips), 64):
            batch = picker.batch(clips[begin : begin + 64], own, random.Random(begin), self.config)
            with torch.no_grad():
                vectors.append(model.emotion_vector(batch.emotion_prompt, batch.emotion_lengths).float())
        labels = torch.tensor([clip.speaker for clip in clips])
        return {"speaker_from_emotion": probe_accuracy(torch.cat(vectors), labels, self.speakers, seed=1)}
