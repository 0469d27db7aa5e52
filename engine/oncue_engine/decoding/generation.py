"""Cached generation of one sequence by several beams, at the positions of the public implementation (spec 3.4)."""

from __future__ import annotations

import torch
from torch import Tensor

from oncue_engine.model.gpt import decode, prefill
from oncue_engine.model.kv_cache import KVCache
from oncue_engine.model.t2s import T2S

__all__ = ["FIRST_GENERATED_POSITION", "Generation"]

# The start token takes code position 0; the first generated code takes 2, so position 1 is never used.
FIRST_GENERATED_POSITION = 2
# The id that stands at every prefix position in the id history, and is therefore penalised from the first step.
_PREFIX_ID = 1


class Generation:
    """Cache, id history and newest logits of a number of beams, which all have the same length.

    `logits` [beams,V]: what may follow each beam. `used` bool [beams,V]: ids in each beam's history, those that stand
    for the prefix included (spec 3.3). `length`: positions in the cache.
    """

    def __init__(self, t2s: T2S, prefix: Tensor, max_tokens: int, beams: int) -> None:
        """prefix [1,P,M], without the start token. ValueError where max_tokens exceed the model's position table."""
        config = t2s.config
        if max_tokens > config.max_mel_tokens:
            raise ValueError(f"max_tokens {max_tokens} exceeds the model's {config.max_mel_tokens}")
        rows = torch.cat((prefix[0], t2s.start_row()))  # [P+1, M]
        self.length = rows.shape[0]
        self._t2s = t2s
        self._cache: KVCache = t2s.allocate_cache(beams, self.length + max_tokens)
        hidden = prefill(t2s.gpt, rows, self._cache, 0)
        self._cache.reorder([0] * beams, self.length)
        self.logits = t2s.logits(hidden[-1:]).float().expand(beams, -1)
        self.used = torch.zeros(self.logits.shape, dtype=torch.bool, device=prefix.device)
        self.used[:, [_PREFIX_ID, config.start_mel_token]] = True
        self._slots = torch.arange(beams, device=prefix.device)
        self._position = FIRST_GENERATED_POSITION

    def feed(self, codes: list[int], sources: list[int]) -> None:
        """Beam i goes on from beam sources[i] with codes[i]."""
        self._cache.reorder(sources, self.length)
        fed = torch.tensor(codes, device=self._slots.device)
        self.used = self.used[sources]
        self.used[self._slots, fed] = True
        x = self._t2s.step_rows(fed, torch.full_like(fed, self._position))
        hidden = decode(self._t2s.gpt, x, self._cache, self._slots, torch.full_like(fed, self.length))
        self.logits = self._t2s.logits(hidden).float()
        self.length += 1
        self._position += 1
