"""The student that turns words into emotion weights (paper section 3.4; its place in the public model: spec 4.4).

A Qwen3 reads the text and a fixed slot after it; the scores of a few answer words at the slot, one for each emotion,
become the weights. A folder of it holds

    words.json          {"slot": text, "answers": {emotion: token id}, "max_tokens": n}
    config.json         sizes, in the layout of `transformers`
    tokenizer.json      in the layout of `tokenizers`
    model.safetensors   weights (whole_weights.py), LoRA already merged
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..errors import CheckpointError
from .whole_weights import read_whole

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["CONFIG_FILE", "EMOTIONS", "MAX_CHARS", "READING_FILE", "TOKENIZER_FILE", "WEIGHTS_FILE", "WordsToEmotion"]

EMOTIONS = ("happy", "angry", "sad", "afraid", "disgusted", "surprised", "calm")
"""The paper's seven, by their public names: neutral is `calm`."""

MAX_CHARS = 2000
READING_FILE, CONFIG_FILE, TOKENIZER_FILE, WEIGHTS_FILE = (
    "words.json",
    "config.json",
    "tokenizer.json",
    "model.safetensors",
)


@dataclass(frozen=True, slots=True)
class _Reading:
    """How the model is asked."""

    slot: str
    answers: Mapping[str, int]
    max_tokens: int


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing", reason="CHECKPOINT_FILE_MISSING") from None
    except ValueError as error:
        raise CheckpointError(f"{path} is no JSON: {error}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} is no JSON object")
    return content


def _reading(path: Path) -> _Reading:
    content = _read_json(path)
    try:
        reading = _Reading(str(content["slot"]), dict(content["answers"]), int(content["max_tokens"]))
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path.name}: needed are slot, answers and max_tokens ({error!r})") from error
    unknown = sorted(set(reading.answers) - set(EMOTIONS))
    if unknown or not reading.answers:
        raise CheckpointError(f"{path.name}: answers must be among {', '.join(EMOTIONS)}; unknown: {unknown}")
    return reading


class WordsToEmotion:
    """One loaded student: float32, no gradients; the same text has the same answer. Several threads may use it."""

    def __init__(self, model: Any, tokenizer: Tokenizer, reading: _Reading) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._slot: list[int] = tokenizer.encode(reading.slot).ids
        self._names = tuple(reading.answers)
        self._answers = torch.tensor([reading.answers[name] for name in self._names])
        self._window_tokens = reading.max_tokens - len(self._slot)
        if self._window_tokens < 1:
            raise CheckpointError(f"{READING_FILE}: max_tokens {reading.max_tokens} leave no room for a text")

    @classmethod
    def load(cls, folder: Path) -> WordsToEmotion:
        """Read a folder. CheckpointError names the file or key that is wrong. Takes seconds: imports `transformers`."""
        from tokenizers import Tokenizer
        from transformers import Qwen3Config, Qwen3ForCausalLM

        reading = _reading(folder / READING_FILE)
        config = Qwen3Config.from_dict(_read_json(folder / CONFIG_FILE))
        tokenizer_path = folder / TOKENIZER_FILE
        if not tokenizer_path.is_file():
            raise CheckpointError(f"{tokenizer_path} is missing", reason="CHECKPOINT_FILE_MISSING")
        try:
            tokenizer = Tokenizer.from_file(str(tokenizer_path))
        except Exception as error:  # `tokenizers` raises bare Exception
            raise CheckpointError(f"{tokenizer_path} cannot be read: {error}") from error
        outside = {name: token for name, token in reading.answers.items() if not 0 <= token < config.vocab_size}
        if outside:
            raise CheckpointError(f"{READING_FILE}: answers outside the vocabulary of {config.vocab_size}: {outside}")
        model = Qwen3ForCausalLM(config)
        state = read_whole(folder / WEIGHTS_FILE)
        if config.tie_word_embeddings and "model.embed_tokens.weight" in state:
            state["lm_head.weight"] = state["model.embed_tokens.weight"]
        try:
            model.load_state_dict(state, strict=True)
        except RuntimeError as error:
            raise CheckpointError(f"{WEIGHTS_FILE}: {error}", reason="CHECKPOINT_KEYS") from error
        return cls(model.eval().requires_grad_(False), tokenizer, reading)  # type: ignore[no-untyped-call]

    @property
    def emotions(self) -> tuple[str, ...]:
        """The names that `weigh` gives, among the public eight."""
        return self._names

    def weigh(self, text: str) -> dict[str, float]:
        """Weights of the emotions that `text` carries or describes, each in [0, 1], with sum 1.

        A text beyond the model's window is weighed window by window and averaged over tokens. A text without a letter
        or a digit is calm. ValueError for a text that is empty, longer than MAX_CHARS, or no valid Unicode.
        """
        text = " ".join(text.split())
        if not text:
            raise ValueError("the emotion's words are empty")
        if len(text) > MAX_CHARS:
            raise ValueError(f"the emotion's words have {len(text)} characters, at most {MAX_CHARS} are allowed")
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise ValueError(f"the emotion's words are no valid Unicode: {error.reason}") from error
        if not any(unicodedata.category(letter)[0] in "LN" for letter in text):
            return {name: float(name == "calm") for name in self._names}
        ids = self._tokenizer.encode(text, add_special_tokens=False).ids
        total = torch.zeros(len(self._names), dtype=torch.float64)
        for start in range(0, len(ids), self._window_tokens):
            window = ids[start : start + self._window_tokens]
            total += len(window) * self._distribution(window)
        weights = (total / total.sum()).tolist()
        return dict(zip(self._names, weights, strict=True))

    def warm_up(self) -> None:
        """The first answer takes longer than the others."""
        self.weigh("calm and even")

    def close(self) -> None:
        """Nothing runs but calls of `weigh`."""

    @torch.inference_mode()
    def _distribution(self, window: list[int]) -> Tensor:
        """[emotions] float64."""
        ids = torch.tensor([[*window, *self._slot]])
        last = self._model.model(input_ids=ids, use_cache=False).last_hidden_state[0, -1]  # [hidden]
        scores: Tensor = self._model.lm_head.weight[self._answers] @ last  # [emotions]
        return scores.to(torch.float64).softmax(0)
