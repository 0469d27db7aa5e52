"""Does a listener hear the same alone and in a crowd?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from statistics import fmean

import numpy as np
import numpy.typing as npt

from oncue_eval.bench.listening import Heard, Line, listen
from oncue_eval.bench.settings import text
from oncue_eval.bench.systems import Pipeline, System, unmeasured
from oncue_eval.figures import Condition, Figure, Goal

__all__ = ["difference", "sameness_figures", "sameness_unmeasured"]

_SEED = 5000
_CROWD = 8
_TOLERANCE = 1e-3
"""Of full scale: what nobody can hear, and what deterministic mode promises."""
_LEAST = {False: Goal(at_least=0.99), True: Goal(at_least=1.0)}
_MOST = {False: None, True: Goal(at_most=_TOLERANCE)}


async def sameness_figures(
    system: System, utterances: int, progress: Callable[[str], None], *, deterministic: bool = False
) -> AsyncIterator[Figure]:
    """The same seeds, one at a time and eight at once: `equal_share` (all samples equal, in deterministic mode within
    the tolerance), `near_share` (within the tolerance), `equal_tokens_share`, and the largest `crowd_difference`.

    `deterministic`: the server runs in that mode. Raises what `listen` raises.
    """
    lines = [Line(text(k, 1), system.voices[k % len(system.voices)], _SEED + k, paced=False) for k in range(utterances)]
    progress(f"{system.pipeline}: {utterances} utterances, one at a time")
    alone = [await listen(system.client, line, keep=True) for line in lines]
    progress(f"{system.pipeline}: the same, {_CROWD} at once")
    slots = asyncio.Semaphore(_CROWD)

    async def in_crowd(line: Line) -> Heard:
        async with slots:
            return await listen(system.client, line, keep=True)

    crowd = await asyncio.gather(*(in_crowd(line) for line in lines))
    pairs = list(zip(alone, crowd, strict=True))
    differences = [difference(one, other) for one, other in pairs]
    tolerance = _TOLERANCE if deterministic else 0.0
    conditions = _conditions(deterministic)
    conditions["utterances"] = utterances
    least, most = _LEAST[deterministic], _MOST[deterministic]
    equal = fmean(apart <= tolerance for apart in differences)
    yield system.figure("equal_share", equal, least, **conditions, tolerance=tolerance)
    near = fmean(apart <= _TOLERANCE for apart in differences)
    yield system.figure("near_share", near, None, **conditions, tolerance=_TOLERANCE)
    tokens = fmean(_tokens(one) is not None and _tokens(one) == _tokens(other) for one, other in pairs)
    yield system.figure("equal_tokens_share", tokens, least, **conditions, compared="number of tokens")
    comparable = [apart for apart in differences if np.isfinite(apart)]
    if not comparable:
        yield system.figure("crowd_difference", None, most, **conditions, why="no two have the same length")
        return
    yield system.figure("crowd_difference", max(comparable), most, **conditions, compared=len(comparable))


def sameness_unmeasured(model: str, why: str) -> Iterator[Figure]:
    """What deterministic mode was to reach, of a server that does not start in it."""
    for name, goal in (
        ("equal_share", _LEAST[True]),
        ("equal_tokens_share", _LEAST[True]),
        ("crowd_difference", _MOST[True]),
    ):
        yield unmeasured(Pipeline.ONCUE, model, name, why, _conditions(True), goal)


def _conditions(deterministic: bool) -> dict[str, Condition]:
    return {"concurrency": _CROWD, "sentences": 1, "deterministic": deterministic}


def _tokens(heard: Heard) -> int | None:
    return None if heard.stats is None else heard.stats.total_codes


def difference(one: Heard, other: Heard) -> float:
    """The largest difference of two samples at one place; infinity where the lengths differ, or where one failed."""
    if one.stats is None or other.stats is None or len(one.payload) != len(other.payload):
        return float("inf")
    return float(np.abs(_samples(one) - _samples(other)).max(initial=0.0))


def _samples(heard: Heard) -> npt.NDArray[np.float32]:
    return np.frombuffer(heard.payload, dtype="<f4")
