"""One token from a row of logits."""

from __future__ import annotations

import math

import numpy as np
import pytest

from oncue_engine.decoding.sampling import Draws, check_sampling, sample
from oncue_engine.errors import GenerationFailed, InvalidRequest
from oncue_engine.requests import Sampling

_PLAIN = Sampling(temperature=1.0, top_k=0, top_p=1.0, repetition_penalty=1.0)


def _logits(size: int = 64, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=size).astype(np.float32) * 2


def test_draws_depend_on_seed_segment_and_step_alone() -> None:
    draws = Draws(7, 2)
    forward = [draws.uniform(step) for step in range(50)]
    assert [draws.uniform(step) for step in reversed(range(50))] == forward[::-1]
    assert (
        len({*forward, *(Draws(8, 2).uniform(s) for s in range(50)), *(Draws(7, 3).uniform(s) for s in range(50))})
        == 150
    )
    assert all(0.0 <= x < 1.0 for x in forward)


def test_draws_made_at_once_are_those_made_one_by_one() -> None:
    draws = Draws(7, 2)
    assert draws.uniforms(50) == [draws.uniform(step) for step in range(50)]
    # Pinned: what a seed says must not change.
    assert [draws.uniform(step) for step in (0, 1, 49)] == [0.3928482230467929, 0.5577792013452705, 0.6928001000773273]


def test_plain_sampling_follows_the_softmax() -> None:
    logits = _logits(8)
    wanted = np.exp(logits - logits.max())
    wanted /= wanted.sum()
    drawn = [sample(logits, _PLAIN, u, spoken=(), banned=()) for u in (np.arange(20_000) + 0.5) / 20_000]
    share = np.bincount(drawn, minlength=8) / 20_000
    np.testing.assert_allclose(share, wanted, atol=1e-4)


def _plainly_drawn(logits: np.ndarray, settings: Sampling, uniform: float, spoken: set[int], banned: set[int]) -> int:
    """The rules one after the other over the whole vocabulary, in float64."""
    scores = logits.astype(np.float64) - np.log(np.exp(logits.astype(np.float64)).sum())
    scores[list(spoken)] *= settings.repetition_penalty
    scores[list(banned)] = -np.inf
    scores /= settings.temperature
    order = np.argsort(-scores)
    order = order[: settings.top_k or None]
    mass = np.cumsum(np.exp(scores[order]))
    kept = np.sort(order[: int(np.searchsorted(mass / mass[-1], settings.top_p)) + 1])
    cumulative = np.cumsum(np.exp(scores[kept]))
    return int(kept[np.searchsorted(cumulative, uniform * cumulative[-1], side="right")])


@pytest.mark.parametrize(
    "settings", [Sampling(), Sampling(1.3, 5, 1.0, 1.0), Sampling(0.8, 0, 0.9, 1.0), Sampling(0.8, 30, 0.8, 10.0)]
)
def test_a_draw_is_what_the_rules_say(settings: Sampling) -> None:
    rng = np.random.default_rng(4)
    for seed in range(300):
        logits, uniform = _logits(200, seed), float(rng.random())
        spoken, banned = set(rng.integers(0, 198, 12).tolist()), {198, 199}
        drawn = sample(logits, settings, uniform, spoken=spoken, banned=tuple(banned))
        assert drawn == _plainly_drawn(logits, settings, uniform, spoken, banned)


def test_temperature_zero_is_greedy() -> None:
    logits = _logits()
    for uniform in (0.0, 0.5, 0.999):
        assert sample(logits, Sampling(temperature=0.0), uniform, spoken=(), banned=()) == logits.argmax()


def test_top_k_and_top_p_leave_the_likeliest() -> None:
    logits = _logits()
    best = np.argsort(-logits)
    uniforms = np.linspace(0.0, 0.9999, 400)
    only_k = {sample(logits, Sampling(1.0, 3, 1.0, 1.0), u, spoken=(), banned=()) for u in uniforms}
    assert only_k == set(best[:3].tolist())
    probabilities = np.exp(logits[best] - logits.max())
    mass = np.cumsum(probabilities) / probabilities.sum()
    count = int(np.searchsorted(mass, 0.5)) + 1
    only_p = {sample(logits, Sampling(1.0, 0, 0.5, 1.0), u, spoken=(), banned=()) for u in uniforms}
    assert only_p == set(best[:count].tolist())


def test_banned_ids_are_never_drawn() -> None:
    logits = _logits()
    banned = np.argsort(-logits)[:10].tolist()
    drawn = {sample(logits, _PLAIN, u, spoken=(), banned=banned) for u in np.linspace(0.0, 0.9999, 400)}
    assert not drawn & set(banned)
    assert sample(logits, Sampling(temperature=0.0), 0.0, spoken=(), banned=banned) == np.argsort(-logits)[10]


def test_repetition_penalty_multiplies_log_probabilities() -> None:
    logits = np.log(np.array([0.5, 0.3, 0.2], np.float32))
    greedy = Sampling(temperature=0.0, repetition_penalty=1.5)
    # 0.5^1.5 = 0.354 still wins over 0.3; 0.5^2 = 0.25 does not.
    assert sample(logits, greedy, 0.0, spoken={0}, banned=()) == 0
    assert sample(logits, Sampling(temperature=0.0, repetition_penalty=2.0), 0.0, spoken={0}, banned=()) == 1


def test_rounding_in_the_logits_hardly_moves_a_draw() -> None:
    settings = Sampling()
    rng = np.random.default_rng(1)
    changed = 0
    for step in range(500):
        logits = _logits(1000, seed=step)
        rounded = logits + rng.normal(size=1000).astype(np.float32) * 1e-6
        uniform = Draws(0, 0).uniform(step)
        changed += sample(logits, settings, uniform, spoken=(), banned=()) != sample(
            rounded, settings, uniform, spoken=(), banned=()
        )
    assert changed == 0


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_logits_that_are_no_numbers_fail(bad: float) -> None:
    logits = _logits()
    logits[3] = bad
    with pytest.raises(GenerationFailed) as caught:
        sample(logits, Sampling(), 0.5, spoken=(), banned=())
    assert caught.value.reason == "NOT_FINITE"


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        (Sampling(temperature=-0.1), "sampling.temperature"),
        (Sampling(temperature=math.nan), "sampling.temperature"),
        (Sampling(top_k=-1), "sampling.top_k"),
        (Sampling(top_p=0.0), "sampling.top_p"),
        (Sampling(top_p=1.01), "sampling.top_p"),
        (Sampling(repetition_penalty=0.5), "sampling.repetition_penalty"),
    ],
)
def test_settings_out_of_range_are_refused(settings: Sampling, field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_sampling(settings)
    assert caught.value.field == field
    assert {"min", "max"} <= set(caught.value.metadata)
