"""The autoregressive backbone, shaped like GPT-2 without its embeddings (spec 3.1e), and its cached decoding.

`GPT.forward` serves training and the teacher-forced pass. `prefill` and `decode` run on a `KVCache` whose slots each
hold one sequence: rows of one decode call may be at any mix of lengths. All three return the state after `ln_f`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from oncue_engine.model.kv_cache import KVCache

__all__ = ["GPT", "GPTConfig", "HeadTap", "KVCache", "decode", "decode_tapped", "prefill"]

_EPS = 1e-5


@dataclass(frozen=True, slots=True)
class GPTConfig:
    """Sizes of the backbone: width M, layers, heads. The feed-forward is 4 M wide."""

    width: int
    layers: int
    heads: int

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of {self.heads} heads")

    @property
    def head_dim(self) -> int:
        return self.width // self.heads


@dataclass(frozen=True, slots=True)
class HeadTap:
    """One attention head whose weights are wanted: alignment of codes to text is read from such a head."""

    layer: int
    head: int


class _LayerWeights(NamedTuple):
    """Parameters of one layer, gathered once: looking them up through modules costs more than a small product."""

    norm_1_weight: Tensor
    norm_1_bias: Tensor
    qkv_weight: Tensor  # [M, 3M]
    qkv_bias: Tensor
    out_weight: Tensor  # [M, M]
    out_bias: Tensor
    norm_2_weight: Tensor
    norm_2_bias: Tensor
    up_weight: Tensor  # [M, 4M]
    up_bias: Tensor
    down_weight: Tensor  # [4M, M]
    down_bias: Tensor


class Conv1D(nn.Module):
    """Affine map with its weight stored [in, out], as the checkpoint has it."""

    def __init__(self, width_in: int, width_out: int, std: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width_in, width_out))
        nn.init.normal_(self.weight, std=std)
        self.bias = nn.Parameter(torch.zeros(width_out))

    def forward(self, x: Tensor) -> Tensor:
        y = torch.addmm(self.bias, x.reshape(-1, x.shape[-1]), self.weight)
        return y.view(*x.shape[:-1], -1)


class Attention(nn.Module):
    """Causal self-attention, q, k and v from one product."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.head_dim = config.head_dim
        self.c_attn = Conv1D(config.width, 3 * config.width, 0.02)
        self.c_proj = Conv1D(config.width, config.width, 0.02 / math.sqrt(2 * config.layers))

    def forward(self, x: Tensor, hidden_keys: Tensor) -> tuple[Tensor, Tensor]:
        """x [B,S,M], hidden_keys bool [1 or B,1,S,S], true where forbidden -> [B,S,M], weights [B,H,S,S]."""
        qkv = self.c_attn(x).view(*x.shape[:2], 3, self.heads, self.head_dim)  # [B, S, 3, H, d]
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each [B, H, S, d]
        scores = q @ k.transpose(-2, -1) * (1.0 / math.sqrt(self.head_dim))
        weights = scores.masked_fill(hidden_keys, torch.finfo(scores.dtype).min).softmax(-1)
        return self.c_proj((weights.to(v.dtype) @ v).transpose(1, 2).flatten(2)), weights


class MLP(nn.Module):
    """Widen by four, tanh form of GELU, narrow."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.c_fc = Conv1D(config.width, 4 * config.width, 0.02)
        self.c_proj = Conv1D(4 * config.width, config.width, 0.02 / math.sqrt(2 * config.layers))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.c_proj(functional.gelu(self.c_fc(x), approximate="tanh"))
        return y


class Block(nn.Module):
    """Attention and MLP, each pre-normed and residual."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.width, eps=_EPS)
        self.attn = Attention(config)
        self.ln_2 = nn.LayerNorm(config.width, eps=_EPS)
        self.mlp = MLP(config)

    def forward(self, x: Tensor, hidden_keys: Tensor) -> tuple[Tensor, Tensor]:
        y, weights = self.attn(self.ln_1(x), hidden_keys)
        x = x + y
        return x + self.mlp(self.ln_2(x)), weights

    def weights(self) -> _LayerWeights:
        """The parameters in the order the decode loop uses them."""
        return _LayerWeights(
            self.ln_1.weight,
            self.ln_1.bias,
            self.attn.c_attn.weight,
            self.attn.c_attn.bias,
            self.attn.c_proj.weight,
            self.attn.c_proj.bias,
            self.ln_2.weight,
            self.ln_2.bias,
            self.mlp.c_fc.weight,
            self.mlp.c_fc.bias,
            self.mlp.c_proj.weight,
            self.mlp.c_proj.bias,
        )


