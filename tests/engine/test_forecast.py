"""What speech costs, learnt; who fits in, and when a newcomer would start."""

from __future__ import annotations

import pytest

from oncue_engine.flow_steps import FlowSteps
from oncue_engine.forecast import Forecast


def _known(cost: float, start_s: float, lanes: int = 2) -> Forecast:
    forecast = Forecast(lanes, 0.32)
    forecast.made(cost * 10.0, 10.0)
    forecast.started(start_s)
    return forecast


def test_the_cost_follows_what_was_done_lately() -> None:
    forecast = Forecast(1, 0.32)
    assert forecast.cost == 0.0
    for _ in range(100):
        forecast.made(0.2, 1.0)
    assert forecast.cost == pytest.approx(0.2)
    for _ in range(300):
        forecast.made(0.4, 1.0)
    assert 0.39 < forecast.cost < 0.401
    forecast.forget()
    assert forecast.cost == 0.0 and forecast.start_s == 0.0


def test_work_without_audio_counts_too() -> None:
    forecast = Forecast(1, 0.32)
    forecast.made(0.1, 0.0)
    forecast.made(0.1, 1.0)
    assert forecast.cost == pytest.approx(0.2, rel=0.05)


@pytest.mark.parametrize(("streams", "fit"), [(1, True), (3, True), (4, False)])
def test_as_many_fit_as_the_lanes_can_serve(streams: int, fit: bool) -> None:
    assert _known(0.5, 0.1).fits(streams) is fit  # 2 lanes, a quarter kept free: 3 streams


def test_one_stream_always_fits_and_an_unknown_cost_keeps_nobody_out() -> None:
    assert _known(9.0, 1.0).fits(1) and not _known(9.0, 1.0).fits(2)
    assert Forecast(1, 0.32).fits(50)


def test_a_newcomer_waits_for_those_who_start_before_it() -> None:
    forecast = _known(0.1, 0.1)
    assert forecast.expected_start_s(0, []) == pytest.approx(0.1)  # stage after stage, on whatever lanes
    assert forecast.expected_start_s(3, []) == pytest.approx(0.2)
    assert forecast.expected_start_s(3, [5.0] * 10) == pytest.approx(0.4)  # half of the lanes are taken


def test_a_newcomer_who_does_not_fit_waits_for_a_stream_to_end() -> None:
    forecast = _known(0.5, 0.1)
    assert forecast.fits(3) and not forecast.fits(4)
    waits = forecast.expected_start_s(0, [7.0, 2.0, 9.0])
    assert 2.0 < waits < 3.0
    assert forecast.expected_start_s(0, [7.0, 2.0, 9.0, 3.0]) > 3.0


def test_starts_are_spread_so_that_second_chunks_come_in_time() -> None:
    forecast = _known(0.1, 0.1)  # 2 lanes make 4.8 second chunks of 0.1 s, a quarter kept free, in 0.32 s
    assert forecast.may_start(3) and not forecast.may_start(4)
    assert _known(0.1, 9.0).may_start(0), "one always may"
    assert Forecast(1, 0.32).may_start(99), "nothing is known yet"


def test_prompts_of_its_own_take_their_time() -> None:
    forecast = _known(0.1, 0.1)
    forecast.encoded(2.0)
    assert forecast.expected_start_s(0, [], encodes=2) == pytest.approx(4.1)


def test_fewer_steps_only_where_the_listener_would_run_dry() -> None:
    steps = FlowSteps(8, fixed=False)
    assert steps.choices == (8, 7, 6)
    steps.took(100, 0.010)  # 0.1 ms a frame and step
    assert steps.within(1.0, 200, 1.0) == 8  # 160 ms of work
    assert steps.within(0.25, 200, 1.0) == 7
    assert steps.within(0.25, 200, 4.0) == 6
    assert steps.within(-1.0, 200, 1.0) == 6, "never so few that words suffer"


def test_fixed_steps_stay() -> None:
    steps = FlowSteps(25, fixed=True)
    steps.took(100, 1.0)
    assert steps.within(0.0, 1000, 9.0) == 25
