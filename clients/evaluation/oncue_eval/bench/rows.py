"""The figures of a run: plain sums over what its listeners heard and what the server spent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median

from oncue_eval.bench.load import Run
from oncue_eval.bench.player import Playback, percentile, replay
from oncue_eval.bench.settings import Setting
from oncue_eval.bench.systems import Pipeline, System
from oncue_eval.figures import Condition, Figure, Goal

__all__ = ["conditions_of", "gap_free_share", "run_figures"]

NO_PROCESS = "needs a server of the benchmark's own, on Linux"
NO_STATS = "the server does not tell (GetServerStats)"


def conditions_of(setting: Setting) -> dict[str, Condition]:
    """What tells one setting from another."""
    paced = {"pacing": "realtime", "arrivals": "poisson" if setting.poisson else "at once"}
    return {
        "concurrency": setting.concurrency,
        "sentences": setting.sentences,
        **(paced if setting.paced else {"pacing": "unpaced"}),
    }


def run_figures(system: System, run: Run, starts_s: Sequence[float] = ()) -> Iterator[Figure]:
    """All figures of one run. `starts_s`: times to first audio that were measured apart, under the same conditions."""
    setting = run.setting
    well = [heard for heard in run.heard if heard.stats is not None]
    refused = sorted({heard.refused for heard in run.heard if heard.refused is not None})
    shared: dict[str, Condition] = {
        **conditions_of(setting),
        "utterances": len(run.heard),
        "load": run.loads[0],
        "load_after": run.loads[1],
        **({"failed": len(run.heard) - len(well), "reasons": ", ".join(refused)} if len(well) < len(run.heard) else {}),
    }

    def figure(name: str, value: float | None, goal: Goal | None = None, /, **conditions: Condition) -> Figure:
        return system.figure(name, value, goal, **{**shared, **conditions})

    if not well:
        for name in (*(("ttfa_ms_p50", "gap_free_share") if setting.paced else ()), "audio_s_per_s"):
            yield figure(name, None, why="no utterance ended well")
        return
    if setting.paced:
        firsts_ms = [1000.0 * heard.first_audio_s for heard in run.heard if heard.first_audio_s is not None]
        firsts_ms += [1000.0 * first_s for first_s in starts_s]
        for percent, at_most in ((50, 120.0), (95, 200.0), (99, None)):
            goal = Goal(at_most=at_most) if at_most is not None and _asked_for(system, setting, 1, 1) else None
            yield figure(f"ttfa_ms_p{percent}", percentile(firsts_ms, percent), goal, starts=len(firsts_ms))
        goal = Goal(at_least=1.0) if _asked_for(system, setting, 4, None) else None
        yield figure("gap_free_share", gap_free_share(run), goal)
        yield figure("gap_ms_total", 1000.0 * sum(played.gap_s for played in _playbacks(run)))
    audio_s = sum(heard.audio_s for heard in run.heard)
    yield figure("rtf", median(heard.stats.generation_s / heard.audio_s for heard in well if heard.stats is not None))
    yield figure("tokens_per_s", sum(heard.stats.total_codes for heard in well if heard.stats is not None) / run.wall_s)
    goal = Goal(at_least=6.0) if not setting.paced and _asked_for(system, setting, 8, None) else None
    yield figure("audio_s_per_s", audio_s / run.wall_s, goal)
    if run.use is None:
        for name in ("cpu_s_per_audio_s", "cores_busy", "peak_rss_mb"):
            yield figure(name, None, why=NO_PROCESS)
    else:
        before, after = run.use
        yield figure("cpu_s_per_audio_s", (after.cpu_s - before.cpu_s) / audio_s)
        yield figure("cores_busy", (after.cpu_s - before.cpu_s) / run.wall_s)
        yield figure("peak_rss_mb", after.peak_mb)
    if run.stats is None:
        yield figure("stage_share", None, why=NO_STATS)
        return
    old, new = (stats.stages for stats in run.stats)
    for name, stage in sorted(new.items()):
        begin_s = old[name].busy_s if name in old else 0.0
        if stage.busy_s > begin_s:
            yield figure("stage_share", (stage.busy_s - begin_s) / run.wall_s, stage=name)


def gap_free_share(run: Run) -> float:
    """Streams that ended well and never ran dry, of all that were asked for."""
    smooth = [
        heard for heard in run.heard if heard.stats is not None and replay(heard.arrivals, heard.rate_hz).gaps == 0
    ]
    return len(smooth) / len(run.heard)


def _playbacks(run: Run) -> list[Playback]:
    return [replay(heard.arrivals, heard.rate_hz) for heard in run.heard if heard.arrivals]


def _asked_for(system: System, setting: Setting, concurrency: int, sentences: int | None) -> bool:
    """Whether this setting is the one that something was to be reached in."""
    return (
        (system.pipeline, system.model) == (Pipeline.ONCUE, "nano")
        and not setting.poisson
        and setting.concurrency == concurrency
        and sentences in (None, setting.sentences)
    )
