"""The batch of live token sequences: they join and leave between steps, each in its own cache slot.

One beam, contiguous positions: the state that draws a token is already the latent that S2M wants, and no second pass
over the tokens is needed (design.md 4.1; spec 3.6). What a sequence says depends on its own prefix, seed and segment,
never on who else is in the batch.
"""

from __future__ import annotations

from collections.abc import Sequence as Rows
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..errors import GenerationFailed
from ..model.packed_gpt import PackedGPT, Precision
from ..model.t2s import T2S
from ..requests import Sampling
from .sampling import Draws, sample

__all__ = ["Sequence", "SequenceSpec", "TokenBatch", "prefix_rows"]


@dataclass(frozen=True, slots=True)
class SequenceSpec:
    """How one segment's tokens are drawn. `exact_tokens`: that many and no stop before; None: until the stop token."""

    seed: int
    segment: int
    sampling: Sampling
    exact_tokens: int | None
    min_tokens: int
    max_tokens: int
    advised_tokens: int | None = None
    """What free speech is told of its length."""

    @property
    def told_tokens(self) -> int | None:
        """What the duration row says; None: nothing."""
        return self.advised_tokens if self.exact_tokens is None else self.exact_tokens


@dataclass(slots=True, eq=False)
class Sequence:
    """The tokens of one segment so far, and the latent [M] that drew each."""

    spec: SequenceSpec
    slot: int
    length: int
    """Positions in the cache."""
    latents: npt.NDArray[np.float32]
    """[max_tokens, M], filled as far as there are codes."""
    uniforms: list[float]
    """What each token is drawn with."""
    codes: list[int] = field(default_factory=list)
    finished: bool = False
    at_once: bool = False
    """All codes come together, at the end."""
    hit_limit: bool = False
    """Free speech that did not stop by itself."""
    error: Exception | None = None
    """Set when this row failed; it takes no further steps."""

    @property
    def live(self) -> bool:
        return not self.finished and self.error is None

    @classmethod
    def begin(cls, spec: SequenceSpec, slot: int, length: int, width: int) -> Sequence:
        """Before its first token, with `length` positions of prefix; latents are `width` wide, which may be 0."""
        return cls(
            spec,
            slot,
            length,
            latents=np.empty((spec.max_tokens, width), dtype=np.float32),
            uniforms=Draws(spec.seed, spec.segment).uniforms(spec.max_tokens + 1),
        )

    def draw(
        self, logits: npt.NDArray[np.float32], latent: npt.NDArray[np.float32], *, stop: int, never: tuple[int, ...]
    ) -> None:
        """Draw what follows from `logits` [V]: one more code with its `latent` [M], or the end.

        `stop` ends it, where the spec lets it end; the ids `never` are not drawn. GenerationFailed NOT_FINITE.
        """
        spec, count = self.spec, len(self.codes)
        early = spec.exact_tokens is not None or count < spec.min_tokens
        token = sample(
            logits,
            spec.sampling,
            self.uniforms[count],
            spoken=() if spec.sampling.repetition_penalty == 1.0 else set(self.codes),
            banned=(*never, stop) if early else never,
        )
        if token == stop:
            self.finished = True
            return
        if not np.isfinite(latent).all():
            raise GenerationFailed("a latent is not finite", reason="NOT_FINITE")
        self.latents[count] = latent
        self.codes.append(token)
        if len(self.codes) >= spec.max_tokens:
            self.finished = True
            self.hit_limit = spec.exact_tokens is None

    def latents_between(self, begin: int, end: int) -> Tensor:
        """[end - begin, M]: the latents that drew those codes. ValueError where there are not so many yet."""
        if not 0 <= begin <= end <= len(self.codes):
            raise ValueError(f"latents {begin} to {end} of {len(self.codes)}")
        return torch.from_numpy(self.latents[begin:end])


