"""The whole of words to emotion: a base, tuned on labelled sentences, written as a folder that is served.

`python -m oncue_engine.training words` runs it with the recipe's schedule on the small student;
`python -m oncue_engine.training.words --base Qwen/Qwen3-1.7B` tunes another base with the same data.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from oncue_engine.training.loop import LoopConfig
from oncue_engine.training.processes import join
from oncue_engine.training.words import STUDENT_FOLDER
from oncue_engine.training.words.augment import Augment, related_substitutes
from oncue_engine.training.words.base import make_base
from oncue_engine.training.words.labelled import DATA_FOLDER, LabelledText, held_out_stems, read_labelled
from oncue_engine.training.words.language_data import SLOT, plain_words
from oncue_engine.training.words.language_model import StudentSizes
from oncue_engine.training.words.situations import situation_texts
from oncue_engine.training.words.templates import templated_texts
from oncue_engine.training.words.tokenizer import write_tokenizer
from oncue_engine.training.words.tuning import LoraSizes, Question, answer_ids, tune
from oncue_engine.training.words.wordnet import read_wordnet, related_words
from oncue_engine.words.student import CONFIG_FILE, READING_FILE, TOKENIZER_FILE, WEIGHTS_FILE
from oncue_engine.words.whole_weights import write_whole

__all__ = ["PUBLIC_SLOT", "WordsSchedule", "make_student", "write_student"]

PUBLIC_SLOT = "\nThe feeling in this, in one word (happy, angry, sad, afraid, disgusted, surprised or calm):"
"""The question to a base that was trained by others."""

_TEMPLATED = 14000
_TEMPLATED_SHARE = 0.25
_MAX_TOKENS = 128
_EMBEDDING = "model.embed_tokens.weight"


@dataclass(frozen=True, slots=True)
class WordsSchedule:
    language: LoopConfig
    tuning: LoopConfig


def write_student(model: PreTrainedModel, tokenizer: Tokenizer, question: Question, folder: Path, small: bool) -> None:
    """Write what `WordsToEmotion.load` reads; `small`: the embedding was snapped to four bits (base.py)."""
    folder.mkdir(parents=True, exist_ok=True)
    tied = bool(model.config.tie_word_embeddings)
    state = {name: value for name, value in model.state_dict().items() if not (tied and name == "lm_head.weight")}
    write_whole(state, folder / WEIGHTS_FILE, four_bits=(_EMBEDDING,) if small else ())
    model.config.to_json_file(folder / CONFIG_FILE)
    write_tokenizer(tokenizer, folder / TOKENIZER_FILE)
    reading = {"slot": question.slot, "answers": answer_ids(tokenizer), "max_tokens": _MAX_TOKENS}
    (folder / READING_FILE).write_text(json.dumps(reading) + "\n", encoding="utf-8")


def _augment(items: Sequence[LabelledText]) -> Augment:
    words = {word for item in items for word in plain_words(item.text)}
    substitutes = related_substitutes(list(related_words(read_wordnet())), words, held_out_stems())
    return Augment(substitutes, [item.text for item in items if item.weights[-1] > 0.85 and item.text[-1] == "."])


def make_student(
    folder: Path,
    schedule: WordsSchedule,
    base: str | None = None,
    labelled: Sequence[Path] = (),
    dev: Path | None = None,
) -> Path:
    """Train in `folder`, resuming; returns `<folder>/student`, which `WordsToEmotion.load` reads.

    `base`: a folder or hub name in the layout of `transformers`; none: the small student is made first. `labelled`:
    JSONL files beside the seed set (labelled.py); `dev`: what progress is measured on.
    """
    question = Question(SLOT if base is None else PUBLIC_SLOT, width_tokens=26 if base is None else 96)
    name = str(make_base(folder, StudentSizes(), schedule.language)) if base is None else base
    model = AutoModelForCausalLM.from_pretrained(name, dtype=torch.float32)
    # Our own tokenizer is no class that `transformers` knows.
    own = Path(name) / "tokenizer.json"
    tokenizer = Tokenizer.from_file(str(own)) if own.exists() else AutoTokenizer.from_pretrained(name).backend_tokenizer
    seed = read_labelled(DATA_FOLDER / "train.jsonl")
    hand_written = seed + [item for path in labelled for item in read_labelled(path)]
    tuned = tune(
        model,
        tokenizer,
        [
            (hand_written, 1 - 2 * _TEMPLATED_SHARE),
            (templated_texts(_TEMPLATED, seed=1), _TEMPLATED_SHARE),
            (situation_texts(_TEMPLATED, seed=1), _TEMPLATED_SHARE),
        ],
        read_labelled(dev or DATA_FOLDER / "dev.jsonl"),
        _augment(seed),
        question,
        folder / "tuning",
        schedule.tuning,
        LoraSizes(),
    )
    student = folder / STUDENT_FOLDER
    if join(schedule.tuning.device).first:
        write_student(tuned, tokenizer, question, student, small=base is None)
    return student
