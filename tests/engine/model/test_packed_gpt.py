"""The packed backbone against the one it was packed from."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from oncue_engine.checkpoints.loaded import LoadedModel
from oncue_engine.kernels.library import load
from oncue_engine.model import packed_gpt
from oncue_engine.model.gpt import decode, prefill
from oncue_engine.model.packed_gpt import PackedGPT, Precision
from oncue_engine.model.t2s import T2S

_CAPACITY = 40
_PREFIXES = {0: 9, 3: 5, 4: 12}


def _rows(t2s: T2S, slot: int, count: int) -> Tensor:
    generator = torch.Generator().manual_seed(slot)
    return torch.randn(count, t2s.config.model_dim, generator=generator)


def _packed_run(gpt: PackedGPT, t2s: T2S, steps: int) -> tuple[Tensor, Tensor]:
    """Latents and logits of prefixes of different lengths, and of steps of all slots together."""
    cache = gpt.allocate_cache(6, _CAPACITY)
    got = [[out[None] for out in gpt.prefill(_rows(t2s, s, n), cache, s)] for s, n in _PREFIXES.items()]
    for step in range(steps):
        lengths = [n + step for n in _PREFIXES.values()]
        x = torch.stack([_rows(t2s, 10 + slot, steps)[step] for slot in _PREFIXES])
        got.append(list(gpt.step(x, cache, list(_PREFIXES), lengths)))
    latents, logits = zip(*got, strict=True)
    return torch.cat(latents), torch.cat(logits)


@torch.no_grad()
def _plain_run(t2s: T2S, steps: int) -> tuple[Tensor, Tensor]:
    """The same by `model.gpt`."""
    cache = t2s.allocate_cache(6, _CAPACITY)
    hidden = [prefill(t2s.gpt, _rows(t2s, s, n), cache, s)[-1:] for s, n in _PREFIXES.items()]
    slots = torch.tensor(list(_PREFIXES))
    for step in range(steps):
        x = torch.stack([_rows(t2s, 10 + slot, steps)[step] for slot in _PREFIXES])
        hidden.append(decode(t2s.gpt, x, cache, slots, torch.tensor(list(_PREFIXES.values())) + step))
    latents = t2s.latent(torch.cat(hidden))
    return latents, t2s.mel_head(latents)


def _difference(got: Tensor, wanted: Tensor) -> float:
    """Root mean square of the difference, relative to what is wanted."""
    return float((got - wanted).square().mean().sqrt() / wanted.square().mean().sqrt())


@pytest.mark.parametrize("threads", [1, 2])
def test_float32_equals_the_backbone(nano: LoadedModel, threads: int) -> None:
    got = _packed_run(PackedGPT(nano.t2s, "float32", threads), nano.t2s, 20)
    for ours, plain in zip(got, _plain_run(nano.t2s, 20), strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-5, atol=1e-5)


@pytest.mark.skipif(load() is None, reason="no kernels on this machine")
@pytest.mark.parametrize(("precision", "most"), [("bfloat16", 0.02), ("int8", 0.05)])
def test_coarser_weights_stay_near(nano: LoadedModel, precision: Precision, most: float) -> None:
    """The tiny model's weights are loud, so that rounding shows more than it does in speech."""
    gpt = PackedGPT(nano.t2s, precision)
    assert gpt.allocate_cache(1, 8).k.dtype is torch.bfloat16
    got = _packed_run(gpt, nano.t2s, 20)
    for ours, plain in zip(got, _plain_run(nano.t2s, 20), strict=True):
        assert 1e-5 < _difference(ours, plain) < most


@pytest.mark.skipif(load() is None, reason="no kernels on this machine")
def test_a_step_reads_as_many_bytes_as_the_precision_says(nano: LoadedModel) -> None:
    bytes_of = {p: PackedGPT(nano.t2s, p).weight_bytes for p in ("float32", "bfloat16", "int8")}
    # The weights were saved in float16: those numbers are kept exactly in two bytes.
    assert bytes_of["float32"] == bytes_of["bfloat16"] == 2 * bytes_of["int8"]


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_without_kernels_the_backbone_serves(
    nano: LoadedModel, precision: Precision, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed_gpt, "load", lambda: None)
    gpt = PackedGPT(nano.t2s, precision)
    assert not gpt.rows_independent
    for ours, plain in zip(_packed_run(gpt, nano.t2s, 5), _plain_run(nano.t2s, 5), strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-5, atol=1e-5)


def test_what_does_not_fit_is_refused(nano: LoadedModel) -> None:
    gpt = PackedGPT(nano.t2s)
    cache = gpt.allocate_cache(2, 10)
    with pytest.raises(ValueError, match="exceeds the cache's 10"):
        gpt.prefill(_rows(nano.t2s, 0, 11), cache, 0)
    gpt.prefill(_rows(nano.t2s, 0, 10), cache, 0)
    with pytest.raises(ValueError, match="fills its 10"):
        gpt.step(_rows(nano.t2s, 0, 1), cache, [0], [10])
