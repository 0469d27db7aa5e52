"""What an utterance takes from its prompts: the voice, and the emotion merged into one vector."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .checkpoints.loaded import LoadedModel
from .conditioning import Conditioner, VoiceConditioning
from .frontend.audio import Waveform
from .model.emotion_bank import mix_bank, scale_weights
from .model.t2s import merge_emotion
from .requests import EmotionWeights, Reference, UtteranceRequest

__all__ = ["Prompts", "find_prompts"]


@dataclass(frozen=True, slots=True, eq=False)
class Prompts:
    """Ready for the first token."""

    voice: VoiceConditioning
    emotion: Tensor
    """[M]"""
    encodes: int
    """Passes of the semantic encoder that it took."""


def find_prompts(
    model: LoadedModel,
    conditioner: Conditioner,
    request: UtteranceRequest,
    voice_clip: Waveform | None,
    emotion_clip: Waveform | None,
) -> Prompts:
    """Find or make what the prompts give, and merge the emotion (spec 3.3, 4.2).

    The clips are those that were not kept when the request came. ReferenceRejected where one cannot be read.
    """
    before = conditioner.prompt_encodes
    voice = conditioner.voice(request.voice, voice_clip)
    match request.emotion:
        case Reference() as clip:
            wanted = conditioner.emotion(clip, emotion_clip).emotion
            emotion = merge_emotion(voice.base_emotion, wanted, request.emotion_strength)
        case EmotionWeights(weights):
            bank = model.emotion_bank
            assert bank is not None  # checked at the door
            scaled = torch.tensor(scale_weights(weights, request.emotion_strength))
            emotion = mix_bank(bank, voice.style[None], scaled, voice.own_emotion[None])[0]
        case _:
            # Words have become weights at the door.
            emotion = voice.own_emotion
    return Prompts(voice, emotion, conditioner.prompt_encodes - before)
