"""Does memory stay where it is, over many utterances of many voices?"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from statistics import median

from oncue_eval.bench.listening import Heard
from oncue_eval.bench.load import drive, idle, server_stats
from oncue_eval.bench.rows import NO_PROCESS, run_figures
from oncue_eval.bench.settings import Setting
from oncue_eval.bench.systems import System
from oncue_eval.figures import Condition, Figure, Goal
from oncue_eval.material import readings, voice_clips

__all__ = ["drift", "soak_clips", "soak_figures"]

_VOICES = 20
_DRIFT = 0.02


def soak_clips() -> list[bytes]:
    """Twenty clips of the held-out speakers: a voice for each."""
    clips = [clip.encoded for clip in (*voice_clips().values(), *readings())]
    return clips[:_VOICES]


async def soak_figures(
    system: System, utterances: int, concurrency: int, progress: Callable[[str], None]
) -> AsyncIterator[Figure]:
    """The figures of the run, and `memory_drift`, sampled with every utterance that ends. Raises as `drive` does."""
    resident_mb: list[float] = []

    def sample(_: Heard) -> None:
        use = system.process.read()
        if use is not None:
            resident_mb.append(use.resident_mb)

    setting = Setting(concurrency, 1, utterances, paced=False)
    run = await drive(system, setting, progress, ended=sample)
    await idle(system)
    stats = await server_stats(system)
    for figure in run_figures(system, run):
        yield figure
    conditions: dict[str, Condition] = {
        "concurrency": concurrency,
        "sentences": 1,
        "utterances": utterances,
        "voices": len(system.voices),
        "live_after": None if stats is None else stats.live_utterances,
    }
    goal = Goal(at_most=_DRIFT)
    if len(resident_mb) < 4:
        why = NO_PROCESS if not resident_mb else "too few utterances"
        yield system.figure("memory_drift", None, goal, **conditions, why=why)
        return
    quarter = len(resident_mb) // 4
    yield system.figure(
        "memory_drift",
        drift(resident_mb),
        goal,
        **conditions,
        second_quarter_mb=median(resident_mb[quarter : 2 * quarter]),
        last_quarter_mb=median(resident_mb[-quarter:]),
    )


def drift(resident_mb: Sequence[float]) -> float:
    """Median of the last quarter over that of the second, less 1: the first is left out, as caches fill then."""
    quarter = len(resident_mb) // 4
    return median(resident_mb[-quarter:]) / median(resident_mb[quarter : 2 * quarter]) - 1.0
