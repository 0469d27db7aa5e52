"""What an utterance is spoken with: the voice's tensors, and the emotion merged into one vector (spec 3.3, 4.2)."""

from __future__ import annotations

import torch
from torch import Tensor

from .conditioning import Conditioner, VoiceConditioning
from .frontend.audio import Waveform
from .model.emotion_bank import EmotionBank, mix_bank, nearest_rows, random_rows, scale_weights
from .model.t2s import merge_emotion
from .requests import EmotionWeights, EmotionWords, Reference, UtteranceRequest

__all__ = ["prepare_prompts"]


def prepare_prompts(
    conditioner: Conditioner,
    bank: EmotionBank | None,
    request: UtteranceRequest,
    voice_clip: Waveform | None,
    emotion_clip: Waveform | None,
) -> tuple[VoiceConditioning, Tensor]:
    """(voice, emotion vector [M]) of a request; clips are encoded where their tensors are not kept yet.

    No emotion means the voice's own clip at full strength; strength scales weights and cuts them to four decimals (spec
    1.4). Bias and cap have been applied before (`Engine.speak`). ValueError for an emotion in words (it must be weights
    by now), and for weights where there is no `bank`.
    """
    voice = conditioner.voice(request.voice, voice_clip)
    match request.emotion:
        case None:
            return voice, voice.own_emotion
        case Reference() as clip:
            wanted = conditioner.emotion(clip, emotion_clip).emotion
            return voice, merge_emotion(voice.base_emotion, wanted, request.emotion_strength)
        case EmotionWeights(weights):
            if bank is None:
                raise ValueError("emotion weights need a bank")
            scaled = torch.tensor(scale_weights(weights, request.emotion_strength))  # [8]
            by_chance = request.emotion_mixing.random_style
            rows = random_rows(bank, request.seed) if by_chance else nearest_rows(bank, voice.style[None])  # [8]
            return voice, mix_bank(bank, rows, scaled, voice.own_emotion[None])[0]
        case EmotionWords():
            raise ValueError("an emotion in words must have become weights")
