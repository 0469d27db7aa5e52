"""Tokens for serving as the public implementation draws them: beam search, then the second pass for the latents.

It has the face of `batch.TokenBatch`. But beams can change to their end (spec 8.1): a sequence has no codes until its
segment is done, and then it has all of them, with their latents. Every search is alone with a cache of its own, so what
it finds depends on its prefix, seed and segment only.
"""

from __future__ import annotations

from collections.abc import Sequence as Rows
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..errors import GenerationFailed
from ..model.t2s import T2S
from ..requests import Sampling
from .batch import Sequence, SequenceSpec
from .beam_search import BeamLimits, BeamOptions, BeamSearch
from .reference import latent_pass
from .sampling import Draws
from .slots import CACHE_BYTES, MAX_SLOTS

__all__ = ["REFERENCE_SAMPLING", "ReferenceStage"]

REFERENCE_SAMPLING = Sampling(temperature=0.8, top_k=30, top_p=0.8, repetition_penalty=10.0)
"""The public defaults (spec 1.3)."""


@dataclass(frozen=True, slots=True, eq=False)
class _Running:
    """A search that is not done, its prefix [1,P,M] without the start token, and the bytes of its cache."""

    search: BeamSearch
    prefix: Tensor
    cache_bytes: int


class ReferenceStage:
    """The searches that are running, each in a slot. Used by one thread."""

    def __init__(self, t2s: T2S, beams: int, capacity: int, *, cache_bytes: int = CACHE_BYTES) -> None:
        """`capacity`: the most positions of one beam, prefix and tokens together.

        `cache_bytes`: keys and values of all beams together; one search runs in any case. A cache is as long as its own
        segment may get, so several short ones fit where the longest would be alone.
        """
        self._t2s = t2s
        self._beams = beams
        config, weight = t2s.config, t2s.mel_head.weight
        self._position_bytes = beams * 2 * config.layers * config.model_dim * weight.element_size()
        self._longest_bytes = capacity * self._position_bytes
        self._cache_bytes = cache_bytes
        self._free = list(range(MAX_SLOTS))
        self._running: dict[int, _Running] = {}
        """By slot."""
        self._used_bytes = 0
        """Of the caches of what runs."""

    @property
    def free_slots(self) -> int:
        """Segments that can begin now, however long they are. May be asked by any thread."""
        used = self._used_bytes
        fit = min(len(self._free), max(0, self._cache_bytes - used) // self._longest_bytes)
        return fit if used else max(1, fit)

    def start(self, prefix: Tensor, spec: SequenceSpec) -> Sequence:
        """Run a prefix [S,M], the start token its last row. Needs a free slot; keeps none when it fails.

        Raises what the network raises.
        """
        before = prefix[None, :-1]
        config = self._t2s.config
        exact = spec.exact_tokens
        limits = BeamLimits(
            max_tokens=spec.max_tokens if exact is None else exact,
            min_tokens=spec.min_tokens if exact is None else exact,
            banned=(config.start_mel_token,),
        )
        options = BeamOptions.of(spec.sampling, self._beams)
        search = BeamSearch(self._t2s, before, limits, options, Draws(spec.seed, spec.segment))
        cache_bytes = (len(prefix) + limits.max_tokens) * self._position_bytes
        slot = self._free.pop(0)
        self._running[slot] = _Running(search, before, cache_bytes)
        self._used_bytes += cache_bytes
        no_latents = np.empty((0, prefix.shape[1]), dtype=np.float32)
        return Sequence(spec, slot, len(prefix), latents=no_latents, uniforms=[], at_once=True)

    def step(self, sequences: Rows[Sequence]) -> None:
        """One step of every live sequence's search; one that fails gets its `error`, the others go on."""
        for sequence in sequences:
            if not sequence.live:
                continue
            running = self._running[sequence.slot]
            try:
                running.search.step()
                if running.search.finished:
                    self._finish(sequence, running)
            except Exception as error:
                sequence.error = error

    def release(self, sequence: Sequence) -> None:
        """Give its slot and its cache back. A sequence is released once."""
        self._used_bytes -= self._running.pop(sequence.slot).cache_bytes
        self._free.append(sequence.slot)
        self._free.sort()

    def _finish(self, sequence: Sequence, running: _Running) -> None:
        """The best hypothesis becomes the sequence's codes, and the second pass gives their latents."""
        best = running.search.best
        latents = latent_pass(self._t2s, running.prefix, torch.tensor([best.codes], device=running.prefix.device))[0]
        if not bool(torch.isfinite(latents).all()):
            raise GenerationFailed("a latent is not finite", reason="NOT_FINITE")
        sequence.length += len(best.codes)
        # Other lanes look at codes and at `finished` any time: what they may ask for then must be there before.
        sequence.latents = latents.float().cpu().numpy()
        sequence.codes.extend(best.codes)
        sequence.hit_limit = sequence.spec.exact_tokens is None and not best.stopped
        sequence.finished = True
