"""Text features for the appendix B variant of S2M: a small BERT, and its features repeated over the codes.

The BERT is trained as a masked language model on the corpus's sentences; any public one is a name or a folder instead
(`TextBert.load`). Which word is spoken at a code is known from the corpus's phone times (`TokenItem.spoken`): the
item's phones are matched with those that the front end gives the words of its sentence.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import BertWordPieceTokenizer
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoModel, AutoTokenizer, BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

from oncue_engine.frontend.arpabet import ArpabetTokenizer
from oncue_engine.frontend.phones import VOCABULARY
from oncue_engine.training.batches import endless_batches
from oncue_engine.training.loop import LoopConfig, train
from oncue_engine.training.tokens import TokenItem

__all__ = ["TextBert", "TextBertConfig", "spoken_ranges", "train_text_bert", "word_rows"]

_MASKED_SHARE = 0.15
_RANDOM_SHARE, _KEPT_SHARE = 0.1, 0.1
"""Of the masked pieces: those replaced by another one, and those left as they are."""
_MAX_PIECES = 64


@dataclass(frozen=True, slots=True)
class TextBertConfig:
    vocabulary: int = 4000
    width: int = 128
    layers: int = 3
    heads: int = 4
    budget: int = 1600
    """Pieces in a batch."""


@dataclass(frozen=True, slots=True, eq=False)
class TextBert:
    model: nn.Module
    tokenizer: PreTrainedTokenizerFast

    @classmethod
    def load(cls, source: str | Path) -> TextBert:
        """From a folder that train_text_bert wrote, or a public name. Raises OSError when there is none."""
        tokenizer = AutoTokenizer.from_pretrained(source)
        return cls(AutoModel.from_pretrained(source).eval().requires_grad_(False), tokenizer)

    @property
    def width(self) -> int:
        return int(self.model.config.hidden_size)

    @torch.no_grad()
    def features(self, sentences: Sequence[str]) -> list[tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]]:
        """For each sentence the last layer's rows [K, width] and the characters that each stands for [K, 2].

        Rows of special pieces have an empty range.
        """
        coded = self.tokenizer(
            list(sentences), return_tensors="pt", padding=True, truncation=True, return_offsets_mapping=True
        )
        ranges = coded.pop("offset_mapping").numpy()
        states = self.model(**coded).last_hidden_state.float().numpy()
        counts = coded["attention_mask"].sum(1).tolist()
        return [(states[i, :n], ranges[i, :n].astype(np.int64)) for i, n in enumerate(counts)]


def _new_tokenizer(sentences: Sequence[str], size: int) -> PreTrainedTokenizerFast:
    pieces = BertWordPieceTokenizer(lowercase=True)
    pieces.train_from_iterator(sentences, vocab_size=size, min_frequency=2, show_progress=False)
    return PreTrainedTokenizerFast(
        tokenizer_object=pieces._tokenizer,
        unk_token="[UNK]", sep_token="[SEP]", pad_token="[PAD]", cls_token="[CLS]", mask_token="[MASK]",
        model_max_length=_MAX_PIECES, model_input_names=["input_ids", "attention_mask"],
    )  # fmt: skip


def _masked(ids: Tensor, tokenizer: PreTrainedTokenizerFast, rng: random.Random) -> tuple[Tensor, Tensor]:
    """ids [B,K] with some pieces hidden, and which were picked [B,K]; every row has at least one."""
    special = set(tokenizer.all_special_ids)
    hidden, picked = ids.clone(), torch.zeros_like(ids, dtype=torch.bool)
    for row in range(len(ids)):
        places = [k for k, piece in enumerate(ids[row].tolist()) if piece not in special]
        for k in rng.sample(places, max(1, round(_MASKED_SHARE * len(places)))) if places else ():
            picked[row, k] = True
            draw = rng.random()
            if draw < _RANDOM_SHARE:
                hidden[row, k] = rng.randrange(len(tokenizer))
            elif draw >= _RANDOM_SHARE + _KEPT_SHARE:
                hidden[row, k] = tokenizer.mask_token_id
    return hidden, picked


def train_text_bert(
    sentences: Sequence[str], held_out: Sequence[str], folder: Path, loop: LoopConfig, config: TextBertConfig
) -> TextBert:
    """Train on `sentences`; model and tokenizer go to `<folder>/model`. Validation: share of hidden pieces guessed."""
    target = folder / "model"
    tokenizer_path = folder / "tokenizer"
    if not tokenizer_path.exists():
        _new_tokenizer(sentences, config.vocabulary).save_pretrained(tokenizer_path)
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_path)
    bert = BertForMaskedLM(
        BertConfig(
            vocab_size=len(tokenizer), hidden_size=config.width, num_hidden_layers=config.layers,
            num_attention_heads=config.heads, intermediate_size=4 * config.width,
            max_position_embeddings=_MAX_PIECES, pad_token_id=tokenizer.pad_token_id,
        )
    )  # fmt: skip
    modules = nn.ModuleDict({"bert": bert})
    coded = [tokenizer(sentence, truncation=True)["input_ids"] for sentence in sentences]

    def guess(rows: Sequence[list[int]], seed: str) -> tuple[Tensor, Tensor]:
        """Logits [n, V] and true pieces [n] of what was hidden."""
        longest = -(-max(map(len, rows)) // 8) * 8
        pad = tokenizer.pad_token_id
        ids = torch.tensor([[*row, *([pad] * (longest - len(row)))] for row in rows])
        hidden, picked = _masked(ids, tokenizer, random.Random(seed))
        states = bert.bert(input_ids=hidden, attention_mask=(ids != pad).long()).last_hidden_state
        return bert.cls(states[picked]).float(), ids[picked]  # only hidden places go through the wide last layer

    def batches(first: int) -> Iterator[list[list[int]]]:
        return endless_batches(coded, len, config.budget, seed=6, first_step=first)

    def losses(rows: list[list[int]], step: int) -> dict[str, Tensor]:
        logits, true = guess(rows, f"mask/{step}")
        return {"loss": functional.cross_entropy(logits, true)}

    def validate() -> dict[str, float]:
        rows = [tokenizer(sentence, truncation=True)["input_ids"] for sentence in held_out[:256]]
        logits, true = guess(rows, "check")
        return {
            "loss": float(functional.cross_entropy(logits, true)),
            "guessed": float((logits.argmax(-1) == true).float().mean()),
        }

    train("text_bert", folder, modules, batches, losses, loop, validate)
    bert.bert.save_pretrained(target)
    tokenizer.save_pretrained(target)
    return TextBert.load(target)


def spoken_ranges(tokenizer: ArpabetTokenizer, sentence: str, text: Sequence[int]) -> npt.NDArray[np.int64]:
    """[L, 2]: the characters of `sentence` that each of the item's text tokens belongs to.

    Where the teacher says other phones than the front end, the tokens between two agreeing ones share the characters
    between them evenly.
    """
    pieces = tokenizer.encode(sentence)
    ranges = np.array([(piece.char_begin, piece.char_end) for piece in pieces], dtype=np.int64).reshape(-1, 2)
    names = [VOCABULARY[token] for token in text]
    out = np.zeros((len(names), 2), dtype=np.int64)
    matcher = SequenceMatcher(None, [piece.text for piece in pieces], names, autojunk=False)
    for _, begin, end, first, last in matcher.get_opcodes():
        for k in range(first, last):
            # an inserted token belongs to the piece before it
            at = begin + (k - first) * (end - begin) // (last - first) if end > begin else max(0, begin - 1)
            if len(ranges):
                out[k] = ranges[min(at, len(ranges) - 1)]
    return out


def word_rows(bert: TextBert, items: Sequence[TokenItem], batch: int = 64) -> list[npt.NDArray[np.float16]]:
    """[N, width] for every item: the feature of the word spoken at each code, zero before the first phone.

    A word of several pieces has their mean.
    """
    tokenizer = ArpabetTokenizer()
    out: list[npt.NDArray[np.float16]] = []
    for begin in range(0, len(items), batch):
        part = items[begin : begin + batch]
        for item, (rows, chars) in zip(part, bert.features([i.sentence for i in part]), strict=True):
            ranges = spoken_ranges(tokenizer, item.sentence, item.text)
            inside = (chars[None, :, 0] < ranges[:, None, 1]) & (chars[None, :, 1] > ranges[:, None, 0])  # [L, K]
            shares = inside / np.maximum(1, inside.sum(1, keepdims=True))
            by_token = np.concatenate([shares @ rows, np.zeros((1, rows.shape[1]))])  # the last row: nothing spoken
            out.append(by_token[item.spoken.astype(np.int64)].astype(np.float16))
    return out
