"""What S2M by chunks asks of a model between tokens and the flow: rows of tokens, and the flow's condition of them."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

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
        """How many tokens on each side a token's rows depend on. Rows of the newest ones are made again when more
        tokens are there; rows of frames that were emitted never matter again but as context."""

    def rows(self, codes: Tensor, latents: Tensor) -> Tensor:
        """codes [n] int64 and the latent [n,M] that drew each -> rows [n * rows_per_token, D]."""