def prefix_rows(
    t2s: T2S,
    latents: Tensor,
    emotion: Tensor,
    tokens: int | None,
    text_ids: Rows[int],
    language: int | None = None,
    *,
    experiment: bool = False,
) -> Tensor:
    """latents [K,M], emotion [M], asked tokens or None, text -> [S,M]: everything before the first token (spec 3.3).

    `language`: a row of the language table, of a model that has one. `experiment`: tokens go into a speed row
    (T2S.conditioning_rows).
    """
    number = torch.tensor([tokens or 0], dtype=torch.int64)
    conditioning = t2s.conditioning_rows(latents[None], emotion[None], number, experiment=experiment)[0]
    languages = None if language is None else torch.tensor([language], dtype=torch.int64)
    text = t2s.text_rows(torch.tensor([text_ids], dtype=torch.int64), languages)[0]
    return torch.cat((conditioning, text, t2s.start_row()))


class TokenBatch:
    """Cache slots and the two steps that fill them. Used by one thread."""

    def __init__(
        self,
        t2s: T2S,
        slots: int,
        capacity: int,
        *,
        precision: Precision = "float32",
        threads: int = 1,
        padded: bool = False,
        kernels: bool = True,
    ) -> None:
        """`capacity`: positions of one slot, prefix and tokens together.

        `threads` share each step where the kernels run it. `padded`: where products depend on the number of rows, each
        step has as many as there are slots, so that codes are the same alone or in a crowd. `kernels` False: plain
        PyTorch, in float32.
        """
        self._t2s = t2s
        self._gpt = PackedGPT(t2s, precision, threads, kernels=kernels)
        self._padded_rows = slots if padded and not self._gpt.rows_independent else 0
        self._spare_slot = slots
        self._cache = self._gpt.allocate_cache(slots + (1 if self._padded_rows else 0), capacity)
        self._free = list(range(slots))
        self._stop = t2s.config.stop_mel_token
        self._start = t2s.config.start_mel_token
        self._never = (self._start,)

    @property
    def free_slots(self) -> int:
        return len(self._free)

    def start(self, prefix: Tensor, spec: SequenceSpec) -> Sequence:
        """Run a prefix [S,M] and draw the first token. Needs a free slot; keeps none when it fails.

        Raises GenerationFailed, or what the network raises.
        """
        slot = self._free.pop(0)
        sequence = Sequence.begin(spec, slot, len(prefix), prefix.shape[1])
        try:
            latent, logits = self._gpt.prefill(prefix, self._cache, slot)
            self._draw(sequence, latent.numpy(), logits.numpy())
        except BaseException:
            self._free.insert(0, slot)
            raise
        return sequence

    def step(self, sequences: Rows[Sequence]) -> None:
        """One more token for every live sequence; a row that fails gets its `error`, the others go on."""
        rows = sorted((s for s in sequences if s.live), key=lambda s: s.slot)
        if not rows:
            return
        try:
            self._step(rows)
        except Exception as error:
            if len(rows) == 1:
                rows[0].error = error
                return
            # A batch does not say who broke it: alone, each row fails or goes on by itself. Nothing was drawn yet,
            # and writing a cache position twice does no harm.
            for row in rows:
                self.step([row])

    def release(self, sequence: Sequence) -> None:
        """Give its slot back. A sequence is released once."""
        self._free.append(sequence.slot)
        self._free.sort()

    def _step(self, rows: list[Sequence]) -> None:
        codes = [row.codes[-1] for row in rows]
        positions = [len(row.codes) for row in rows]  # the start token has position 0
        slots = [row.slot for row in rows]
        lengths = [row.length for row in rows]
        for _ in range(self._padded_rows - len(rows)):
            codes.append(self._start)
            positions.append(0)
            slots.append(self._spare_slot)
            lengths.append(0)
        x = self._t2s.step_rows(torch.tensor(codes), torch.tensor(positions))
        latents, all_logits = self._gpt.step(x, self._cache, slots, lengths, apart=self._padded_rows > 0)
        for row, latent, logits in zip(rows, latents.numpy(), all_logits.numpy(), strict=False):
            row.length += 1
            try:
                self._draw(row, latent, logits)
            except Exception as error:
                row.error = error

    def _draw(self, sequence: Sequence, latent: npt.NDArray[np.float32], logits: npt.NDArray[np.float32]) -> None:
        sequence.draw(logits, latent, stop=self._stop, never=self._never)
