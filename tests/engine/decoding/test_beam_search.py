"""Beam search in steps: against a search written the long way, exact lengths, draws of its own."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from oncue_engine.decoding.beam_search import BeamLimits, BeamOptions, BeamSearch, Hypothesis
from oncue_engine.decoding.reference import beam_search, prefix_rows
from oncue_engine.decoding.sampling import Draws
from oncue_engine.errors import GenerationFailed
from oncue_engine.model.t2s import T2S, ConditionConfig, T2SConfig

START, STOP, CODES = 30, 31, 32
CONDITION = ConditionConfig(output_size=8, linear_units=8, attention_heads=2, num_blocks=1, position_rows=10)
CONFIG = T2SConfig(
    model_dim=16,
    layers=2,
    heads=2,
    max_mel_tokens=40,
    max_text_tokens=10,
    number_text_tokens=20,
    number_mel_codes=CODES,
    start_mel_token=START,
    stop_mel_token=STOP,
    condition_module=CONDITION,
    emo_condition_module=CONDITION,
    codes_width=8,
    conditioning_latents=4,
    emotion_width=8,
)
WIDE = BeamOptions(temperature=1.5, top_k=20, top_p=0.95, repetition_penalty=1.3)


def random_model(stop: float) -> T2S:
    """`stop`: how much it likes to stop."""
    torch.manual_seed(0)
    model = T2S(CONFIG).eval().requires_grad_(False)
    for table in (model.mel_embedding, model.mel_pos_embedding.emb, model.text_embedding, model.mel_head):
        torch.nn.init.normal_(table.weight)
    model.mel_head.bias[STOP] = stop
    return model


@pytest.fixture(scope="module")
def t2s() -> T2S:
    return random_model(4.0)


@pytest.fixture(scope="module")
def prefix(t2s: T2S) -> Tensor:
    torch.manual_seed(1)
    return prefix_rows(t2s, torch.randn(1, 4, 16), torch.randn(1, 16), torch.tensor([[3, 4, 5]]))


def log_probabilities(t2s: T2S, prefix: Tensor, codes: list[int]) -> list[float]:
    """What may follow `codes`, by one full pass without a cache; the first code takes position 2."""
    rows = [prefix, t2s.start_row()[None]]
    if codes:
        rows.append(t2s.code_rows(torch.tensor([codes]), 2))
    logits: Tensor = t2s.logits(t2s.gpt(torch.cat(rows, dim=1)))[0, -1]
    values: list[float] = logits.log_softmax(-1).tolist()
    return values


def filtered(scores: list[float], options: BeamOptions) -> list[float]:
    """Temperature, top-k, top-p, by sorting a list; at least two stay."""
    scores = [score / options.temperature for score in scores]
    ranked = sorted(range(len(scores)), key=lambda code: -scores[code])[: max(2, options.top_k)]
    weights = [math.exp(scores[code] - scores[ranked[0]]) for code in ranked]
    kept, mass = [], 0.0
    for code, weight in zip(ranked, weights, strict=True):
        if mass / sum(weights) >= options.top_p and len(kept) >= 2:
            break
        kept.append(code)
        mass += weight
    return [score if code in kept else -math.inf for code, score in enumerate(scores)]


def searched(
    t2s: T2S, prefix: Tensor, limits: BeamLimits, options: BeamOptions, draws: Draws
) -> tuple[list[int], float]:
    """The same search the long way: lists and full passes. Codes and score of the best hypothesis."""
    live: list[tuple[float, list[int]]] = [(0.0, []), *([(-1e9, [])] * (options.beams - 1))]
    ended: list[tuple[float, list[int]]] = []
    for step in range(limits.max_tokens):
        candidates = []
        for total, codes in live:
            scores = log_probabilities(t2s, prefix, codes)
            history = {1, START, *codes}
            scores = [s * options.repetition_penalty if code in history else s for code, s in enumerate(scores)]
            if step < limits.min_tokens:
                scores[STOP] = -math.inf
            for code in limits.banned:
                scores[code] = -math.inf
            candidates += [(total + s, codes, code) for code, s in enumerate(filtered(scores, options))]
        uniforms = draws.many(step, len(candidates))
        noisy = [c[0] - math.log(-math.log(u)) for c, u in zip(candidates, uniforms.tolist(), strict=True)]
        drawn = sorted(range(len(candidates)), key=lambda i: -noisy[i])[: 2 * options.beams]
        drawn.sort(key=lambda i: -candidates[i][0])
        live = []
        for rank, (total, codes, code) in enumerate(candidates[i] for i in drawn):
            if code != STOP and len(live) < options.beams:
                live.append((total, [*codes, code]))
            elif code == STOP and rank < options.beams and len(live) < options.beams:
                ended = sorted([(total, codes), *ended], key=lambda e: -e[0])[: options.beams]
        if len(ended) == options.beams and ended[-1][0] >= candidates[drawn[0]][0]:
            break
    else:
        ended = sorted([*live, *ended], key=lambda e: -e[0])
    return ended[0][1], ended[0][0]


def found(t2s: T2S, prefix: Tensor, limits: BeamLimits, options: BeamOptions, draws: Draws) -> Hypothesis:
    search = BeamSearch(t2s, prefix, limits, options, draws)
    while not search.finished:
        search.step()
    return search.best


@pytest.mark.parametrize("min_tokens", [0, 3])
@pytest.mark.parametrize("beams", [2, 3])
def test_sampled_beams_are_those_of_a_search_the_long_way(prefix: Tensor, beams: int, min_tokens: int) -> None:
    lengths = set()
    for seed, stop in enumerate((1.0, 2.0, 3.0, 4.0, 5.0, 7.0)):
        t2s = random_model(stop)
        limits, options = BeamLimits(8, min_tokens, banned=(START,)), replace(WIDE, beams=beams)
        best = found(t2s, prefix, limits, options, Draws(seed, 0))
        codes, score = searched(t2s, prefix, limits, options, Draws(seed, 0))
        assert list(best.codes) == codes
        assert best.score == pytest.approx(score, rel=1e-4)
        assert best.stopped == (len(codes) < 8)
        lengths.add(len(codes))
    assert len(lengths) > 1  # some stopped by themselves


@pytest.mark.parametrize("sample", [True, False])
@pytest.mark.parametrize("tokens", [1, 2, 7, 33])
def test_the_length_asked_is_the_length_found(t2s: T2S, prefix: Tensor, tokens: int, sample: bool) -> None:
    free = {len(found(t2s, prefix, BeamLimits(33), replace(WIDE, sample=sample), Draws(s, 0)).codes) for s in range(3)}
    assert max(free) < 33  # left alone, it stops long before
    for beams in (1, 3):
        options = replace(WIDE, beams=beams, sample=sample)
        best = found(t2s, prefix, BeamLimits(tokens, tokens), options, Draws(7, 0))
        assert len(best.codes) == tokens and STOP not in best.codes and not best.stopped


def test_the_least_length_holds_and_then_it_stops(t2s: T2S, prefix: Tensor) -> None:
    lengths = [len(found(t2s, prefix, BeamLimits(38, 6), WIDE, Draws(seed, 0)).codes) for seed in range(8)]
    assert min(lengths) >= 6 and max(lengths) < 38


def test_banned_ids_never_come(t2s: T2S, prefix: Tensor) -> None:
    options = replace(WIDE, top_k=CODES, top_p=1.0, temperature=3.0, repetition_penalty=1.0)
    free = [found(t2s, prefix, BeamLimits(20, 20), options, Draws(seed, 0)).codes for seed in range(6)]
    often = max(range(START), key=lambda code: sum(codes.count(code) for codes in free))
    limits = BeamLimits(20, 20, banned=(START, often))
    held = [found(t2s, prefix, limits, options, Draws(seed, 0)).codes for seed in range(6)]
    assert any(often in codes for codes in free)
    assert not any(often in codes or START in codes for codes in held)


def test_draws_follow_the_seed_and_the_segment_alone(t2s: T2S, prefix: Tensor) -> None:
    options = replace(WIDE, temperature=2.0, top_k=CODES, top_p=1.0)
    limits = BeamLimits(12, 12)
    once = found(t2s, prefix, limits, options, Draws(5, 2))
    torch.manual_seed(99)  # nobody else's numbers are looked at
    one = BeamSearch(t2s, prefix, limits, options, Draws(5, 2))
    two = BeamSearch(t2s, prefix, limits, options, Draws(6, 2))
    while not (one.finished and two.finished):
        for search in (two, one):
            if not search.finished:
                search.step()
    assert one.best.codes == once.codes
    others = {found(t2s, prefix, limits, options, Draws(*key)).codes for key in ((6, 2), (5, 3), (5, 0))}
    assert once.codes not in others and len(others) == 3


def test_numbers_of_a_step_are_uniform_and_apart_from_all_others() -> None:
    draws = Draws(3, 1)
    rows = np.stack([draws.many(step, 5000) for step in range(4)])
    assert 0.0 <= rows.min() and rows.max() < 1.0
    assert abs(rows.mean() - 0.5) < 0.01 and abs(rows.std() - 1 / math.sqrt(12)) < 0.01
    assert np.abs(np.corrcoef(rows) - np.eye(4)).max() < 0.06
    assert len({*rows.flatten().tolist(), *draws.uniforms(100)}) == 20_100
    assert np.array_equal(draws.many(2, 10), rows[2, :10])


def test_a_search_says_nothing_before_its_end_and_does_nothing_after(t2s: T2S, prefix: Tensor) -> None:
    search = BeamSearch(t2s, prefix, BeamLimits(3, 3), WIDE, Draws(0, 0))
    for steps in range(3):
        assert search.steps == steps and not search.finished
        with pytest.raises(ValueError, match="can still change"):
            _ = search.best
        search.step()
    assert search.finished and len(search.best.codes) == 3
    with pytest.raises(ValueError, match="finished"):
        search.step()
    whole = beam_search(t2s, prefix, BeamLimits(3, 3), WIDE, Draws(0, 0))
    assert tuple(whole[0].tolist()) == search.best.codes


def test_the_position_table_bounds_a_beam(t2s: T2S, prefix: Tensor) -> None:
    longest = BeamLimits(CONFIG.max_mel_tokens, CONFIG.max_mel_tokens)
    assert len(found(t2s, prefix, longest, WIDE, Draws(0, 0)).codes) == CONFIG.max_mel_tokens
    with pytest.raises(ValueError, match="41 exceeds"):
        BeamSearch(t2s, prefix, BeamLimits(41), WIDE, Draws(0, 0))
    for low, high in ((5, 4), (0, 0), (-1, 3)):
        with pytest.raises(ValueError, match="not possible"):
            BeamLimits(high, low)


def test_logits_that_are_no_numbers_end_it(t2s: T2S, prefix: Tensor) -> None:
    search = BeamSearch(t2s, prefix * math.nan, BeamLimits(5), WIDE, Draws(0, 0))
    with pytest.raises(GenerationFailed) as caught:
        search.step()
    assert caught.value.reason == "NOT_FINITE"
