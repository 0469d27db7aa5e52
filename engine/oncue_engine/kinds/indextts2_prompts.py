"""Clips -> what IndexTTS2 needs of them (spec 1, 3.1, 4.2).

clip -> native rate -> log mel                                   -> prompt_mel
     -> 16 kHz -> semantic encoder -> normalised features        -> speaker latents, emotion vectors
                                   -> codec.quantize -> regulate -> prompt_condition
     -> 16 kHz -> filterbank -> CAMPPlus                         -> style
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..checkpoints.loaded import LoadedModel
from ..conditioning import EmotionConditioning, VoiceConditioning
from ..frontend.audio import Waveform
from ..frontend.fbank import fbank, minus_mean
from ..frontend.mel import log_mel
from ..frontend.resample import beginning_at, sinc_resample
from ..frontend.speech_features import speech_features
from ..model.emotion_bank import mix_bank, nearest_rows, random_rows
from ..model.t2s import merge_emotion

__all__ = ["IndexTTS2Prompts", "IndexTTS2Voice"]

_ENCODER_RATE_HZ = 16_000
_SPEECH_BELOW_PEAK = 10 ** (-35 / 20)
"""The first sample this close to the clip's peak is taken for speech."""
_LEAD_IN_S = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class IndexTTS2Voice(VoiceConditioning):
    """K speaker rows."""

    latents: Tensor
    """What the T2S knows the speaker by [K,M]."""
    base_emotion: Tensor
    """Emotion vector [M] of the clip through the speaker path: where strength 0 stands (spec 3.3)."""
    own_emotion: Tensor
    """Emotion vector [M] of the clip as an emotion prompt: what speech without an emotion uses (spec 1.4)."""


class IndexTTS2Prompts:
    """`conditioning.PromptEncoder`."""

    voice_type = IndexTTS2Voice

    def __init__(self, model: LoadedModel) -> None:
        self._model = model
        self._passes = 0

    @property
    def passes(self) -> int:
        return self._passes

    @torch.inference_mode()
    def encode_voice(self, clip: Waveform) -> IndexTTS2Voice:
        model, config = self._model, self._model.config
        native_hz = config.speech.sample_rate_hz
        native = self._cut(clip, native_hz)
        # The public pipeline makes its 16 kHz from the native signal, not from the file (spec 1.1).
        at_16k = sinc_resample(native, native_hz, _ENCODER_RATE_HZ)
        features = self._encode(at_16k)  # [1,T,D]
        lengths = torch.tensor([features.shape[1]])
        style = model.style(minus_mean(fbank(at_16k))[None])[0]
        base = model.t2s.emotion_vector(features, lengths)[0]
        own = base if native_hz == _ENCODER_RATE_HZ else self.encode_emotion(clip).emotion
        mel, condition = self._s2m_prompt(native, features)
        return IndexTTS2Voice(
            latents=self._speaker_rows(features, style),
            style=style,
            prompt_mel=mel,
            prompt_condition=condition,
            base_emotion=base,
            own_emotion=own,
        )

    @torch.inference_mode()
    def encode_emotion(self, clip: Waveform) -> EmotionConditioning:
        # Emotion clips go to 16 kHz directly (spec 1.1).
        features = self._encode(self._cut(clip, _ENCODER_RATE_HZ))
        return EmotionConditioning(self._model.t2s.emotion_vector(features, torch.tensor([features.shape[1]]))[0])

    def own_emotion(self, voice: VoiceConditioning) -> Tensor:
        assert isinstance(voice, IndexTTS2Voice)
        return voice.own_emotion

    def toward_clip(self, voice: VoiceConditioning, clip: EmotionConditioning, strength: float) -> Tensor:
        assert isinstance(voice, IndexTTS2Voice)
        return merge_emotion(voice.base_emotion, clip.emotion, strength)

    def weighted(self, voice: VoiceConditioning, weights: Sequence[float], chance: int | None) -> Tensor:
        """ValueError where the model has no bank."""
        assert isinstance(voice, IndexTTS2Voice)
        bank = self._model.emotion_bank
        if bank is None:
            raise ValueError("emotion weights need a bank")
        rows = nearest_rows(bank, voice.style[None]) if chance is None else random_rows(bank, chance)  # [8]
        return mix_bank(bank, rows, torch.tensor(weights), voice.own_emotion[None])[0]

    def _speaker_rows(self, features: Tensor, style: Tensor) -> Tensor:
        """features [1,T,D], style [S] -> the rows [K,M] that the T2S knows the speaker by."""
        return self._model.t2s.speaker_latents(features, torch.tensor([features.shape[1]]))[0]

    def _prompt_content(self, features: Tensor) -> Tensor:
        """features [1,T,D] of the whole clip -> what S2M's prompt says [1,T,D]: quantised (spec 6.1)."""
        _, embeddings = self._model.codec.quantize(features)
        return embeddings

    def _cut(self, clip: Waveform, rate_hz: int) -> Tensor:
        """The clip's samples [n] at another rate, cut to the model's limit from its start."""
        return beginning_at(clip.samples, clip.sample_rate_hz, rate_hz, self._model.config.speech.prompt_limit_s)

    def _encode(self, at_16k: Tensor) -> Tensor:
        """Samples [n] at 16 kHz -> normalised semantic features [1,T,D]."""
        features, mask = speech_features(at_16k, self._model.config.speech.feature_stride)
        self._passes += 1
        return self._model.encoder.semantic_features(features[None], mask[None])

    def _s2m_prompt(self, native: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """(mel [80,P], condition [P,C]) of `s2m_prompt_limit_s` of the clip."""
        model, speech = self._model, self._model.config.speech
        limit = int(speech.s2m_prompt_limit_s * speech.sample_rate_hz)
        # Where S2M takes less than the others it need not spend that on the silence before the first word.
        begin = min(_speech_begin(native, speech.sample_rate_hz), max(0, len(native) - limit))
        kept = native[begin : begin + limit]
        mel = log_mel(kept[None], model.config.mel)[0]
        content = self._prompt_content(features)
        rows_per_sample = content.shape[1] / len(native)
        first, rows = int(begin * rows_per_sample), max(1, round(len(kept) * rows_per_sample))
        condition = model.s2mel.length_regulator(content[:, first : first + rows], mel.shape[1])[0]
        return mel, condition


def _speech_begin(samples: Tensor, rate_hz: int) -> int:
    """The sample a little before the first that is loud, in samples [n]."""
    level = samples.abs()
    loud = int((level >= level.max() * _SPEECH_BELOW_PEAK).float().argmax())
    return max(0, loud - round(_LEAD_IN_S * rate_hz))
