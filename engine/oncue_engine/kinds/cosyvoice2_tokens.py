"""Speech tokens of CosyVoice2's language model, for a number of segments at once.

Every sequence has a cache of its own and goes through the network by itself: what it says is the same to the bit alone
and in any crowd.
"""

from __future__ import annotations

from collections.abc import Sequence as Rows

import numpy as np
import torch
from torch import Tensor
from transformers import DynamicCache

from ..checkpoints.cosyvoice2_config import CosyVoice2Config
from ..conditioning import VoiceConditioning
from ..decoding.batch import Sequence, SequenceSpec
from ..decoding.slots import slots_within
from ..model.cosyvoice2.language_model import SpeechLanguageModel
from .cosyvoice2_prompts import CosyVoice2Voice

__all__ = ["CosyVoice2Tokens"]

_NO_LATENT = np.zeros(0, dtype=np.float32)


class CosyVoice2Tokens:
    """`model_interface.TokenStage`."""

    def __init__(self, llm: SpeechLanguageModel, config: CosyVoice2Config) -> None:
        self._llm = llm
        self._prompt_codes = int(config.prompt.language_model_s * config.speech.token_rate_hz)
        self._free = list(range(_slots(config, self._prompt_codes)))
        self._caches: dict[int, DynamicCache] = {}
        """Of the sequences that hold a slot."""

    @property
    def free_slots(self) -> int:
        return len(self._free)

    @torch.inference_mode()
    def start(
        self, voice: VoiceConditioning, emotion: Tensor, text_ids: tuple[int, ...], spec: SequenceSpec
    ) -> Sequence:
        """`emotion` is empty: there is none."""
        assert isinstance(voice, CosyVoice2Voice)
        prefix = self._llm.prefix(torch.tensor(text_ids, dtype=torch.int64), voice.prompt_codes[: self._prompt_codes])
        slot = self._free.pop(0)
        sequence = Sequence.begin(spec, slot, len(prefix), width=0)
        try:
            self._caches[slot] = self._llm.empty_cache()
            self._advance(sequence, prefix)
        except BaseException:
            self.release(sequence)
            raise
        return sequence

    @torch.inference_mode()
    def step(self, sequences: Rows[Sequence]) -> None:
        for sequence in sequences:
            if not sequence.live:
                continue
            try:
                self._advance(sequence, self._llm.code_row(sequence.codes[-1]))
                sequence.length += 1
            except Exception as error:
                sequence.error = error

    def release(self, sequence: Sequence) -> None:
        self._caches.pop(sequence.slot, None)
        self._free.append(sequence.slot)
        self._free.sort()

    def _advance(self, sequence: Sequence, rows: Tensor) -> None:
        logits = self._llm.run(rows, self._caches[sequence.slot])
        sequence.draw(logits.numpy(), _NO_LATENT, stop=self._llm.stop, never=self._llm.unused)


def _slots(config: CosyVoice2Config, prompt_codes: int) -> int:
    """Segments whose tokens are drawn at once."""
    llm, speech = config.llm, config.speech
    positions = 2 + speech.max_segment_pieces + prompt_codes + speech.max_segment_tokens
    numbers = positions * llm.layers * llm.key_heads * (llm.width // llm.heads) * 2
    return slots_within(numbers * 4)
