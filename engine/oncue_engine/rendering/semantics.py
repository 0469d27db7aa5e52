"""What S2M by chunks asks of a model between tokens and the flow: rows of tokens, and the flow's condition of them."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from ..conditioning import VoiceConditioning

__all__ = ["Regulator", "Semantics"]


class Regulator(Protocol):
    """Rows -> the flow's condition."""

    def regulate(self, rows: Tensor) -> Tensor:
        """rows [F,D], one for each mel frame of a call -> condition [F,C].

        May look at all frames of the call (rendering/mel.py says what a call sees). The same rows give the same result.
        """


class Semantics(Regulator, Protocol):
    """Tokens -> rows -> condition."""

    @property
    def rows_per_token(self) -> int:
        """Rows that stand for one token, at least 1: frames are spread over rows evenly."""

    @property
    def reach_tokens(self) -> int:
        """How many tokens before a token its rows depend on."""

    @property
    def look_ahead_tokens(self) -> int:
        """How many tokens after a token must be there before its rows are any good; at most what a chunk looks ahead
        (ChunkPolicy), so that no frame is emitted before."""

    @property
    def remade_tokens(self) -> int:
        """How many tokens after a token its rows depend on at all, at least `look_ahead_tokens`. Rows of so many of the
        newest tokens are made again when more are there; frames that were emitted stay as they are."""

    def rows(self, voice: VoiceConditioning, first: int, codes: Tensor, latents: Tensor) -> Tensor:
        """Tokens from number `first` of a segment on: codes [n] int64 and the latent [n,M] that drew each -> rows
        [n * rows_per_token, D].

        Before a segment's first token stand, where the model has it so, the tokens of the voice's clip.
        """
