"""IndexTTS-2.5 (spec 9): 25 tokens a second in five languages, and a codec that decodes them without latents."""

from __future__ import annotations

from functools import cached_property

from torch import Tensor

from ..checkpoints.loaded import LoadedModel
from ..conditioning import VoiceConditioning
from ..frontend.multilingual_text import MultilingualText
from ..options import ResolvedOptions
from .indextts2 import IndexTTS2Renderer, IndexTTS2Tokens, renderer_with
from .indextts2_prompts import IndexTTS2Prompts
from .indextts_family import IndexTTSFamily

__all__ = ["IndexTTS25", "IndexTTS25Semantics"]


class IndexTTS25(IndexTTSFamily):
    """`model_interface.SpeechModel`."""

    @cached_property
    def prompts(self) -> IndexTTS25Prompts:
        return IndexTTS25Prompts(self.networks)

    @property
    def filler_text_id(self) -> int:
        return _text(self.networks).filler_id

    def token_stage(self, options: ResolvedOptions) -> IndexTTS25Tokens:
        return IndexTTS25Tokens(self.networks, options)

    def renderer(self, options: ResolvedOptions) -> IndexTTS2Renderer:
        return renderer_with(IndexTTS25Semantics(self.networks), self.networks, options)


class IndexTTS25Prompts(IndexTTS2Prompts):
    """The speaker by one row, from the style; S2M's prompt says the features as they are, not quantised."""

    def _speaker_rows(self, features: Tensor, style: Tensor) -> Tensor:
        return self._model.t2s.style_latents(style[None])[0]

    def _prompt_content(self, features: Tensor) -> Tensor:
        return features


class IndexTTS25Tokens(IndexTTS2Tokens):
    """A segment's first piece says its language."""

    def __init__(self, networks: LoadedModel, options: ResolvedOptions) -> None:
        super().__init__(networks, options)
        self._text = _text(networks)

    def _language(self, text_ids: tuple[int, ...]) -> int | None:
        return self._text.language_row(text_ids[0])


class IndexTTS25Semantics:
    """`rendering.semantics.Semantics`: two rows of each token, decoded by the codec, which looks far to both sides.

    Frames are emitted long before all that their rows depend on is there: a chunk looks ahead 8 tokens of 40, and the
    rest is zeros, as at an end of speech. docs/indextts25.md tells what that changes.
    """

    rows_per_token = 2
    look_ahead_tokens = 0

    def __init__(self, networks: LoadedModel) -> None:
        self._s2mel, self._codec = networks.s2mel, networks.codec

    @property
    def reach_tokens(self) -> int:
        return self._codec.decoder_reach_codes

    @property
    def remade_tokens(self) -> int:
        return self._codec.decoder_reach_codes

    def rows(self, voice: VoiceConditioning, first: int, codes: Tensor, latents: Tensor) -> Tensor:
        """codes [n] -> [2n,D]; all else says nothing here."""
        return self._codec.decode(self._codec.embed(codes[None]))[0]

    def regulate(self, rows: Tensor) -> Tensor:
        """[F,D] -> [F,C] (spec 6.2)."""
        return self._s2mel.regulate(rows)


def _text(networks: LoadedModel) -> MultilingualText:
    assert isinstance(networks.text, MultilingualText)
    return networks.text
