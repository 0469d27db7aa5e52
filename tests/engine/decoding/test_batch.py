"""Sequences in one batch: each says what it would say alone."""

from __future__ import annotations

from typing import get_args

import pytest
import torch

from oncue_engine.checkpoints.loaded import LoadedModel
from oncue_engine.decoding.batch import Sequence, SequenceSpec, TokenBatch, prefix_rows
from oncue_engine.kernels.library import load
from oncue_engine.model import packed_gpt
from oncue_engine.model.packed_gpt import Precision
from oncue_engine.requests import Sampling


def _prefix(model: LoadedModel, seed: int, tokens: int | None = None, pieces: int = 12) -> torch.Tensor:
    config = model.config.t2s
    generator = torch.Generator().manual_seed(seed)
    latents = torch.randn(config.conditioning_latents, config.model_dim, generator=generator)
    emotion = torch.randn(config.model_dim, generator=generator)
    text = torch.randint(2, config.number_text_tokens, (pieces,), generator=generator).tolist()
    return prefix_rows(model.t2s, latents, emotion, tokens, text)


def _spec(seed: int, tokens: int | None = None, most: int = 60) -> SequenceSpec:
    low = 5 if tokens is None else tokens
    return SequenceSpec(seed, 0, Sampling(), tokens, low, most if tokens is None else tokens)


def _finish(batch: TokenBatch, sequences: list[Sequence]) -> None:
    while any(sequence.live for sequence in sequences):
        batch.step(sequences)


def _latents(sequence: Sequence) -> torch.Tensor:
    return sequence.latents_between(0, len(sequence.codes))


@pytest.mark.parametrize("tokens", [1, 2, 37])
def test_exact_tokens_are_exact(nano: LoadedModel, tokens: int) -> None:
    with torch.inference_mode():
        batch = TokenBatch(nano.t2s, 1, 200)
        sequence = batch.start(_prefix(nano, 0, tokens), _spec(0, tokens))
        _finish(batch, [sequence])
    assert len(sequence.codes) == len(sequence.latents_between(0, tokens)) == tokens
    assert not sequence.hit_limit
    assert max(sequence.codes) < nano.config.codec.codebook_size


def test_free_speech_stops_by_itself_or_at_the_limit(nano: LoadedModel) -> None:
    with torch.inference_mode():
        batch = TokenBatch(nano.t2s, 1, 200)
        ends = []
        for seed in range(20):
            sequence = batch.start(_prefix(nano, seed), _spec(seed, most=20))
            _finish(batch, [sequence])
            batch.release(sequence)
            ends.append((len(sequence.codes), sequence.hit_limit))
    assert all(5 <= count <= 20 and limit == (count == 20) for count, limit in ends)
    assert len({count for count, _ in ends}) > 3
    assert {limit for _, limit in ends} == {True, False}


def _alone(nano: LoadedModel, seed: int, slots: int, precision: Precision, padded: bool) -> Sequence:
    batch = TokenBatch(nano.t2s, slots, 200, precision=precision, padded=padded)
    sequence = batch.start(_prefix(nano, seed, pieces=5 + 7 * seed), _spec(seed))
    _finish(batch, [sequence])
    return sequence


def _crowd(nano: LoadedModel, slots: int, precision: Precision, padded: bool) -> list[Sequence]:
    """Four that come at different times, to whatever slot is free."""
    batch = TokenBatch(nano.t2s, slots, 200, precision=precision, padded=padded)
    crowd: list[Sequence] = []
    for seed in range(4):
        crowd.append(batch.start(_prefix(nano, seed, pieces=5 + 7 * seed), _spec(seed)))
        for _ in range(3):
            batch.step(crowd)
    _finish(batch, crowd)
    return crowd


