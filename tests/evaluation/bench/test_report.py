"""The tables for people, and the ratios to another system."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from oncue.audio import SpeechStats
from oncue_eval.bench.listening import Heard
from oncue_eval.bench.player import Arrival
from oncue_eval.bench.report import tables
from oncue_eval.bench.speedups import Timing, timing
from oncue_eval.figures import Condition, Figure, Goal

_SETTING: dict[str, Condition] = {
    "system": "oncue",
    "model": "nano",
    "load": 0.25,
    "load_after": 1.5,
    "concurrency": 4,
    "sentences": 1,
    "pacing": "realtime",
    "arrivals": "at once",
}


def _printed(*figures: Figure) -> list[str]:
    out = io.StringIO()
    for table in tables(figures):
        Console(file=out, width=300).print(table)
    return [" ".join(line.split()) for line in out.getvalue().splitlines()]


def test_a_setting_is_a_line_and_goals_stand_below() -> None:
    lines = _printed(
        Figure("ttfa_ms_p50", 98.7654, {**_SETTING, "baseline": 197.5, "ratio": 0.5}, None, Goal(at_most=120.0)),
        Figure("gap_free_share", 1.0, _SETTING),
        Figure("stage_share", 0.5, {**_SETTING, "stage": "decode"}),
        Figure("stage_share", 0.25, {**_SETTING, "stage": "flow"}),
        Figure("audio_s_per_s", 3.0, {**_SETTING, "system": "naive"}),
        Figure("memory_drift", None, {"system": "oncue", "why": "no process"}),
    )
    assert lines[1] == "oncue nano: 4 x 1 sent., at once 99 (x0.50) 1 decode 50 flow 25 0.2-1.5"
    assert lines[2].startswith("naive nano: 4 x 1 sent., at once 3")
    assert any("ttfa_ms_p50 98.7654 at most 120.0 pass" in line for line in lines)
    assert any("memory_drift None not measured" in line and "why no process" in line for line in lines)


def _heard(first_s: float, end_s: float, *, well: bool = True) -> Heard:
    stats = SpeechStats(100, 5, 1, first_s, end_s, 0, True, 8) if well else None
    return Heard(10.0, 10.0 + end_s, (Arrival(10.0 + first_s, 100),), 16000, stats, None if well else "OVERLOADED")


def test_timings_are_medians_of_what_ended_well() -> None:
    found = timing([_heard(0.5, 2.0), _heard(0.25, 4.0), _heard(1.0, 3.0), _heard(9.0, 9.0, well=False)])
    assert found is not None and found.utterances == 3
    assert (found.first_s, found.whole_s) == pytest.approx((0.5, 3.0))
    assert timing([_heard(0.5, 2.0, well=False)]) is None
    assert isinstance(found, Timing)
