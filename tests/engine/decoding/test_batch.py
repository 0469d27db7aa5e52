"""Sequences in one batch: each says what it would say alone."""

from __future__ import annotations

import pytest
import torch

from oncue_engine.checkpoints.loaded import LoadedModel
from oncue_engine.decoding.batch import Sequence, SequenceSpec, TokenBatch, prefix_rows
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


def test_codes_do_not_depend_on_the_batch(nano: LoadedModel) -> None:
    with torch.inference_mode():
        alone = []
        for seed in range(4):
            batch = TokenBatch(nano.t2s, 1, 200)
            sequence = batch.start(_prefix(nano, seed, pieces=5 + 7 * seed), _spec(seed))
            _finish(batch, [sequence])
            alone.append(sequence)
        # In a crowd they come at different times, to whatever slot is free.
        batch = TokenBatch(nano.t2s, 4, 200)
        crowd: list[Sequence] = []
        for seed in range(4):
            crowd.append(batch.start(_prefix(nano, seed, pieces=5 + 7 * seed), _spec(seed)))
            for _ in range(3):
                batch.step(crowd)
        _finish(batch, crowd)
    for one, other in zip(alone, crowd, strict=True):
        assert one.codes == other.codes
        torch.testing.assert_close(_latents(one), _latents(other), rtol=0, atol=1e-4)


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
