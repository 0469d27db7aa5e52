"""Clips -> what CosyVoice2 needs of them.

clip -> 16 kHz -> filterbank -> speech tokenizer                 -> prompt_codes
                                -> token encoder -> projection   -> prompt_condition
                             -> CAMPPlus -> projection           -> style
     -> native rate -> log mel                                   -> prompt_mel
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..checkpoints.cosyvoice2 import LoadedCosyVoice2
from ..conditioning import EmotionConditioning, VoiceConditioning
from ..errors import Unsupported
from ..frontend.audio import Waveform
from ..frontend.fbank import fbank, minus_mean
from ..frontend.mel import log_mel
from ..frontend.resample import beginning_at

__all__ = ["CosyVoice2Prompts", "CosyVoice2Voice"]

_ENCODER_RATE_HZ = 16_000


@dataclass(frozen=True, slots=True, eq=False)
class CosyVoice2Voice(VoiceConditioning):
    """Speech tokens of the clip, for two networks that take different stretches of it."""

    prompt_codes: Tensor
    """All [T] int64: the language model may continue the first ones."""
    flow_codes: Tensor
    """Those of the prompt's mel [P / rows_per_token]: the flow continues them."""


class CosyVoice2Prompts:
    """`conditioning.PromptEncoder`. There is no emotion: its vector is empty."""

    voice_type = CosyVoice2Voice

    def __init__(self, loaded: LoadedCosyVoice2) -> None:
        self._networks, self._config = loaded.networks, loaded.config
        self._passes = 0

    @property
    def passes(self) -> int:
        return self._passes

    @torch.inference_mode()
    def encode_voice(self, clip: Waveform) -> CosyVoice2Voice:
        networks, speech = self._networks, self._config.speech
        native = self._cut(clip, speech.sample_rate_hz, speech.s2m_prompt_limit_s)
        features = minus_mean(fbank(self._cut(clip, _ENCODER_RATE_HZ, speech.prompt_limit_s)))  # [F,80]
        codes = networks.speech_tokenizer(features)  # [T]
        self._passes += 1
        mel = log_mel(native[None], self._config.mel)[0]
        # A token's frames go with it: what one of the two has more at the end is dropped.
        rows = self._config.encoder.rows_per_token
        tokens = min(len(codes), mel.shape[1] // rows)
        return CosyVoice2Voice(
            style=networks.flow.style(networks.style(features[None])[0]),
            prompt_mel=mel[:, : tokens * rows],
            prompt_condition=networks.flow.condition(networks.flow.encoder(codes[:tokens])),
            prompt_codes=codes,
            flow_codes=codes[:tokens],
        )

    def encode_emotion(self, clip: Waveform) -> EmotionConditioning:
        """Unsupported EMOTION_UNSUPPORTED."""
        raise _no_emotion()

    def own_emotion(self, voice: VoiceConditioning) -> Tensor:
        return torch.zeros(0)

    def toward_clip(self, voice: VoiceConditioning, clip: EmotionConditioning, strength: float) -> Tensor:
        """Unsupported EMOTION_UNSUPPORTED."""
        raise _no_emotion()

    def weighted(self, voice: VoiceConditioning, weights: Sequence[float], chance: int | None) -> Tensor:
        """Unsupported EMOTION_UNSUPPORTED."""
        raise _no_emotion()

    def _cut(self, clip: Waveform, rate_hz: int, limit_s: float) -> Tensor:
        """The clip's samples [n] at another rate, from its start."""
        return beginning_at(clip.samples, clip.sample_rate_hz, rate_hz, limit_s)


def _no_emotion() -> Unsupported:
    return Unsupported("this kind of model has no emotions", reason="EMOTION_UNSUPPORTED", field="emotion")
