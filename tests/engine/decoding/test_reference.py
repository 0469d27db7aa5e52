"""The public implementation's decoding: position skip, penalties, beams, second pass."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import pytest
import torch
from torch import Tensor

from oncue_engine.decoding.beam_search import BeamLimits, BeamOptions, draw, filter_scores, penalize
from oncue_engine.decoding.reference import beam_search, cut_at_stop, forced_logits, greedy, latent_pass, prefix_rows
from oncue_engine.decoding.sampling import Draws
from oncue_engine.model.t2s import T2S, ConditionConfig, T2SConfig
from oncue_engine.parity.golden_file import read_golden
from oncue_engine.parity.t2s import SETS

GOLDEN = Path(__file__).parents[2] / "golden" / "gpt_t2s.safetensors"
START, STOP = 30, 31
CONDITION = ConditionConfig(output_size=8, linear_units=8, attention_heads=2, num_blocks=1, position_rows=10)
CONFIG = T2SConfig(
    model_dim=16,
    layers=2,
    heads=2,
    max_mel_tokens=24,
    max_text_tokens=10,
    number_text_tokens=20,
    number_mel_codes=32,
    start_mel_token=START,
    stop_mel_token=STOP,
    condition_module=CONDITION,
    emo_condition_module=CONDITION,
    codes_width=8,
    conditioning_latents=4,
    emotion_width=8,
)
PLAIN = BeamOptions(sample=False, repetition_penalty=1.0)


@pytest.fixture
def t2s() -> T2S:
    torch.manual_seed(0)
    model = T2S(CONFIG).eval()
    for table in (model.mel_embedding, model.mel_pos_embedding.emb, model.text_embedding, model.mel_head):
        torch.nn.init.normal_(table.weight)
    with torch.no_grad():
        model.mel_head.bias[[START, STOP]] = -20.0  # neither comes by itself
    return model


@pytest.fixture
def prefix(t2s: T2S) -> Tensor:
    torch.manual_seed(1)
    return prefix_rows(t2s, torch.randn(1, 4, 16), torch.randn(1, 16), torch.tensor([[3, 4, 5]])).detach()


def fixed(t2s: T2S, biases: dict[int, float]) -> T2S:
    """Make every step's logits the same: `biases` where given, -30 elsewhere."""
    with torch.no_grad():
        t2s.mel_head.weight.zero_()
        t2s.mel_head.bias.fill_(-30.0)
        for code, bias in biases.items():
            t2s.mel_head.bias[code] = bias
    return t2s


def uncached_logits(t2s: T2S, prefix: Tensor, codes: list[int], first_position: int) -> Tensor:
    """Logits after the last of `codes` by one full pass."""
    rows = [prefix, t2s.start_row()[None]]
    if codes:
        rows.append(t2s.code_rows(torch.tensor([codes]), first_position))
    return t2s.logits(t2s.gpt(torch.cat(rows, dim=1)))[0, -1]


@pytest.mark.parametrize(
    "output",
    [
        *("logits_cached_decode", "greedy_codes", "greedy_logits", "greedy_codes_rep10"),
        *("beam3_codes", "beam3_codes_rep10", "latent", "latent_of_greedy"),
    ],
)
def test_golden_decoding(output: str) -> None:
    golden = read_golden(GOLDEN)
    got, want = SETS["gpt_t2s"](golden)[output], golden.outputs[output]
    if want.is_floating_point():
        assert float((got - want).abs().max() / want.abs().max()) < 2e-5
    else:
        assert torch.equal(got, want)


