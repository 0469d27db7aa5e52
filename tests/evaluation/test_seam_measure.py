"""The measure of seams: nothing where nothing is, clicks and steps where they were put, whatever else differs."""

from __future__ import annotations

import numpy as np
import pytest

from oncue_eval.seam_measure import measure_seams

from .synthetic import RATE_HZ, made_voice

JOINS = tuple(range(RATE_HZ // 4, 4 * RATE_HZ - RATE_HZ // 4, RATE_HZ // 3))


def _voice() -> np.ndarray:
    return made_voice(np.geomspace(100.0, 180.0, 4 * RATE_HZ))


def _drift(samples: np.ndarray, seed: int) -> np.ndarray:
    """A rendering that differs everywhere alike, as another flow call does."""
    noise = np.random.default_rng(seed).normal(scale=0.01, size=len(samples))
    return (samples + noise).astype(np.float32)


def test_equal_renderings_have_no_seam() -> None:
    voice = _voice()
    assert measure_seams([(voice, voice, JOINS)], RATE_HZ).ratio == 1.0


def test_what_differs_everywhere_alike_is_no_seam() -> None:
    voice = _voice()
    found = measure_seams([(_drift(voice, seed), voice, JOINS) for seed in range(6)], RATE_HZ)
    assert found.joins == 6 * len(JOINS)
    assert found.ratio == pytest.approx(1.0, abs=0.15)


@pytest.mark.parametrize("measure", ["step", "level", "flux"])
def test_hears_what_was_done_at_the_joins(measure: str) -> None:
    voice = _voice()
    cut = _drift(voice, 1)
    near = np.min([np.abs(np.arange(len(cut)) - join) for join in JOINS], axis=0) < 0.015 * RATE_HZ
    if measure == "step":
        cut[list(JOINS)] += 0.2
    elif measure == "level":
        cut[near] *= 0.5
    else:
        cut[near] += np.random.default_rng(2).normal(scale=0.03, size=int(near.sum()))
    found = measure_seams([(cut.astype(np.float32), voice, JOINS)], RATE_HZ)
    assert found.ratios[measure] > 1.5
    assert found.ratio >= found.ratios[measure]


def test_a_click_far_from_the_joins_is_not_held_against_them() -> None:
    voice = _voice()
    cut = _drift(voice, 1)
    cut[[join + RATE_HZ // 6 for join in JOINS]] += 0.2
    assert measure_seams([(cut, voice, JOINS)], RATE_HZ).ratio < 1.1


def test_needs_joins_and_equal_lengths() -> None:
    voice = _voice()
    with pytest.raises(ValueError, match="no join"):
        measure_seams([(voice, voice, ())], RATE_HZ)
    with pytest.raises(ValueError, match="samples"):
        measure_seams([(voice[:-1], voice, JOINS)], RATE_HZ)
