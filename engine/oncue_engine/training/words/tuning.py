"""Stage two: LoRA (Hu et al. 2021, by `peft`) on a Qwen3, soft cross-entropy against the teacher's distribution.

The read-out are answer words, not a new head: the base already knows what they mean, and it has been asked for one
word after a text before (language_data.py; a public base from its own training). So LoRA has little to move, and
nothing but the public architecture must be stored. Embeddings stay frozen: a word that no labelled sentence has keeps
its place beside those that are there.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import PreTrainedModel

from oncue_engine.training.loop import LoopConfig, train
from oncue_engine.training.words.augment import Augment
from oncue_engine.training.words.labelled import LabelledText
from oncue_engine.words.student import EMOTIONS

__all__ = ["LoraSizes", "Question", "answer_ids", "distributions", "tune"]


@dataclass(frozen=True, slots=True)
class Question:
    """How a base is asked."""

    slot: str
    """Follows the text."""
    width_tokens: int = 26
    """Of one training row, slot included; longer texts are cut."""


@dataclass(frozen=True, slots=True)
class LoraSizes:
    rank: int = 16
    scale: float = 32.0
    dropout: float = 0.1
    rows: int = 48


def answer_ids(tokenizer: Tokenizer) -> dict[str, int]:
    """The first token of each emotion's name after a blank. ValueError where two emotions share it."""
    found = {name: int(tokenizer.encode(f" {name}", add_special_tokens=False).ids[0]) for name in EMOTIONS}
    if len(set(found.values())) < len(found):
        raise ValueError(f"two emotions begin with the same token: {found}")
    return found


def _rows(tokenizer: Tokenizer, texts: Sequence[str], question: Question) -> tuple[Tensor, Tensor]:
    """Token ids [rows, width], padded on the right, and the place of each row's last token [rows]."""
    slot = tokenizer.encode(question.slot, add_special_tokens=False).ids
    room = question.width_tokens - len(slot)
    encoded = [[*pieces.ids[:room], *slot] for pieces in tokenizer.encode_batch(list(texts), add_special_tokens=False)]
    last = torch.tensor([len(ids) - 1 for ids in encoded])
    return torch.tensor([ids + [0] * (question.width_tokens - len(ids)) for ids in encoded]), last


def _scores(model: nn.Module, ids: Tensor, last: Tensor, answers: Tensor) -> Tensor:
    """[rows, emotions]. What pads the right end cannot reach the place that is read: attention looks back only."""
    causal: PreTrainedModel = model.get_base_model() if isinstance(model, PeftModel) else model
    hidden = causal.model(input_ids=ids, use_cache=False).last_hidden_state
    read = hidden[torch.arange(len(ids), device=ids.device), last]  # [rows, hidden]
    return (read @ causal.get_output_embeddings().weight[answers.to(read.device)].T).float()


@torch.inference_mode()
def distributions(model: nn.Module, tokenizer: Tokenizer, texts: Sequence[str], question: Question) -> Tensor:
    """What the model says of each text. [texts, emotions]."""
    answers = torch.tensor(list(answer_ids(tokenizer).values()))
    place = next(model.parameters()).device
    found = []
    for i in range(0, len(texts), 64):
        ids, last = _rows(tokenizer, texts[i : i + 64], question)
        found.append(_scores(model, ids.to(place), last.to(place), answers).softmax(-1).cpu())
    return torch.cat(found)


def tune(
    base: PreTrainedModel,
    tokenizer: Tokenizer,
    sources: Sequence[tuple[Sequence[LabelledText], float]],
    dev: Sequence[LabelledText],
    augment: Augment,
    question: Question,
    folder: Path,
    loop: LoopConfig,
    sizes: LoraSizes,
) -> PreTrainedModel:
    """Tune with items drawn from `sources` by their shares; returns the base with LoRA merged, in eval mode.

    Resumes from `folder`; the log has `valid_top1` on `dev`.
    """
    lora = LoraConfig(
        r=sizes.rank,
        lora_alpha=sizes.scale,
        lora_dropout=sizes.dropout,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    with warnings.catch_warnings():
        # peft asks transformers by a name that is going out of use.
        warnings.simplefilter("ignore", FutureWarning)
        model = get_peft_model(base, lora)
    answers = torch.tensor(list(answer_ids(tokenizer).values()))
    groups, shares = zip(*sources, strict=True)

    def batches(first: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        step = first
        while True:
            rng = random.Random(step)
            items = [augment(rng.choice(rng.choices(groups, shares)[0]), rng) for _ in range(sizes.rows)]
            ids, last = _rows(tokenizer, [item.text for item in items], question)
            yield ids, last, torch.tensor([item.weights for item in items])
            step += 1

    def losses(batch: tuple[Tensor, Tensor, Tensor], step: int) -> dict[str, Tensor]:
        ids, last, target = batch
        model.train()
        scores = _scores(model, ids, last, answers)
        right = (scores.argmax(-1) == target.argmax(-1)).float().mean()
        return {"loss": nn.functional.cross_entropy(scores, target), "top1": right}

    def validate() -> dict[str, float]:
        model.eval()
        said = distributions(model, tokenizer, [item.text for item in dev], question)
        target = torch.tensor([item.weights for item in dev], device="cpu")
        return {
            "top1": float((said.argmax(-1) == target.argmax(-1)).float().mean()),
            "loss": float(-(target * said.clamp_min(1e-9).log()).sum(-1).mean()),
        }

    # Only what is trained is saved: a large base stays where it came from.
    trained = nn.ParameterDict(
        {name.replace(".", "/"): value for name, value in model.named_parameters() if value.requires_grad}
    )
    train(
        "words-tuning",
        folder,
        nn.ModuleDict({"lora": trained}),
        batches,
        losses,
        loop,
        validate,
        validate_every=100,
        companions=[model],
    )
    merged: PreTrainedModel = model.merge_and_unload()
    return merged.eval()