class GPT(nn.Module):
    """Blocks and the last norm. Keys `h.{i}.*` and `ln_f.*` equal the public ones under `gpt.`."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.config = config
        self.h = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.ln_f = nn.LayerNorm(config.width, eps=_EPS)
        self._gathered: tuple[_LayerWeights, ...] = ()

    def forward(self, x: Tensor, key_mask: Tensor | None = None) -> Tensor:
        """x [B,S,M], key_mask [B,S] bool, true where valid, or None -> [B,S,M] after `ln_f`; fully causal."""
        return self._run(x, key_mask, ())[0]

    def forward_tapped(self, x: Tensor, key_mask: Tensor | None, *taps: HeadTap) -> tuple[Tensor, list[Tensor]]:
        """As `forward`, and the attention weights [B,S,S] of each tapped head (rows are queries)."""
        return self._run(x, key_mask, taps)

    def _run(self, x: Tensor, key_mask: Tensor | None, taps: tuple[HeadTap, ...]) -> tuple[Tensor, list[Tensor]]:
        length = x.shape[1]
        hidden_keys = torch.ones(length, length, dtype=torch.bool, device=x.device).triu(1)[None, None]
        if key_mask is not None:
            hidden_keys = hidden_keys | ~key_mask.bool()[:, None, None]  # [B, 1, S, S]
        tapped = [x] * len(taps)
        for index, block in enumerate(self.h):
            x, weights = block(x, hidden_keys)
            for place, tap in enumerate(taps):
                if tap.layer == index:
                    tapped[place] = weights[:, tap.head]
        return self.ln_f(x), tapped

    def layer_weights(self) -> tuple[_LayerWeights, ...]:
        """Parameters of all layers for the decode loop; gathered anew if a load replaced the parameters."""
        first = self.h[0]
        assert isinstance(first, Block)
        if not self._gathered or self._gathered[0].norm_1_weight is not first.ln_1.weight:
            self._gathered = tuple(block.weights() for block in self.h if isinstance(block, Block))
        return self._gathered


@torch.no_grad()
def prefill(gpt: GPT, x: Tensor, cache: KVCache, slot: int) -> Tensor:
    """Run a prefix x [S,M] from position 0 and fill `slot` of the cache; returns [S,M] after `ln_f`.

    Raises ValueError if the prefix does not fit.
    """
    length, width = x.shape
    heads, head_dim = gpt.config.heads, gpt.config.head_dim
    if length > cache.capacity:
        raise ValueError(f"a prefix of {length} positions exceeds the cache's {cache.capacity}")
    for index, w in enumerate(gpt.layer_weights()):
        y = torch.layer_norm(x, (width,), w.norm_1_weight, w.norm_1_bias, _EPS)
        qkv = torch.addmm(w.qkv_bias, y, w.qkv_weight).view(length, 3, heads, head_dim)
        q, k, v = qkv.permute(1, 2, 0, 3)  # each [H, S, d]
        cache.k[index, slot, :, :length] = k
        cache.v[index, slot, :, :length] = v
        y = functional.scaled_dot_product_attention(q[None], k[None], v[None], is_causal=True)[0]  # [H, S, d]
        x = x + torch.addmm(w.out_bias, y.transpose(0, 1).reshape(length, width), w.out_weight)
        x = _feed_forward(x, w, width)
    return torch.layer_norm(x, (width,), gpt.ln_f.weight, gpt.ln_f.bias, _EPS)


def _feed_forward(x: Tensor, w: _LayerWeights, width: int) -> Tensor:
    """Residual MLP of one layer on rows x [R,M]."""
    y = torch.layer_norm(x, (width,), w.norm_2_weight, w.norm_2_bias, _EPS)
    y = torch.addmm(w.up_bias, y, w.up_weight)
    y = functional.gelu(y, approximate="tanh")
    return x + torch.addmm(w.down_bias, y, w.down_weight)


class _Run(NamedTuple):
    """Rows of a decode call whose slots are neighbours: their keys are one view of the cache, with no copy."""

    begin: int  # first row
    end: int
    keys: tuple[Tensor, ...]  # per layer [n*H, span, d]
    values: tuple[Tensor, ...]
    mask: Tensor | None  # [n*H, 1, span] added to the scores; None if all rows have the same length


def _runs(cache: KVCache, slots: list[int], lengths: list[int], apart: bool) -> list[_Run]:
    """Cut the rows at every jump in slot number, or everywhere; each run spans its own longest sequence."""
    layers, _, heads, _, head_dim = cache.k.shape
    runs = []
    begin = 0
    for end in range(1, len(slots) + 1):
        if end < len(slots) and slots[end] == slots[end - 1] + 1 and not apart:
            continue
        first, rows = slots[begin], end - begin
        ends = lengths[begin:end]
        span = max(ends) + 1
        shape = (layers, rows * heads, span, head_dim)
        keys = cache.k[:, first : first + rows, :, :span].view(shape).unbind(0)
        values = cache.v[:, first : first + rows, :, :span].view(shape).unbind(0)
        mask = None
        if min(ends) + 1 != span:
            last = torch.tensor(ends, device=cache.k.device)[:, None, None, None]  # [n, 1, 1, 1]
            hidden = torch.arange(span, device=cache.k.device) > last  # [n, 1, 1, span]
            mask = torch.zeros(hidden.shape, dtype=cache.k.dtype, device=cache.k.device)
            mask = mask.masked_fill_(hidden, -math.inf).expand(-1, heads, -1, -1).reshape(rows * heads, 1, span)
        runs.append(_Run(begin, end, keys, values, mask))
        begin = end
    return runs


def decode(gpt: GPT, x: Tensor, cache: KVCache, slots: Tensor, lengths: Tensor, *, apart: bool = False) -> Tensor:
    """One step for B sequences: x [B,M] -> [B,M] after `ln_f`.

    slots [B] int64, all different; lengths [B] int64, positions already in each slot: row b is written at lengths[b]
    and attends to 0..lengths[b]. Rows in ascending slot order with few gaps are fastest. `apart`: no row's attention
    shares a product with another's, whose length would change its rounding.
    Raises ValueError if a slot is full.
    """
    return _decode(gpt, x, cache, slots, lengths, None, apart)[0]


def decode_tapped(
    gpt: GPT, x: Tensor, cache: KVCache, slots: Tensor, lengths: Tensor, tap: HeadTap
) -> tuple[Tensor, Tensor]:
    """As `decode`, and the attention weights of one head [B, longest + 1], zero past each row's own length."""
    return _decode(gpt, x, cache, slots, lengths, tap, False)


