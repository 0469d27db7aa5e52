"""IndexTTS2, at the public size or the embedded one: GPT tokens with latents, DiT flow, BigVGAN."""

from __future__ import annotations

from collections.abc import Sequence as Rows
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from ..checkpoints.config import SpeechConfig
from ..checkpoints.loaded import LoadedModel
from ..checkpoints.pace import Pace
from ..conditioning import VoiceConditioning
from ..decoding.batch import Sequence, SequenceSpec, TokenBatch, prefix_rows
from ..frontend.text import TextFrontend
from ..model.packed_vocoder import inference_form
from ..options import ResolvedOptions
from ..rendering.flow_batch import FlowBatch
from ..rendering.wave import Vocoder
from ..words.student import WordsToEmotion
from .indextts2_prompts import IndexTTS2Prompts, IndexTTS2Voice

__all__ = ["IndexTTS2", "IndexTTS2Semantics"]

_MAX_SLOTS = 16
_CACHE_BYTES = 2 * 2**30
"""Key/value cache for all slots; a model of the public size gets fewer of them."""


class IndexTTS2:
    """`model_interface.SpeechModel`."""

    takes_emotion_clips = True

    def __init__(self, networks: LoadedModel) -> None:
        self.networks = networks

    @property
    def name(self) -> str:
        return self.networks.name

    @property
    def fingerprint(self) -> str:
        return self.networks.fingerprint

    @property
    def speech(self) -> SpeechConfig:
        return self.networks.config.speech

    @property
    def text(self) -> TextFrontend:
        return self.networks.text

    @property
    def pace(self) -> Pace:
        return self.networks.pace

    @property
    def parameters(self) -> int:
        return self.networks.parameters

    @cached_property
    def prompts(self) -> IndexTTS2Prompts:
        return IndexTTS2Prompts(self.networks)

    @property
    def emotions(self) -> tuple[str, ...]:
        bank = self.networks.emotion_bank
        return () if bank is None else bank.names

    @property
    def emotion_words(self) -> WordsToEmotion | None:
        return self.networks.emotion_words

    @property
    def duration_control(self) -> str:
        return "trained" if self.networks.config.t2s.duration_row == "tied" else "constructed"

    @property
    def hop_samples(self) -> int:
        return self.networks.config.mel.hop_length

    @property
    def vocoder_reach_frames(self) -> int:
        return self.networks.vocoder.context_frames

    @property
    def filler_text_id(self) -> int:
        return self.networks.config.t2s.stop_text_token + 1

    def token_stage(self, options: ResolvedOptions) -> IndexTTS2Tokens:
        return IndexTTS2Tokens(self.networks, options)

    def renderer(self, options: ResolvedOptions) -> IndexTTS2Renderer:
        networks = self.networks
        return IndexTTS2Renderer(
            semantics=IndexTTS2Semantics(networks),
            flow=FlowBatch(networks.s2mel.estimator, self.speech.guidance, options.dtype),
            vocoder=inference_form(networks.vocoder, options.dtype),
        )


class IndexTTS2Tokens:
    """`model_interface.TokenStage`."""

    def __init__(self, networks: LoadedModel, options: ResolvedOptions) -> None:
        self._t2s = networks.t2s
        speech = networks.config.speech
        longest = speech.max_segment_pieces + 2 + speech.max_segment_tokens + 1
        self._batch = TokenBatch(
            networks.t2s,
            _slots(networks),
            networks.config.t2s.conditioning_rows + longest,
            precision=options.weights,
            threads=options.threads,
            padded=options.deterministic,
        )

    @property
    def free_slots(self) -> int:
        return self._batch.free_slots

    def start(
        self, voice: VoiceConditioning, emotion: Tensor, text_ids: tuple[int, ...], spec: SequenceSpec
    ) -> Sequence:
        assert isinstance(voice, IndexTTS2Voice)
        return self._batch.start(prefix_rows(self._t2s, voice.latents, emotion, spec.told_tokens, text_ids), spec)

    def step(self, sequences: Rows[Sequence]) -> None:
        self._batch.step(sequences)

    def release(self, sequence: Sequence) -> None:
        self._batch.release(sequence)


@dataclass(frozen=True, slots=True, eq=False)
class IndexTTS2Renderer:
    """`model_interface.Renderer`."""

    semantics: IndexTTS2Semantics
    flow: FlowBatch
    vocoder: Vocoder


class IndexTTS2Semantics:
    """`rendering.semantics.Semantics`: a token's row is its code's embedding and its latent, and nothing else."""

    rows_per_token = 1
    reach_tokens = 0

    def __init__(self, networks: LoadedModel) -> None:
        self._s2mel, self._codec = networks.s2mel, networks.codec

    def rows(self, codes: Tensor, latents: Tensor) -> Tensor:
        """codes [n], latents [n,M] -> [n,D] (spec 6.1)."""
        return self._s2mel.semantic(latents[None], self._codec.embed(codes[None]))[0]

    def regulate(self, rows: Tensor) -> Tensor:
        """[F,D] -> [F,C] (spec 6.2)."""
        return self._s2mel.regulate(rows)


def _slots(networks: LoadedModel) -> int:
    """Segments whose tokens are drawn at once: as many as the cache has room for, at least one."""
    t2s, speech = networks.config.t2s, networks.config.speech
    positions = t2s.conditioning_rows + speech.max_segment_pieces + speech.max_segment_tokens + 3
    return max(1, min(_MAX_SLOTS, _CACHE_BYTES // (positions * t2s.layers * t2s.model_dim * 2 * 4)))
