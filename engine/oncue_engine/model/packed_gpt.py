"""The backbone and its head for decoding alone: weights packed once, a whole step in one call (kernels/decode.py).

A row's numbers do not depend on the other rows of a step, to the bit. Where the kernels are missing, or do not
know a size, `model.gpt` does the work in float32, whatever precision was asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from ..kernels.decode import (
    PackedBackbone,
    PackedLayer,
    PackedMatrix,
    Precision,
    StepBuffers,
    heads_fit,
    pack_matrix,
    run_step,
)
from ..kernels.library import load
from ..let_go import let_go
from .gpt import decode, prefill
from .kv_cache import KVCache
from .t2s import T2S

__all__ = ["PackedGPT", "Precision"]

_FEWEST_ROWS = 8


class PackedGPT:
    """Backbone, `final_norm` and `mel_head` of a T2S. Used by one thread; `threads` of its own share each step."""

    def __init__(self, t2s: T2S, precision: Precision = "float32", threads: int = 1, *, kernels: bool = True) -> None:
        """`kernels` False: as where they are missing."""
        self.precision: Precision = precision
        self._t2s = t2s
        fits = kernels and load() is not None and heads_fit(t2s.config.model_dim // t2s.config.heads)
        self._packed = _pack(t2s, precision) if fits else None
        self._threads = threads
        self._helpers = ThreadPoolExecutor(threads - 1, "oncue-decode") if threads > 1 else None
        self._buffers: StepBuffers | None = None

    @property
    def weight_bytes(self) -> int:
        """Bytes of weights that one step of the kernel reads; 0 without it."""
        return 0 if self._packed is None else self._packed.num_bytes

    @property
    def rows_independent(self) -> bool:
        """Whether a row's numbers are the same, to the bit, whatever rows are beside it."""
        return self._packed is not None

    def allocate_cache(self, slots: int, capacity: int) -> KVCache:
        """Keys and values in bf16 where the weights are not float32: past some hundred positions they cost as much."""
        config = self._t2s.config
        exact = self._packed is None or self.precision == "float32"
        head_dim = config.model_dim // config.heads
        dtype = torch.float32 if exact else torch.bfloat16
        return KVCache.allocate(config.layers, slots, config.heads, capacity, head_dim, dtype)

    @torch.no_grad()
    def prefill(self, prefix: Tensor, cache: KVCache, slot: int) -> tuple[Tensor, Tensor]:
        """prefix [S,M] from position 0 into `slot` -> latent [M] and logits [V] of the last position.

        ValueError if it does not fit.
        """
        length = len(prefix)
        if length > cache.capacity:
            raise ValueError(f"a prefix of {length} positions exceeds the cache's {cache.capacity}")
        if self._packed is None:
            latent = self._t2s.latent(prefill(self._t2s.gpt, prefix, cache, slot)[-1])
            return latent, self._t2s.mel_head(latent)
        latents, logits = self._run(self._packed, prefix, cache, [slot] * length, range(length), is_prefix=True)
        return latents[0], logits[0]

    @torch.no_grad()
    def step(
        self, x: Tensor, cache: KVCache, slots: Sequence[int], lengths: Sequence[int], *, apart: bool = False
    ) -> tuple[Tensor, Tensor]:
        """One position for B sequences: x [B,M] -> latent [B,M], logits [B,V].

        slots: all different; lengths: positions already in each. Row b is written at lengths[b] and attends to
        0..lengths[b]. `apart` is for `model.gpt.decode`. ValueError if a slot is full.
        """
        if max(lengths) >= cache.capacity:
            raise ValueError(f"a sequence fills its {cache.capacity} positions of the cache")
        if self._packed is None:
            places = torch.tensor(slots), torch.tensor(lengths)
            latent = self._t2s.latent(decode(self._t2s.gpt, x, cache, *places, apart=apart))
            return latent, self._t2s.mel_head(latent)
        return self._run(self._packed, x, cache, slots, lengths)

    def _run(
        self,
        packed: PackedBackbone,
        x: Tensor,
        cache: KVCache,
        slots: Sequence[int],
        lengths: Sequence[int],
        *,
        is_prefix: bool = False,
    ) -> tuple[Tensor, Tensor]:
        rows = len(x)
        buffers = self._buffers
        if buffers is None or buffers.rows < rows or buffers.capacity < cache.capacity:
            buffers = StepBuffers(packed, max(rows, _FEWEST_ROWS), cache.capacity, self._threads)
            self._buffers = buffers
        results = 1 if is_prefix else rows
        latent, logits = x.new_empty(results, packed.width), x.new_empty(results, packed.head.width)
        buffers.begin(x, cache.k, cache.v, slots, lengths, latent, logits, is_prefix=is_prefix)
        helpers = self._helpers
        if helpers is None:
            run_step(packed, buffers, 0)
            return latent, logits
        calls = [helpers.submit(run_step, packed, buffers, thread) for thread in range(1, self._threads)]
        run_step(packed, buffers, 0)
        for call in calls:
            if not call.cancel():  # one that has begun may still look at the buffers
                call.result()
        return latent, logits


def _pack(t2s: T2S, precision: Precision) -> PackedBackbone:
    """PackedBackbone of a T2S in float32."""

    def packed(weight: Tensor, bias: Tensor) -> PackedMatrix:
        matrix = pack_matrix(weight, bias, precision)
        let_go((weight,))  # now only what PyTorch falls back to
        return matrix

    layers = [
        PackedLayer(
            norm_1=(w.norm_1_weight.detach(), w.norm_1_bias.detach()),
            qkv=packed(w.qkv_weight, w.qkv_bias),
            out=packed(w.out_weight, w.out_bias),
            norm_2=(w.norm_2_weight.detach(), w.norm_2_bias.detach()),
            up=packed(w.up_weight, w.up_bias),
            down=packed(w.down_weight, w.down_bias),
        )
        for w in t2s.gpt.layer_weights()
    ]
    last, latent = t2s.gpt.ln_f, t2s.final_norm
    return PackedBackbone(
        layers,
        (last.weight.detach(), last.bias.detach()),
        (latent.weight.detach(), latent.bias.detach()),
        packed(t2s.mel_head.weight.t(), t2s.mel_head.bias),
        t2s.config.heads,
    )
