"""What an utterance is spoken with: the voice's tensors, and the emotion merged into one vector (spec 3.3, 4.2)."""

from __future__ import annotations

from torch import Tensor

from .conditioning import Conditioner, PromptEncoder, VoiceConditioning
from .frontend.audio import Waveform
from .model.emotion_bank import scale_weights
from .requests import EmotionWeights, EmotionWords, Reference, UtteranceRequest

__all__ = ["prepare_prompts"]


def prepare_prompts(
    conditioner: Conditioner,
    prompts: PromptEncoder,
    request: UtteranceRequest,
    voice_clip: Waveform | None,
    emotion_clip: Waveform | None,
) -> tuple[VoiceConditioning, Tensor]:
    """(voice, emotion vector [M]) of a request; clips are encoded where their tensors are not kept yet.

    No emotion means the voice's own clip at full strength; strength scales weights and cuts them to four decimals (spec
    1.4). Bias and cap have been applied before (`Engine.speak`). ValueError for an emotion in words (it must be weights
    by now), and for weights where the model takes none.
    """
    voice = conditioner.voice(request.voice, voice_clip)
    match request.emotion:
        case None:
            return voice, prompts.own_emotion(voice)
        case Reference() as clip:
            wanted = conditioner.emotion(clip, emotion_clip)
            return voice, prompts.toward_clip(voice, wanted, request.emotion_strength)
        case EmotionWeights(weights):
            scaled = scale_weights(weights, request.emotion_strength)
            chance = request.seed if request.emotion_mixing.random_style else None
            return voice, prompts.weighted(voice, scaled, chance)
        case EmotionWords():
            raise ValueError("an emotion in words must have become weights")
