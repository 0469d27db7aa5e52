"""CosyVoice2's shape: a language model over text and speech tokens, a flow on token encodings, a harmonic vocoder.

What it has not: latents beside the codes, any emotion, and a way to be told a length.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ..checkpoints.config import SpeechConfig
from ..checkpoints.cosyvoice2 import LoadedCosyVoice2
from ..checkpoints.pace import Pace
from ..conditioning import VoiceConditioning
from ..frontend.text import TextFrontend
from ..model.cosyvoice2.flow import TokenFlow
from ..model.packed_vocoder import inference_form
from ..options import DecodingName, ResolvedOptions
from ..rendering.flow_batch import FlowBatch
from ..rendering.wave import Vocoder
from .cosyvoice2_prompts import CosyVoice2Prompts, CosyVoice2Voice
from .cosyvoice2_tokens import CosyVoice2Tokens

__all__ = ["CosyVoice2", "CosyVoice2Semantics"]


class CosyVoice2:
    """`model_interface.SpeechModel`."""

    emotions: tuple[str, ...] = ()
    takes_emotion_clips = False
    emotion_words = None
    duration_control = "constructed"
    duration_experiment = False
    decodings: tuple[DecodingName, ...] = ("streaming",)

    def __init__(self, loaded: LoadedCosyVoice2) -> None:
        self._loaded = loaded

    @property
    def name(self) -> str:
        return self.speech.name

    @property
    def fingerprint(self) -> str:
        return self._loaded.fingerprint

    @property
    def speech(self) -> SpeechConfig:
        return self._loaded.config.speech

    @property
    def text(self) -> TextFrontend:
        return self._loaded.text

    @property
    def pace(self) -> Pace:
        return self._loaded.pace

    @property
    def parameters(self) -> int:
        return self._loaded.parameters

    @cached_property
    def prompts(self) -> CosyVoice2Prompts:
        return CosyVoice2Prompts(self._loaded)

    @property
    def hop_samples(self) -> int:
        return self._loaded.config.mel.hop_length

    @property
    def vocoder_reach_frames(self) -> int:
        return self._loaded.networks.vocoder.context_frames

    @property
    def filler_text_id(self) -> int:
        return self._loaded.filler_piece

    def token_stage(self, options: ResolvedOptions) -> CosyVoice2Tokens:
        """Weights are float32, whatever the options say."""
        return CosyVoice2Tokens(self._loaded.networks.llm, self._loaded.config)

    def renderer(self, options: ResolvedOptions) -> CosyVoice2Renderer:
        networks = self._loaded.networks
        return CosyVoice2Renderer(
            semantics=CosyVoice2Semantics(networks.flow),
            flow=FlowBatch(networks.flow.estimator, self.speech.guidance, options.dtype),
            vocoder=inference_form(networks.vocoder, options.dtype),
        )


@dataclass(frozen=True, slots=True, eq=False)
class CosyVoice2Renderer:
    """`model_interface.Renderer`."""

    semantics: CosyVoice2Semantics
    flow: FlowBatch
    vocoder: Vocoder


class CosyVoice2Semantics:
    """`rendering.semantics.Semantics`: two rows a token, each of which sees tokens around it."""

    def __init__(self, flow: TokenFlow) -> None:
        self._flow = flow
        config = flow.encoder.config
        self.rows_per_token = config.rows_per_token
        self.reach_tokens, self.look_ahead_tokens = config.reach_tokens, config.look_ahead_tokens
        self.remade_tokens = config.look_ahead_tokens

    def rows(self, voice: VoiceConditioning, first: int, codes: Tensor, latents: Tensor) -> Tensor:
        """codes [n] -> [n * rows_per_token, D]; the latents are empty."""
        assert isinstance(voice, CosyVoice2Voice)
        # The flow continues the clip, and so does its encoder. Later tokens come with those before them.
        before = voice.flow_codes[-self.reach_tokens :] if first == 0 else codes[:0]
        rows: Tensor = self._flow.encoder(torch.cat((before, codes)))
        return rows[len(before) * self.rows_per_token :]

    def regulate(self, rows: Tensor) -> Tensor:
        """[F,D] -> [F,C]."""
        return self._flow.condition(rows)
