"""Attention over packed segments against a plain one, and turning by position."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from oncue_engine.kernels.attention import attention, rotate
from oncue_engine.kernels.flow import Segments
from oncue_engine.model.transformer import rotary_table


def _turns(frames: int, head_dim: int) -> Tensor:
    return rotary_table(frames, head_dim, torch.device("cpu")).transpose(1, 2).contiguous()


def _plain(qkv: Tensor, heads: int, asking: int) -> Tensor:
    """One segment [F,3H] in float32, pair by pair as complex numbers."""
    frames, width = len(qkv), qkv.shape[1] // 3
    query, key, value = qkv.float().reshape(frames, 3, heads, width // heads).permute(1, 2, 0, 3)  # [h,F,d]
    turn = torch.view_as_complex(rotary_table(frames, width // heads, torch.device("cpu")).contiguous())
    query, key = (
        torch.view_as_real(torch.view_as_complex(part.reshape(heads, frames, -1, 2)) * turn).flatten(-2)
        for part in (query, key)
    )
    weights = (query @ key.transpose(1, 2) * (width // heads) ** -0.5).softmax(dim=-1)
    return (weights @ value).transpose(0, 1).reshape(frames, width)[frames - asking :]


def _random(frames: int, width: int) -> Tensor:
    return torch.randn(frames, 3 * width, generator=torch.Generator().manual_seed(frames)) * 1.5


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("heads", "head_dim"), [(3, 32), (2, 64), (1, 96), (2, 10)])
def test_each_segment_attends_to_itself_alone(heads: int, head_dim: int, precision: torch.dtype) -> None:
    counts, asking = (1, 1, 31, 31, 48, 48, 129, 129), (1, 1, 5, 5, 48, 48, 100, 100)
    whole = Segments(tuple(torch.tensor(counts).cumsum(0).tolist()), 2)
    queries = Segments(tuple(torch.tensor(asking).cumsum(0).tolist()), 2)
    qkv = _random(whole.frames, heads * head_dim).to(precision)
    want = torch.cat([_plain(part, heads, last) for part, last in zip(qkv.split(counts), asking, strict=True)])
    got = attention(qkv.clone(), _turns(150, head_dim), whole, queries, heads)
    assert got.dtype is precision
    tolerance = 2e-5 if precision is torch.float32 else 0.03
    torch.testing.assert_close(got.float(), want, rtol=tolerance, atol=tolerance)


def test_far_scores_neither_overflow_nor_vanish() -> None:
    """With scores thousands apart the weights still sum to one, and what is mixed lies among the values."""
    whole = Segments((40,), 1)
    qkv = _random(40, 32).bfloat16() * 30
    qkv[:, 64] = 1.0
    values = qkv[:, 64:].float()
    got = attention(qkv.clone(), _turns(40, 32), whole, whole, 1).float()
    torch.testing.assert_close(got[:, 0], torch.ones(40), rtol=0, atol=0.01)
    assert (got <= values.amax(dim=0) * 1.01 + 0.01).all() and (got >= values.amin(dim=0) * 1.01 - 0.01).all()


def test_what_is_no_number_stays_in_its_segment() -> None:
    whole = Segments((20, 53, 80), 1)
    qkv = _random(80, 64).bfloat16()
    qkv[30, 70] = float("nan")  # a key
    got = attention(qkv, _turns(60, 32), whole, whole, 2)
    assert got[20:53, :32].isnan().all()
    assert got[:20].isfinite().all() and got[53:].isfinite().all() and got[20:53, 32:].isfinite().all()


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_turning_leaves_values_and_lengths_as_they_are(precision: torch.dtype) -> None:
    qkv = _random(50, 64).to(precision)
    turned = qkv.clone()
    rotate(turned, _turns(50, 32), Segments((20, 50), 1), 2)
    assert torch.equal(turned[:, 128:], qkv[:, 128:])
    assert torch.equal(turned[[0, 20]], qkv[[0, 20]]), "position 0 of each segment"
    pairs, before = (part[:, :128].float().reshape(50, 64, 2).norm(dim=-1) for part in (turned, qkv))
    torch.testing.assert_close(pairs, before, rtol=0.01, atol=0.01)
    assert not torch.allclose(turned[1], qkv[1])
