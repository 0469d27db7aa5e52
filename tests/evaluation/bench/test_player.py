"""A listener's playback from when its chunks came."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oncue_eval.bench.player import Arrival, Playback, percentile, replay

RATE_HZ = 1000


def _replayed(*arrivals: tuple[float, int]) -> Playback:
    return replay([Arrival(at_s, samples) for at_s, samples in arrivals], RATE_HZ)


def test_the_clock_starts_with_the_first_chunk() -> None:
    assert _replayed((5.0, 500), (5.25, 500), (6.0, 500)) == Playback(gaps=0, gap_s=0.0, audio_s=1.5)


def test_a_late_chunk_is_a_gap_and_playback_goes_on_from_it() -> None:
    # 0 to 0.5 s plays, then nothing until 0.75; that chunk lasts until 1.25, when the next has long been there.
    assert _replayed((0.0, 500), (0.75, 500), (1.0, 250)) == Playback(gaps=1, gap_s=0.25, audio_s=1.25)
    assert _replayed((0.0, 250), (0.5, 250), (1.0, 250)) == Playback(gaps=2, gap_s=0.5, audio_s=0.75)


def test_one_chunk_or_none_has_no_gap() -> None:
    assert _replayed((3.0, 100)) == Playback(0, 0.0, 0.1)
    assert _replayed() == Playback(0, 0.0, 0.0)


@given(st.lists(st.tuples(st.integers(0, 2000), st.integers(1, 900)), min_size=1, max_size=20))
def test_playback_ends_when_all_audio_and_all_gaps_are_over(chunks: list[tuple[int, int]]) -> None:
    """The end is also the latest that any chunk puts it to: its arrival, and what follows from it on, without a gap."""
    arrivals, at_ms = [], 0
    for wait_ms, samples in chunks:
        at_ms += wait_ms
        arrivals.append(Arrival(at_ms / 1000.0, samples))
    played = replay(arrivals, RATE_HZ)
    end_s = max(
        arrival.at_s + sum(later.num_samples for later in arrivals[number:]) / RATE_HZ
        for number, arrival in enumerate(arrivals)
    )
    assert arrivals[0].at_s + played.audio_s + played.gap_s == pytest.approx(end_s)


@given(st.lists(st.floats(0, 1e3), min_size=1, max_size=30), st.floats(0, 100))
def test_percentiles_are_those_of_numpy(values: list[float], percent: float) -> None:
    assert percentile(values, percent) == pytest.approx(float(np.percentile(values, percent)), abs=1e-9)


def test_no_values_have_no_percentile() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 50)
