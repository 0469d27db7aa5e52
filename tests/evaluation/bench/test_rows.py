"""The figures of a run, from what its listeners heard."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import numpy as np
import pytest

import oncue
from oncue.audio import SpeechStats
from oncue_eval.bench.listening import Heard
from oncue_eval.bench.load import Run
from oncue_eval.bench.player import Arrival
from oncue_eval.bench.process import ProcessUse, ServerProcess
from oncue_eval.bench.rows import run_figures
from oncue_eval.bench.sameness import difference
from oncue_eval.bench.settings import Setting
from oncue_eval.bench.starts import start_figures
from oncue_eval.bench.systems import Pipeline, System
from oncue_eval.figures import Figure

RATE_HZ = 1000
REFUSED = Heard(0.0, 0.1, (), 0, None, "OVERLOADED")


def _heard(*chunks: tuple[float, int], called_s: float = 0.0) -> Heard:
    """(seconds after the call, samples) of each chunk."""
    arrivals = tuple(Arrival(called_s + after_s, samples) for after_s, samples in chunks)
    stats = SpeechStats(sum(samples for _, samples in chunks), 50, 1, chunks[0][0], 0.5, 0, True, 8)
    return Heard(called_s, arrivals[-1].at_s, arrivals, RATE_HZ, stats)


@pytest.fixture
async def system() -> AsyncIterator[System]:
    async with oncue.connect("127.0.0.1:1") as nobody:  # Never asked anything.
        yield System(Pipeline.ONCUE, "nano", nobody, ("voices/a",), ServerProcess(None), REFUSED)


def _run(setting: Setting, *heard: Heard) -> Run:
    use = ProcessUse(10.0, 300.0, 400.0), ProcessUse(13.0, 300.0, 512.0)
    stages = {"flow": oncue.StageStats(4, 4, 1.0)}, {"flow": oncue.StageStats(9, 9, 2.0)}
    before, after = (oncue.ServerStats(stage, 0, 0, 5.0, {}) for stage in stages)
    return Run(setting, heard, 2.0, (0.5, 1.5), use, (before, after))


def _by_name(figures: list[Figure]) -> dict[str, Figure]:
    return {figure.name: figure for figure in figures}


async def test_a_run_of_one_smooth_stream_and_one_that_ran_dry(system: System) -> None:
    smooth, dry = _heard((0.1, 1000), (0.5, 1000)), _heard((0.3, 1000), (1.5, 1000), called_s=7.0)
    found = _by_name(list(run_figures(system, _run(Setting(1, 1, 2), smooth, dry))))
    assert found["ttfa_ms_p50"].value == pytest.approx(200.0) and str(found["ttfa_ms_p50"].goal) == "at most 120.0"
    assert found["ttfa_ms_p95"].value == pytest.approx(290.0) and str(found["ttfa_ms_p95"].goal) == "at most 200.0"
    assert found["gap_free_share"].value == 0.5 and found["gap_ms_total"].value == pytest.approx(200.0)
    assert found["rtf"].value == 0.25 and found["tokens_per_s"].value == 50.0
    assert found["audio_s_per_s"].value == 2.0 and found["audio_s_per_s"].goal is None
    assert found["cpu_s_per_audio_s"].value == 0.75 and found["cores_busy"].value == 1.5
    assert found["peak_rss_mb"].value == 512.0
    assert (found["stage_share"].value, found["stage_share"].conditions["stage"]) == (0.5, "flow")
    for figure in found.values():
        assert {"system": "oncue", "model": "nano", "load": 0.5, "concurrency": 1, "sentences": 1}.items() <= dict(
            figure.conditions
        ).items()


async def test_times_that_were_measured_apart_count_too(system: System) -> None:
    run = _run(Setting(1, 1, 1), _heard((0.1, 1000)))
    assert _by_name(list(run_figures(system, run, [0.2, 0.3])))["ttfa_ms_p50"].value == pytest.approx(200.0)


async def test_who_was_refused_counts_against_the_gap_free_ones_and_nowhere_else(system: System) -> None:
    found = _by_name(list(run_figures(system, _run(Setting(4, 1, 4), *[_heard((0.1, 1000))] * 3, REFUSED))))
    assert found["gap_free_share"].value == 0.75 and str(found["gap_free_share"].goal) == "at least 1.0"
    assert found["ttfa_ms_p99"].value == pytest.approx(100.0) and found["ttfa_ms_p50"].goal is None
    assert (found["rtf"].conditions["failed"], found["rtf"].conditions["reasons"]) == (1, "OVERLOADED")
    none = list(run_figures(system, _run(Setting(4, 1, 1), REFUSED)))
    assert none and all(figure.value is None and figure.conditions["why"] for figure in none)


async def test_only_our_own_embedded_model_has_something_to_reach(system: System) -> None:
    run = _run(Setting(8, 10, 1, paced=False), _heard((0.1, 1000)))
    assert str(_by_name(list(run_figures(system, run)))["audio_s_per_s"].goal) == "at least 6.0"
    for other in (replace(system, pipeline=Pipeline.NAIVE), replace(system, model="full")):
        assert all(figure.goal is None for figure in run_figures(other, run))
    assert all(figure.goal is None for figure in run_figures(system, replace(run, setting=Setting(1, 3, 1))))


async def test_what_cannot_be_seen_says_why(system: System) -> None:
    run = replace(_run(Setting(1, 1, 1), _heard((0.1, 1000))), use=None, stats=None)
    found = _by_name(list(run_figures(system, run)))
    for name in ("cpu_s_per_audio_s", "cores_busy", "peak_rss_mb", "stage_share"):
        assert found[name].value is None and found[name].conditions["why"]


async def test_long_texts_against_short_ones(system: System) -> None:
    ratio = start_figures(system, {1: [0.1, 0.2, 0.9], 10: [0.23, 0.1, 0.5]})
    assert ratio.value == pytest.approx(1.15) and ratio.conditions["against"] == 1
    assert start_figures(system, {1: [], 10: [0.1]}).value is None


def test_how_far_two_utterances_are_apart() -> None:
    def spoken(*samples: float) -> Heard:
        return replace(_heard((0.1, len(samples))), payload=np.array(samples, dtype="<f4").tobytes())

    assert difference(spoken(0.25, -1.0), spoken(0.25, -1.0)) == 0.0
    assert difference(spoken(0.25, -1.0), spoken(0.25, -0.5)) == 0.5
    assert difference(spoken(0.25), spoken(0.25, 0.0)) == np.inf
    assert difference(REFUSED, spoken()) == np.inf