@pytest.mark.skipif(load() is None, reason="no kernels on this machine")
@pytest.mark.parametrize("precision", get_args(Precision))
def test_speech_is_the_same_to_the_bit_alone_and_in_a_crowd(nano: LoadedModel, precision: Precision) -> None:
    with torch.inference_mode():
        for seed, other in enumerate(_crowd(nano, 4, precision, padded=False)):
            one = _alone(nano, seed, 1, precision, padded=False)
            assert one.codes == other.codes
            assert torch.equal(_latents(one), _latents(other))


@pytest.mark.parametrize("padded", [False, True])
def test_without_kernels_codes_do_not_depend_on_the_batch(
    nano: LoadedModel, padded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed_gpt, "load", lambda: None)
    with torch.inference_mode():
        for seed, other in enumerate(_crowd(nano, 6, "float32", padded)):
            one = _alone(nano, seed, 6, "float32", padded)
            assert one.codes == other.codes
            # Steps of as many rows, each row's attention by itself: not even rounding differs.
            torch.testing.assert_close(_latents(one), _latents(other), rtol=0, atol=0 if padded else 1e-4)


def test_latents_are_there_as_soon_as_their_codes(nano: LoadedModel) -> None:
    with torch.inference_mode():
        batch = TokenBatch(nano.t2s, 1, 200)
        sequence = batch.start(_prefix(nano, 0, 9), _spec(0, 9))
        first = sequence.latents_between(0, 1).clone()
        with pytest.raises(ValueError, match="0 to 2 of 1"):
            sequence.latents_between(0, 2)
        _finish(batch, [sequence])
    assert sequence.latents_between(3, 9).shape == (6, nano.config.t2s.model_dim)
    assert torch.equal(sequence.latents_between(0, 1), first)


def test_latents_equal_a_second_pass_over_the_codes(nano: LoadedModel) -> None:
    """One beam at contiguous positions: the states that drew the codes are the latents (spec 3.6)."""
    with torch.inference_mode():
        batch = TokenBatch(nano.t2s, 1, 200)
        prefix = _prefix(nano, 3, 25)
        sequence = batch.start(prefix, _spec(3, 25))
        _finish(batch, [sequence])
        codes = torch.tensor([sequence.codes])
        rows = torch.cat((prefix, nano.t2s.code_rows(codes, 1)[0]))
        hidden = nano.t2s.gpt(rows[None])[0]
        latents = nano.t2s.latent(hidden[len(prefix) - 1 : -1])
    torch.testing.assert_close(_latents(sequence), latents, rtol=0, atol=1e-4)


def test_slots_come_back(nano: LoadedModel) -> None:
    with torch.inference_mode():
        batch = TokenBatch(nano.t2s, 2, 200)
        first = batch.start(_prefix(nano, 0), _spec(0))
        batch.start(_prefix(nano, 1), _spec(1))
        assert batch.free_slots == 0
        batch.release(first)
        assert batch.free_slots == 1
        with pytest.raises(ValueError, match="exceeds the cache"):
            batch.start(torch.zeros(201, nano.config.t2s.model_dim), _spec(2))
        assert batch.free_slots == 1


def test_a_row_that_breaks_leaves_the_others(nano: LoadedModel) -> None:
    with torch.inference_mode():
        alone_batch = TokenBatch(nano.t2s, 1, 200)
        alone = alone_batch.start(_prefix(nano, 1, 30), _spec(1, 30))
        _finish(alone_batch, [alone])

        batch = TokenBatch(nano.t2s, 3, 200)
        rows = [batch.start(_prefix(nano, seed, 30), _spec(seed, 30)) for seed in range(3)]
        for _ in range(5):
            batch.step(rows)
        # A key in the cache turns into no number; and the longest row runs out of its slot.
        batch._cache.k[:, rows[0].slot, :, 3] = float("nan")
        rows[2].length = 200
        _finish(batch, rows)
    assert getattr(rows[0].error, "reason", "") == "NOT_FINITE"
    assert isinstance(rows[2].error, ValueError)
    assert rows[1].error is None
    assert rows[1].codes == alone.codes
