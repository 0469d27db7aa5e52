"""The public language model that names the emotions of a text (spec 4.4): a Qwen3 that was tuned for it.

A folder of it is in the layout of `transformers`: config.json, tokenizer.json, a chat template, weights in safetensors.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch

from ..errors import CheckpointError
from .qwen_answer import END_OF_THOUGHT_ID, after_thought

__all__ = ["Qwen"]

_TASK = "文本情感分类"
"""What the model was tuned to be told first: sort texts by emotion."""
_MAX_NEW_TOKENS = 256
"""Eight labels and scores take about seventy. The reference allows 32768, in which a model that does not end hangs."""


class Qwen:
    """The loaded model: no gradients; the same text has the same answer. For one thread at a time."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self._model = model
        self._tokenizer = tokenizer
        marks: dict[str, int] = tokenizer.get_added_vocab()
        self._marks = sorted(marks, key=len, reverse=True)
        self._end_of_thought = marks.get("</think>", END_OF_THOUGHT_ID)

    @classmethod
    def load(cls, folder: Path) -> Qwen:
        """Read a folder, and nothing but it: no network, no code, no pickles. Takes seconds.

        CheckpointError for what is missing, extra, misshapen or damaged.
        """
        from transformers import AutoModelForCausalLM, AutoTokenizer
        from transformers.utils import logging

        logging.set_verbosity_error()  # type: ignore[no-untyped-call]
        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        model: Any
        found: dict[str, Any]
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            model, found = AutoModelForCausalLM.from_pretrained(  # type: ignore[misc]  # a pair with the loading info
                folder,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                dtype=_dtype(),
                # Told with the others below, by name; the library would only point to its log.
                ignore_mismatched_sizes=True,
                output_loading_info=True,
            )
        except Exception as error:  # the library raises whatever the readers below it do
            raise CheckpointError(f"{folder.name} cannot be read: {error}") from error
        wrong = {kind: sorted(map(str, keys)) for kind, keys in found.items() if keys}
        if wrong:
            raise CheckpointError(f"{folder.name}: {wrong}", reason="CHECKPOINT_KEYS")
        if not tokenizer.chat_template:
            raise CheckpointError(f"{folder.name} has no chat template", reason="CHECKPOINT_FILE_MISSING")
        return cls(model.eval().requires_grad_(False), tokenizer)

    @torch.inference_mode()
    def answer(self, text: str) -> str:
        """What the model says of a text, without its thoughts.

        Tokens are drawn as the folder's generation config says; where that is by chance, the text is the seed.
        """
        # A mark in the text would end the user's turn, and the rest would speak with another voice.
        for mark in self._marks:
            text = text.replace(mark, " ")
        chat = self._tokenizer.apply_chat_template(
            [{"role": "system", "content": _TASK}, {"role": "user", "content": text}],
            add_generation_prompt=True,
            enable_thinking=False,
            return_dict=True,
            return_tensors="pt",
        )
        ids = chat["input_ids"]  # [1, prompt]
        torch.manual_seed(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) >> 1)
        said = self._model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=_MAX_NEW_TOKENS,
            pad_token_id=self._tokenizer.eos_token_id,
        )
        new: list[int] = said[0, ids.shape[1] :].tolist()
        kept = after_thought(new, self._end_of_thought)
        return str(self._tokenizer.decode(kept, skip_special_tokens=True))


def _dtype() -> torch.dtype:
    """bfloat16 where the machine multiplies it: half the memory, which is what a token waits for."""
    multiplies = torch.backends.cpu.get_cpu_capability() == "AVX512" and torch.cpu._is_avx512_bf16_supported()
    return torch.bfloat16 if multiplies else torch.float32
