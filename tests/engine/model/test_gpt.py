"""The backbone and its cache: cached decoding in any mix of slots and lengths equals the full pass."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from oncue_engine.model.gpt import GPT, GPTConfig, HeadTap, KVCache, decode, decode_tapped, prefill

CONFIG = GPTConfig(width=32, layers=3, heads=4)
CAPACITY = 40


@pytest.fixture
def gpt() -> GPT:
    torch.manual_seed(0)
    model = GPT(CONFIG).eval()
    for name, parameter in model.named_parameters():
        torch.nn.init.normal_(parameter, mean=1.0 if "ln_" in name and "weight" in name else 0.0, std=0.2)
    return model


@pytest.fixture
def cache() -> KVCache:
    return KVCache.allocate(CONFIG.layers, 6, CONFIG.heads, CAPACITY, CONFIG.head_dim)


def run_slots(gpt: GPT, cache: KVCache, rows: dict[int, Tensor], prefixes: dict[int, int]) -> dict[int, Tensor]:
    """Prefill each slot with its prefix, then decode the rest of all together; slots leave as they end."""
    got = {slot: [prefill(gpt, x[: prefixes[slot]], cache, slot)] for slot, x in rows.items()}
    at = dict(prefixes)
    while live := [slot for slot in rows if at[slot] < len(rows[slot])]:
        x = torch.stack([rows[slot][at[slot]] for slot in live])
        y = decode(gpt, x, cache, torch.tensor(live), torch.tensor([at[slot] for slot in live]))
        for row, slot in enumerate(live):
            got[slot].append(y[row : row + 1])
            at[slot] += 1
    return {slot: torch.cat(parts) for slot, parts in got.items()}


@pytest.mark.parametrize("slots", [[0], [0, 1, 2], [1, 2, 4, 5], [5, 0, 3], [4, 3, 2, 1]])
@torch.no_grad()
def test_prefill_and_decode_of_mixed_lengths_equal_the_full_pass(gpt: GPT, cache: KVCache, slots: list[int]) -> None:
    rows = {slot: torch.randn(14 + 3 * index, CONFIG.width) for index, slot in enumerate(slots)}
    prefixes = {slot: 9 - 2 * index for index, slot in enumerate(slots)}
    got = run_slots(gpt, cache, rows, prefixes)
    for slot, x in rows.items():
        torch.testing.assert_close(got[slot], gpt(x[None])[0], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_a_reused_slot_does_not_see_the_sequence_before(gpt: GPT, cache: KVCache) -> None:
    run_slots(gpt, cache, {1: torch.randn(30, CONFIG.width), 2: torch.randn(30, CONFIG.width)}, {1: 3, 2: 3})
    rows = {1: torch.randn(12, CONFIG.width), 2: torch.randn(20, CONFIG.width)}
    got = run_slots(gpt, cache, rows, {1: 4, 2: 11})
    torch.testing.assert_close(got[1], gpt(rows[1][None])[0], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_cleared_slot_forgets_a_nan(gpt: GPT, cache: KVCache) -> None:
    cache.k[:, 1], cache.v[:, 1] = math.nan, math.nan
    cache.clear(1)
    rows = {1: torch.randn(5, CONFIG.width), 2: torch.randn(9, CONFIG.width)}
    got = run_slots(gpt, cache, rows, {1: 2, 2: 6})
    assert got[1].isfinite().all()


class _FreshMemory(TorchDispatchMode):
    """Largest number of elements that one operation allocated."""

    def __init__(self, known: list[Tensor]) -> None:
        super().__init__()
        self.known = {tensor.untyped_storage().data_ptr() for tensor in known}
        self.largest = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else [out]:
            if isinstance(tensor, Tensor) and tensor.untyped_storage().data_ptr() not in self.known:
                self.largest = max(self.largest, tensor.numel())
        return out


def test_decode_never_reallocates_the_cache(gpt: GPT) -> None:
    cache = KVCache.allocate(CONFIG.layers, 4, CONFIG.heads, 400, CONFIG.head_dim)
    places = cache.k.data_ptr(), cache.v.data_ptr()
    known = [cache.k, cache.v, *gpt.parameters()]
    largest = []
    for length in (10, 390):
        with _FreshMemory(known) as memory:
            decode(gpt, torch.randn(4, CONFIG.width), cache, torch.arange(4), torch.full((4,), length))
        largest.append(memory.largest)
    assert (cache.k.data_ptr(), cache.v.data_ptr()) == places
    assert 0 < largest[0] <= 4 * 4 * CONFIG.width  # the widest activation, and no keys
    assert largest[1] <= 4 * CONFIG.heads * 391  # one score per key; copied keys would be head_dim times more


@torch.no_grad()
def test_decode_writes_only_its_own_place(gpt: GPT, cache: KVCache) -> None:
    before = cache.k.clone()
    decode(gpt, torch.randn(2, CONFIG.width), cache, torch.tensor([1, 4]), torch.tensor([7, 0]))
    changed = (cache.k != before).any(dim=-1).any(dim=2).any(dim=0)  # [slots, capacity]
    assert changed.nonzero().tolist() == [[1, 7], [4, 0]]


def test_full_slots_and_long_prefixes_are_refused(gpt: GPT, cache: KVCache) -> None:
    with pytest.raises(ValueError, match="fills"):
        decode(gpt, torch.zeros(1, CONFIG.width), cache, torch.tensor([0]), torch.tensor([CAPACITY]))
    with pytest.raises(ValueError, match="exceeds"):
        prefill(gpt, torch.zeros(CAPACITY + 1, CONFIG.width), cache, 0)
    with pytest.raises(ValueError, match="multiple"):
        GPTConfig(width=30, layers=1, heads=4)


@torch.no_grad()
def test_forward_is_causal_and_skips_masked_keys(gpt: GPT) -> None:
    x = torch.randn(2, 10, CONFIG.width)
    y = gpt(x)
    changed = x.clone()
    changed[:, 6] = torch.randn(2, CONFIG.width)
    assert torch.allclose(gpt(changed)[:, :6], y[:, :6], atol=1e-5)
    assert not torch.allclose(gpt(changed)[:, 6:], y[:, 6:], atol=1e-2)
    mask = torch.ones(2, 10, dtype=torch.bool)
    mask[:, :3] = False  # padding on the left, as a batch of prefixes has it
    torch.testing.assert_close(gpt(x, mask)[:, 3:], gpt(x[:, 3:]), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_weights_are_stored_in_by_out_and_gelu_is_the_tanh_form(gpt: GPT) -> None:
    mlp = gpt.h[0].mlp
    x = torch.randn(1, 3, CONFIG.width)
    up = x @ mlp.c_fc.weight + mlp.c_fc.bias
    gelu = 0.5 * up * (1 + torch.tanh(math.sqrt(2 / math.pi) * (up + 0.044715 * up**3)))
    torch.testing.assert_close(mlp(x), gelu @ mlp.c_proj.weight + mlp.c_proj.bias, rtol=1e-5, atol=1e-5)
    assert gpt.h[0].attn.c_attn.weight.shape == (CONFIG.width, 3 * CONFIG.width)


@torch.no_grad()
def test_tapped_head_is_the_same_in_both_passes(gpt: GPT, cache: KVCache) -> None:
    x = torch.randn(2, 12, CONFIG.width)
    tap = HeadTap(layer=1, head=2)
    hidden, (weights, first) = gpt.forward_tapped(x, None, tap, HeadTap(layer=0, head=1))
    assert torch.equal(hidden, gpt(x))
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 12))
    assert first.shape == weights.shape and not torch.equal(first, weights)
    prefill(gpt, x[0, :11], cache, 0)
    prefill(gpt, x[1, :8], cache, 3)
    step = torch.stack((x[0, 11], x[1, 8]))
    _, tapped = decode_tapped(gpt, step, cache, torch.tensor([0, 3]), torch.tensor([11, 8]), tap)
    torch.testing.assert_close(tapped[0], weights[0, 11], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(tapped[1], torch.cat((weights[1, 8, :9], torch.zeros(3))), rtol=1e-4, atol=1e-6)


@torch.no_grad()
def test_decode_follows_newly_loaded_weights(gpt: GPT, cache: KVCache) -> None:
    x = torch.randn(1, CONFIG.width)
    args = (x, cache, torch.tensor([0]), torch.tensor([0]))
    before = decode(gpt, *args)
    for assign in (False, True):
        gpt.load_state_dict({k: torch.randn_like(v) for k, v in gpt.state_dict().items()}, assign=assign)
        after = decode(gpt, *args)
        torch.testing.assert_close(after, gpt(x[None])[0], rtol=1e-4, atol=1e-4)
        assert not torch.allclose(before, after)


def test_forward_trains(gpt: GPT) -> None:
    gpt(torch.randn(2, 6, CONFIG.width), torch.ones(2, 6, dtype=torch.bool)).square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() and p.grad.any() for p in gpt.parameters())


@torch.no_grad()
def test_reorder_takes_the_sources_all_at_once(cache: KVCache) -> None:
    cache.k[:, :, :, 0, 0] = torch.arange(6.0)[None, :, None]
    cache.k[:, :, :, 5, 0] = torch.arange(6.0)[None, :, None]
    cache.reorder([1, 0, 0], 3)
    assert cache.k[0, :, 0, 0, 0].tolist() == [1, 0, 0, 3, 4, 5]
    assert cache.k[0, :, 0, 5, 0].tolist() == [0, 1, 2, 3, 4, 5]  # past the length nothing moves
