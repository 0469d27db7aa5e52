"""Text and speech tokens in one sequence of a causal language model.

    [start | text | task | speech tokens of the prompt | speech tokens ...]

Text has the language model's own embedding, speech tokens one of their own; a head over speech tokens reads the states.
The blocks are Qwen2's, as `transformers` has them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import DynamicCache, Qwen2Config, Qwen2Model

__all__ = ["LanguageModelConfig", "SpeechLanguageModel"]

_START, _TASK = 0, 1
_SPECIAL_TOKENS = 3
"""Ids of the head beyond the codes: the end, and two that CosyVoice2's mixed mode of text and speech has and speech
after a whole text never draws."""


@dataclass(frozen=True, slots=True)
class LanguageModelConfig:
    """Sizes; the defaults are Qwen2.5 0.5B's. `text_tokens`: ids of the text tokenizer."""

    text_tokens: int = 151_936
    width: int = 896
    layers: int = 24
    heads: int = 14
    key_heads: int = 2
    feed_forward_width: int = 4864
    rotary_base: float = 1_000_000.0


class SpeechLanguageModel(nn.Module):
    """`codes` speech tokens 0 ... codes - 1; `stop` is the id that ends speech."""

    def __init__(self, codes: int, config: LanguageModelConfig) -> None:
        super().__init__()
        self.config = config
        self.codes = codes
        self.llm = Qwen2Model(_qwen2(config))
        self.llm_embedding = nn.Embedding(2, config.width)
        self.speech_embedding = nn.Embedding(codes + _SPECIAL_TOKENS, config.width)
        self.llm_decoder = nn.Linear(config.width, codes + _SPECIAL_TOKENS)

    @property
    def stop(self) -> int:
        return self.codes

    @property
    def unused(self) -> tuple[int, ...]:
        """Ids of the head that are neither a code nor the end."""
        return tuple(range(self.codes + 1, self.codes + _SPECIAL_TOKENS))

    def prefix(self, text_ids: Tensor, prompt_codes: Tensor) -> Tensor:
        """text_ids [L], prompt_codes [P] int64 -> [L + P + 2, width]: everything before the first token."""
        marks = self.llm_embedding.weight
        text = self.llm.embed_tokens(text_ids)
        prompt = self.speech_embedding(prompt_codes)
        return torch.cat((marks[_START, None], text, marks[_TASK, None], prompt))

    def empty_cache(self) -> DynamicCache:
        """Of a sequence without rows."""
        return DynamicCache(config=self.llm.config)

    def run(self, rows: Tensor, cache: DynamicCache) -> Tensor:
        """Rows [S,width] after those in the cache, which they join -> logits [codes + 3] of what follows the last."""
        states = self.llm(inputs_embeds=rows[None], past_key_values=cache, use_cache=True).last_hidden_state  # [1,S,D]
        logits: Tensor = self.llm_decoder(states[0, -1])
        return logits

    def code_row(self, code: int) -> Tensor:
        """[1,width]: the row of a token that was drawn."""
        return self.speech_embedding.weight[code][None]


def _qwen2(config: LanguageModelConfig) -> Qwen2Config:
    return Qwen2Config(
        vocab_size=config.text_tokens,
        hidden_size=config.width,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        num_key_value_heads=config.key_heads,
        intermediate_size=config.feed_forward_width,
        rope_parameters={"rope_type": "default", "rope_theta": config.rotary_base},
        # No text ever pads here, and none ends a sequence.
        pad_token_id=None,
        bos_token_id=None,
        eos_token_id=None,
    )
