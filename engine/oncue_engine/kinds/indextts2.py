"""IndexTTS2, at the public size or the embedded one: GPT tokens with latents, DiT flow, BigVGAN."""

from __future__ import annotations

from collections.abc import Sequence as Rows
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from ..checkpoints.loaded import LoadedModel
from ..conditioning import VoiceConditioning
from ..decoding.batch import Sequence, SequenceSpec, TokenBatch, prefix_rows
from ..decoding.reference_stage import ReferenceStage
from ..decoding.slots import slots_within
from ..model.packed_vocoder import inference_form
from ..options import ResolvedOptions
from ..rendering.flow_batch import FlowBatch
from ..rendering.semantics import Semantics
from ..rendering.wave import Vocoder
from .indextts2_prompts import IndexTTS2Prompts, IndexTTS2Voice
from .indextts_family import IndexTTSFamily

__all__ = ["IndexTTS2", "IndexTTS2Renderer", "IndexTTS2Semantics", "IndexTTS2Tokens", "renderer_with"]


class IndexTTS2(IndexTTSFamily):
    """`model_interface.SpeechModel`."""

    @cached_property
    def prompts(self) -> IndexTTS2Prompts:
        return IndexTTS2Prompts(self.networks)

    @property
    def filler_text_id(self) -> int:
        return self.networks.config.t2s.stop_text_token + 1

    def token_stage(self, options: ResolvedOptions) -> IndexTTS2Tokens:
        return IndexTTS2Tokens(self.networks, options)

    def renderer(self, options: ResolvedOptions) -> IndexTTS2Renderer:
        return renderer_with(IndexTTS2Semantics(self.networks), self.networks, options)


class IndexTTS2Tokens:
    """`model_interface.TokenStage`: the prefix of each segment, then whatever decoding the options name."""

    def __init__(self, networks: LoadedModel, options: ResolvedOptions) -> None:
        self._t2s = networks.t2s
        self._experiment = options.duration_row_experiment
        speech, t2s = networks.config.speech, networks.config.t2s
        longest = speech.max_segment_pieces + 2 + speech.max_segment_tokens + 1
        capacity = t2s.conditioning_rows + longest
        self._batch: TokenBatch | ReferenceStage
        if options.beams is not None:
            self._batch = ReferenceStage(networks.t2s, options.beams, capacity)
            return
        self._batch = TokenBatch(
            networks.t2s,
            # Counted in float32, whatever the cache holds.
            slots_within(capacity * t2s.layers * t2s.model_dim * 2 * 4),
            capacity,
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
        told, language = spec.told_tokens, self._language(text_ids)
        prefix = prefix_rows(self._t2s, voice.latents, emotion, told, text_ids, language, experiment=self._experiment)
        return self._batch.start(prefix, spec)

    def step(self, sequences: Rows[Sequence]) -> None:
        self._batch.step(sequences)

    def release(self, sequence: Sequence) -> None:
        self._batch.release(sequence)

    def _language(self, text_ids: tuple[int, ...]) -> int | None:
        """Row of the language table; None: the model has none."""
        return None


@dataclass(frozen=True, slots=True, eq=False)
class IndexTTS2Renderer:
    """`model_interface.Renderer`."""

    semantics: Semantics
    flow: FlowBatch
    vocoder: Vocoder


def renderer_with(semantics: Semantics, networks: LoadedModel, options: ResolvedOptions) -> IndexTTS2Renderer:
    """DiT flow and BigVGAN of these networks behind the given semantics."""
    return IndexTTS2Renderer(
        semantics=semantics,
        flow=FlowBatch(networks.s2mel.estimator, networks.config.speech.guidance, options.dtype),
        vocoder=inference_form(networks.vocoder, options.dtype),
    )


class IndexTTS2Semantics:
    """`rendering.semantics.Semantics`: a token's row is its code's embedding and its latent, and nothing else."""

    rows_per_token = 1
    reach_tokens = look_ahead_tokens = remade_tokens = 0

    def __init__(self, networks: LoadedModel) -> None:
        self._s2mel, self._codec = networks.s2mel, networks.codec

    def rows(self, voice: VoiceConditioning, first: int, codes: Tensor, latents: Tensor) -> Tensor:
        """codes [n], latents [n,M] -> [n,D] (spec 6.1)."""
        return self._s2mel.semantic(latents[None], self._codec.embed(codes[None]))[0]

    def regulate(self, rows: Tensor) -> Tensor:
        """[F,D] -> [F,C] (spec 6.2)."""
        return self._s2mel.regulate(rows)
