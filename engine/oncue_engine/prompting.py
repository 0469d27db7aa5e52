"""What an utterance is spoken with: the voice's tensors, and the emotion merged into one vector (spec 3.3, 4.2)."""

from __future__ import annotations

from torch import Tensor

from .conditioning import Conditioner, VoiceConditioning
from .model.emotion_bank import scale_weights
from .requests import EmotionWeights, EmotionWords, Reference
from .script import Script
from .utterance import Utterance

__all__ = ["prepare_prompts"]


def prepare_prompts(conditioner: Conditioner, utterance: Utterance) -> tuple[VoiceConditioning, Tensor]:
    """Give an utterance its voice and its emotion vector [M], and return them. Clips are encoded where their tensors
    are not kept yet.

    ValueError for an emotion in words (it must be weights by now), and for weights where the model takes none.
    """
    before = conditioner.prompt_encodes
    voice, emotion = _prompts(conditioner, utterance.script)
    utterance.prompt_encodes += conditioner.prompt_encodes - before
    utterance.voice, utterance.emotion = voice, emotion
    return voice, emotion


def _prompts(conditioner: Conditioner, script: Script) -> tuple[VoiceConditioning, Tensor]:
    """No emotion means the voice's own clip at full strength; strength scales weights and cuts them to four decimals
    (spec 1.4). Bias and cap have been applied before (`Engine.speak`)."""
    request, prompts = script.request, conditioner.prompts
    voice = conditioner.voice(request.voice, script.voice_clip)
    match request.emotion:
        case None:
            return voice, prompts.own_emotion(voice)
        case Reference() as clip:
            wanted = conditioner.emotion(clip, script.emotion_clip)
            return voice, prompts.toward_clip(voice, wanted, request.emotion_strength)
        case EmotionWeights(weights):
            scaled = scale_weights(weights, request.emotion_strength)
            chance = request.seed if request.emotion_mixing.random_style else None
            return voice, prompts.weighted(voice, scaled, chance)
        case EmotionWords():
            raise ValueError("an emotion in words must have become weights")
