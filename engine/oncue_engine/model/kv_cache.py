"""Keys and values of the live sequences, for cached decoding."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["KVCache"]


@dataclass(frozen=True, slots=True)
class KVCache:
    """Keys and values of all live sequences: k, v [layers, slots, heads, capacity, head_dim], allocated once."""

    k: Tensor
    v: Tensor

    @classmethod
    def allocate(
        cls,
        layers: int,
        slots: int,
        heads: int,
        capacity: int,
        head_dim: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> KVCache:
        """Room for `slots` sequences of up to `capacity` positions."""
        shape = (layers, slots, heads, capacity, head_dim)
        return cls(torch.zeros(shape, dtype=dtype, device=device), torch.zeros(shape, dtype=dtype, device=device))

    @property
    def slots(self) -> int:
        return self.k.shape[1]

    @property
    def capacity(self) -> int:
        return self.k.shape[3]

    def clear(self, slot: int) -> None:
        """Zero a slot. Needed only after a sequence went wrong: a NaN left behind would spoil later steps."""
        self.k[:, slot] = 0.0
        self.v[:, slot] = 0.0

    @torch.no_grad()
    def reorder(self, sources: list[int], length: int) -> None:
        """Slot i takes the first `length` positions of slot sources[i], for all i at once (beam search)."""
        if sources == list(range(len(sources))):
            return
        for tensor in (self.k, self.v):
            for layer in tensor:  # one by one: what is being moved is in memory twice meanwhile
                layer[: len(sources), :, :length] = layer[sources, :, :length]