@torch.no_grad()
def test_generation_skips_position_one(t2s: T2S, prefix: Tensor) -> None:
    codes = [7, 3, 9, 9]
    logits = forced_logits(t2s, prefix, torch.tensor([codes]))[0]
    for step in range(5):
        want = uncached_logits(t2s, prefix, codes[:step], first_position=2)
        torch.testing.assert_close(logits[step], want, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(logits[1], uncached_logits(t2s, prefix, codes[:1], first_position=1), atol=1e-2)


@torch.no_grad()
def test_latent_pass_skips_no_position(t2s: T2S, prefix: Tensor) -> None:
    codes = torch.tensor([[7, 3, 9]])
    latents = latent_pass(t2s, prefix, codes)
    assert latents.shape == (1, 3, 16)
    for index in range(3):  # row i predicts code i: it has seen the codes before it only
        before = t2s.code_rows(codes[:, :index], 1)
        hidden = t2s.gpt(torch.cat((prefix, t2s.start_row()[None], before), dim=1))
        torch.testing.assert_close(latents[:, index], t2s.latent(hidden[:, -1]), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_repetition_penalty_hits_the_placeholder_ids_of_the_prefix(t2s: T2S, prefix: Tensor) -> None:
    # Logits: greedy penalises them as they are, so a positive one is divided.
    fixed(t2s, {1: 5.0, START: 4.9, STOP: 0.2, 8: 4.0})
    assert greedy(t2s, prefix, 1)[0].tolist() == [[1]]
    assert greedy(t2s, prefix, 1, repetition_penalty=10.0)[0].tolist() == [[8]]  # code 1 and start count as used
    assert greedy(t2s, prefix, 2, repetition_penalty=10.0)[0].tolist() == [[8, 1]]
    fixed(t2s, {1: 5.0, START: 4.9, STOP: 4.5, 8: 4.0})
    assert greedy(t2s, prefix, 3, repetition_penalty=10.0)[0].tolist() == [[STOP]]  # stop does not


@torch.no_grad()
def test_repetition_penalty_of_beams_acts_on_log_probabilities(t2s: T2S, prefix: Tensor) -> None:
    biases = {1: math.log(0.9), 8: math.log(0.06), 9: math.log(0.04)}
    fixed(t2s, biases)
    options = BeamOptions(beams=1, sample=False, repetition_penalty=10.0)
    # 10 * log 0.9 = -1.05 still beats log 0.06 = -2.8; so does a second 1. With a penalty of 30 it no longer does.
    assert beam_search(t2s, prefix, BeamLimits(2), options).tolist() == [[1, 1]]
    options = BeamOptions(beams=1, sample=False, repetition_penalty=30.0)
    assert beam_search(t2s, prefix, BeamLimits(2), options).tolist() == [
        [8, 1]
    ]  # 30 * log 0.9 = -3.16 beats log 0.04 = -3.22


def test_penalty_by_sign() -> None:
    scores = torch.tensor([[-1.0, 2.0, -1.0, 2.0]])
    used = torch.tensor([[True, True, False, False]])
    assert penalize(scores, used, 10.0).tolist() == [[-10.0, pytest.approx(0.2), -1.0, 2.0]]


def naive_beams(t2s: T2S, prefix: Tensor, steps: int, beams: int, penalty: float) -> list[int]:
    """Beam search without a cache or batches; no beam ends."""
    live: list[tuple[float, list[int]]] = [(0.0, [])]
    for _ in range(steps):
        candidates = []
        for total, codes in live:
            scores = uncached_logits(t2s, prefix, codes, first_position=2).log_softmax(-1)
            for code in range(CONFIG.number_mel_codes):
                used = code in {1, START, *codes}
                candidates.append((total + float(scores[code]) * (penalty if used else 1.0), [*codes, code]))
        live = sorted(candidates, key=lambda c: -c[0])[:beams]
    return live[0][1]


@pytest.mark.parametrize("penalty", [1.0, 10.0])
@pytest.mark.parametrize("beams", [1, 3])
@torch.no_grad()
def test_beams_equal_a_naive_search(t2s: T2S, prefix: Tensor, beams: int, penalty: float) -> None:
    options = BeamOptions(beams=beams, sample=False, repetition_penalty=penalty)
    assert beam_search(t2s, prefix, BeamLimits(6), options).tolist() == [naive_beams(t2s, prefix, 6, beams, penalty)]


def test_search_ends_when_no_beam_can_beat_the_finished(t2s: T2S, prefix: Tensor) -> None:
    fixed(t2s, {4: 0.0, STOP: 3.0})  # stop at once is the best hypothesis, then 4 stop, then 4 4 stop
    assert beam_search(t2s, prefix, BeamLimits(20), PLAIN).shape == (1, 0)
    fixed(t2s, {4: 0.0, STOP: 3.0})
    found = beam_search(t2s, prefix, BeamLimits(1), BeamOptions(beams=1, sample=False))
    assert found.shape == (1, 0)


def test_length_penalty_favours_longer(t2s: T2S, prefix: Tensor) -> None:
    fixed(t2s, {4: 1.0, STOP: 0.0})
    short = beam_search(
        t2s, prefix, BeamLimits(6), BeamOptions(sample=False, repetition_penalty=1.0, length_penalty=0.0)
    )
    long = beam_search(
        t2s, prefix, BeamLimits(6), BeamOptions(sample=False, repetition_penalty=1.0, length_penalty=3.0)
    )
    assert short.shape[1] < long.shape[1]


def test_draw_tolerates_fewer_possible_candidates_than_wanted() -> None:
    scores = torch.full((12,), -torch.inf)
    scores[[2, 7]] = torch.tensor([-1.0, -0.5])
    scores[[3, 4]] = -1e9
    picks = draw(scores, 6, Draws(0, 0).many(0, 12)).tolist()
    assert picks[:2] == [7, 2] and set(picks[2:4]) == {3, 4}
    assert len(set(picks)) == 6


def test_first_sampled_step_has_one_live_beam_with_two_candidates(t2s: T2S, prefix: Tensor) -> None:
    fixed(t2s, {4: 5.0, 5: 4.0})  # two possible codes for six draws
    options = BeamOptions(top_k=2, top_p=1.0, repetition_penalty=1.0)
    found = beam_search(t2s, prefix, BeamLimits(5), options, Draws(0, 0))
    assert found.shape == (1, 5) and set(found[0].tolist()) <= {4, 5}


def test_draw_follows_the_probabilities() -> None:
    draws = Draws(5, 0)
    scores = torch.tensor([0.2, 0.5, 0.3]).log()
    counts = Counter(int(draw(scores, 1, draws.many(step, 3))) for step in range(3000))
    assert [counts[i] / 3000 for i in range(3)] == pytest.approx([0.2, 0.5, 0.3], abs=0.03)
    pairs = Counter(frozenset(draw(scores, 2, draws.many(step, 3)).tolist()) for step in range(3000))
    first = 0.2 * 0.5 / 0.8 + 0.5 * 0.2 / 0.5  # 0 then 1, or 1 then 0
    assert pairs[frozenset((0, 1))] / 3000 == pytest.approx(first, abs=0.03)


def test_filters_cut_in_order_and_leave_two() -> None:
    scores = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log()
    kept = BeamOptions(temperature=1.0, top_k=3, top_p=0.8)
    assert filter_scores(scores, kept).isfinite().tolist() == [[True, True, False, False]]
    sharp = BeamOptions(temperature=1.0, top_k=1, top_p=0.01)
    assert filter_scores(scores, sharp).isfinite().tolist() == [[True, True, False, False]]
    single = BeamOptions(beams=1, temperature=1.0, top_k=1, top_p=0.01)
    assert filter_scores(scores, single).isfinite().tolist() == [[True, False, False, False]]
    cool = filter_scores(scores, BeamOptions(temperature=0.5, top_k=4, top_p=1.0))
    torch.testing.assert_close(cool, scores / 0.5)
    assert filter_scores(scores, BeamOptions(temperature=0.25, top_k=4, top_p=0.85)).isfinite().sum() == 2


def test_sampled_beams_repeat_with_the_seed(t2s: T2S, prefix: Tensor) -> None:
    options = BeamOptions(temperature=3.0, top_k=32, top_p=1.0)
    found = [beam_search(t2s, prefix, BeamLimits(8), options, Draws(seed, 0)).tolist() for seed in (1, 1, 2, 3, 4)]
    assert found[0] == found[1]
    assert len({str(codes) for codes in found}) > 1


def test_codes_are_cut_at_the_first_stop() -> None:
    assert cut_at_stop(torch.tensor([[4, STOP, 5, STOP]]), STOP).tolist() == [[4]]
    assert cut_at_stop(torch.tensor([[4, 5]]), STOP).tolist() == [[4, 5]]
    assert cut_at_stop(torch.tensor([[STOP]]), STOP).shape == (1, 0)


def test_more_tokens_than_positions_are_refused(t2s: T2S, prefix: Tensor) -> None:
    assert greedy(t2s, prefix, CONFIG.max_mel_tokens)[0].shape == (1, 24)
    with pytest.raises(ValueError, match="25 exceeds"):
        greedy(t2s, prefix, CONFIG.max_mel_tokens + 1)
