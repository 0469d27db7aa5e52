"""Stage one: a small Qwen3 learns to read, from word vectors on to whole lines.

Batches are half running sentences and half lines about meaning (language_data.py), all padded to one width, so that
every step has one shape.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import Qwen3Config, Qwen3ForCausalLM

from oncue_engine.training.loop import LoopConfig, train
from oncue_engine.training.words.language_data import SLOT, MeaningLine
from oncue_engine.training.words.tokenizer import END, PAD
from oncue_engine.training.words.word_vectors import WordVectors

__all__ = ["StudentSizes", "new_student", "start_as_mean_reader", "start_embeddings", "train_language_model"]

_IGNORED = -100
_EMBEDDING_NORM = 1.0
_MEAN_QUERY = 0.4
"""Scale of the first layer's queries: near zero its attention is even."""
_MEAN_SHARE = 0.6
_QUIET = 0.2


@dataclass(frozen=True, slots=True)
class StudentSizes:
    """Of the Qwen3 that is trained from nothing; about 1 M parameters."""

    vocabulary: int = 10000
    hidden: int = 96
    relation_dims: int = 64
    """Of `hidden`: how much of an embedding starts from WordNet; the rest starts from text."""
    layers: int = 3
    heads: int = 4
    key_value_heads: int = 4
    head_dim: int = 24
    mlp: int = 128
    max_tokens: int = 128


@dataclass(frozen=True, slots=True)
class LanguageBatches:
    rows: int = 64
    width_tokens: int = 24
    chance_candidates: int = 512
    """Tokens by chance that compete for each place beside the batch's own. All tokens would cost thrice the time."""
    feeling_share: float = 0.5
    """Of the lines about meaning: how many are about feelings."""


def new_student(sizes: StudentSizes) -> Qwen3ForCausalLM:
    return Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=sizes.vocabulary,
            hidden_size=sizes.hidden,
            intermediate_size=sizes.mlp,
            num_hidden_layers=sizes.layers,
            num_attention_heads=sizes.heads,
            num_key_value_heads=sizes.key_value_heads,
            head_dim=sizes.head_dim,
            max_position_embeddings=sizes.max_tokens,
            tie_word_embeddings=True,
            use_cache=False,
            pad_token_id=0,
            eos_token_id=1,
            bos_token_id=None,
        )
    )


def start_as_mean_reader(model: Qwen3ForCausalLM) -> None:
    """Let the first layer average what stands before each place, and the others add little.

    The slot then begins with the mean of the text's word vectors, which is half of the task; training has to learn only
    what to look at. Needs as many key-value heads as heads, of `hidden` dimensions in all.
    """
    with torch.no_grad():
        for number, layer in enumerate(model.model.layers):
            attention = layer.self_attn
            if number == 0:
                attention.q_norm.weight.fill_(_MEAN_QUERY)
                attention.v_proj.weight.copy_(torch.eye(attention.v_proj.weight.shape[0]))
                attention.o_proj.weight.copy_(_MEAN_SHARE * torch.eye(attention.o_proj.weight.shape[0]))
            else:
                attention.o_proj.weight.mul_(_QUIET)
            layer.mlp.down_proj.weight.mul_(_QUIET)


def start_embeddings(model: Qwen3ForCausalLM, tokenizer: Tokenizer, vectors: WordVectors) -> None:
    """Set each piece's embedding to the mean vector of the words that it is part of, by its share of their letters."""
    table = model.get_input_embeddings().weight
    total = torch.zeros_like(table)
    encoded = tokenizer.encode_batch(list(vectors.words))
    for pieces, vector in zip(encoded, torch.from_numpy(vectors.vectors), strict=True):
        for piece in pieces.ids:
            total[piece] += vector / len(pieces.ids) ** 2  # a piece that is the whole word tells most about it
    length = total.norm(dim=1, keepdim=True)
    with torch.no_grad():
        table.copy_(torch.where(length > 0, _EMBEDDING_NORM * total / length.clamp_min(1e-9), table))


def _row(ids: list[int], first_learnt: int, width: int, pad: int) -> tuple[list[int], list[int]]:
    ids = ids[:width]
    labels = [_IGNORED] * min(first_learnt, len(ids)) + ids[first_learnt:]
    empty = width - len(ids)
    return ids + [pad] * empty, labels + [_IGNORED] * empty


def _batches(
    tokenizer: Tokenizer, sentences: Sequence[str], meanings: Sequence[MeaningLine], shape: LanguageBatches, first: int
) -> Iterator[tuple[Tensor, Tensor]]:
    pad, end = tokenizer.token_to_id(PAD), tokenizer.token_to_id(END)
    feelings = [line for line in meanings if line.about_feeling]
    slot_length = len(tokenizer.encode(SLOT, add_special_tokens=False).ids)
    step = first
    while True:
        rng = random.Random(step)
        rows = []
        for place in range(shape.rows):
            if place % 2:
                ids = [*tokenizer.encode(rng.choice(sentences)).ids, end]
                rows.append(_row(ids, 1, shape.width_tokens, pad))
                continue
            line = rng.choice(feelings if rng.random() < shape.feeling_share else meanings)
            answer = [*tokenizer.encode(rng.choice(line.answers)).ids, end]
            room = shape.width_tokens - slot_length - len(answer)
            text = tokenizer.encode(line.text).ids[:room]
            rows.append(_row([*text, *tokenizer.encode(SLOT).ids, *answer], 1, shape.width_tokens, pad))
        ids, labels = zip(*rows, strict=True)
        yield torch.tensor(ids), torch.tensor(labels)
        step += 1


def train_language_model(
    model: Qwen3ForCausalLM,
    tokenizer: Tokenizer,
    sentences: Sequence[str],
    meanings: Sequence[MeaningLine],
    folder: Path,
    loop: LoopConfig,
) -> Qwen3ForCausalLM:
    """Train in place up to `loop.steps`, resuming from `folder`; returns the model in eval mode."""
    shape = LanguageBatches()
    vocabulary = model.config.vocab_size

    def losses(batch: tuple[Tensor, Tensor], step: int) -> dict[str, Tensor]:
        ids, labels = batch  # [rows, width]
        hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1]
        wanted = labels[:, 1:]
        known = wanted != _IGNORED
        others = torch.randint(
            vocabulary, (shape.chance_candidates,), generator=torch.Generator("cpu").manual_seed(step), device="cpu"
        ).to(ids.device)
        candidates = torch.cat([wanted[known], others]).unique()
        scores = hidden[known] @ model.get_input_embeddings().weight[candidates].T  # [places, candidates]
        return {"loss": nn.functional.cross_entropy(scores.float(), torch.searchsorted(candidates, wanted[known]))}

    train(
        "words-language",
        folder,
        nn.ModuleDict({"model": model}),
        lambda first: _batches(tokenizer, sentences, meanings, shape, first),
        losses,
        loop,
    )
    return model
