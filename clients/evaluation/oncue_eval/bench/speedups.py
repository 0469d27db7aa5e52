"""How much sooner than the naive pipeline: the same utterances, one at a time, by the client's clock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from oncue_eval.bench.listening import Heard
from oncue_eval.bench.systems import System
from oncue_eval.figures import Condition, Figure, Goal

__all__ = ["Timing", "speedup_figures", "timing"]


@dataclass(frozen=True, slots=True)
class Timing:
    """Medians over utterances that ended well."""

    first_s: float
    """From the call to the first audio."""
    whole_s: float
    """From the call to the last of it."""
    utterances: int


def timing(heard: Sequence[Heard]) -> Timing | None:
    """None where none ended well."""
    well = [one for one in heard if one.stats is not None and one.arrivals]
    if not well:
        return None
    return Timing(
        first_s=median(one.arrivals[0].at_s - one.called_s for one in well),
        whole_s=median(one.ended_s - one.called_s for one in well),
        utterances=len(well),
    )


def speedup_figures(
    ours: System,
    our_timing: Timing | None,
    naive: Timing | None,
    conditions: Mapping[str, Condition],
    goals: tuple[Goal | None, Goal | None] = (None, None),
    why: str = "no utterance ended well",
) -> Iterator[Figure]:
    """`speedup_whole` and `speedup_first_audio`, with their `goals`; `why` where one of the two was not measured."""
    if our_timing is None or naive is None:
        for name, goal in zip(("speedup_whole", "speedup_first_audio"), goals, strict=True):
            yield ours.figure(name, None, goal, **conditions, why=why)
        return
    for name, ours_s, naive_s, goal in (
        ("speedup_whole", our_timing.whole_s, naive.whole_s, goals[0]),
        ("speedup_first_audio", our_timing.first_s, naive.first_s, goals[1]),
    ):
        yield ours.figure(name, naive_s / ours_s, goal, **conditions, seconds=ours_s, naive_seconds=naive_s)