@torch.no_grad()
def _decode(
    gpt: GPT, x: Tensor, cache: KVCache, slots: Tensor, lengths: Tensor, tap: HeadTap | None, apart: bool
) -> tuple[Tensor, Tensor]:
    batch, width = x.shape
    layers, _, heads, capacity, head_dim = cache.k.shape
    scale = 1.0 / math.sqrt(head_dim)
    length_list = lengths.tolist()
    if max(length_list) >= capacity:
        raise ValueError(f"a sequence fills its {capacity} positions of the cache")
    # Everything that is the same for all layers is made once, here.
    runs = _runs(cache, slots.tolist(), length_list, apart)
    head_range = torch.arange(heads, device=x.device)
    places = (
        ((slots * heads)[:, None] + head_range) * capacity + lengths[:, None]
    ).flatten()  # [B*H] rows of the flat cache
    flat_keys = cache.k.view(layers, -1, head_dim).unbind(0)
    flat_values = cache.v.view(layers, -1, head_dim).unbind(0)
    tapped = x.new_zeros(batch, max(length_list) + 1) if tap is not None else x
    for index, w in enumerate(gpt.layer_weights()):
        y = torch.layer_norm(x, (width,), w.norm_1_weight, w.norm_1_bias, _EPS)
        q, k, v = torch.addmm(w.qkv_bias, y, w.qkv_weight).view(batch, 3, heads, head_dim).unbind(1)  # each [B, H, d]
        flat_keys[index].index_copy_(0, places, k.reshape(-1, head_dim))
        flat_values[index].index_copy_(0, places, v.reshape(-1, head_dim))
        q = (q * scale).view(batch * heads, 1, head_dim)
        parts = []
        for run in runs:
            part = q if len(runs) == 1 else q[run.begin * heads : run.end * heads]
            keys = run.keys[index].transpose(1, 2)  # [n*H, d, span]
            scores = torch.bmm(part, keys) if run.mask is None else torch.baddbmm(run.mask, part, keys)
            weights = scores.softmax(-1)  # [n*H, 1, span]
            parts.append(torch.bmm(weights, run.values[index]))
            if tap is not None and index == tap.layer:
                tapped[run.begin : run.end, : weights.shape[-1]] = weights.view(-1, heads, weights.shape[-1])[
                    :, tap.head
                ]
        y = (parts[0] if len(parts) == 1 else torch.cat(parts)).view(batch, width)
        x = x + torch.addmm(w.out_bias, y, w.out_weight)
        x = _feed_forward(x, w, width)
    return torch.layer_norm(x, (width,), gpt.ln_f.weight, gpt.ln_f.bias, _EPS), tapped
