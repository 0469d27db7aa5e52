"""Listeners on a server: so many streams, each a task of its own, and what the server spends on them meanwhile."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from oncue.errors import SpeechError
from oncue.stats import ServerStats
from oncue_eval.bench.listening import Heard, Line, listen
from oncue_eval.bench.process import ProcessUse
from oncue_eval.bench.settings import Setting, text
from oncue_eval.bench.systems import System

__all__ = ["Run", "drive", "idle", "measured", "server_stats"]

_SEED = 1000
_ARRIVALS_SEED = 7
_IDLE_POLL_S = 0.02
_IDLE_MOST_S = 10.0


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """One setting, measured."""

    setting: Setting
    heard: tuple[Heard, ...]
    wall_s: float
    """From the first call to the end of the last stream."""
    loads: tuple[float, float]
    """The machine's load (one minute's average) before and after."""
    use: tuple[ProcessUse, ProcessUse] | None
    """The server's process before and after; None where it cannot be read."""
    stats: tuple[ServerStats, ServerStats] | None
    """The server's sums before and after; None where it does not tell them."""


async def drive(
    system: System, setting: Setting, progress: Callable[[str], None], *, ended: Callable[[Heard], None] | None = None
) -> Run:
    """Measure one setting; `ended` hears of every utterance. Texts, seeds and arrivals are the same every time.

    Utterances that the server refuses are among `heard`. Raises SpeechError where the server cannot be asked at all.
    """
    lines = [
        Line(
            text=text(number, setting.sentences),
            voice=system.voices[number % len(system.voices)],
            seed=_SEED + number,
            paced=setting.paced,
        )
        for number in range(setting.utterances)
    ]

    async def told() -> AsyncIterator[Heard]:
        count = 0
        async for one in _streams(system, setting, lines):
            count += 1
            progress(f"{system.pipeline} {_title(setting)}: {count} of {len(lines)}")
            if ended is not None:
                ended(one)
            yield one

    return await measured(system, setting, told())


async def measured(system: System, setting: Setting, streams: AsyncIterator[Heard]) -> Run:
    """What `streams` hear, with the server's and the machine's state before and after. Raises what they raise."""
    await idle(system)
    load_before, stats_before = os.getloadavg()[0], await server_stats(system)
    system.process.reset_peak()
    use_before, begun_s = system.process.read(), time.perf_counter()
    heard = tuple([one async for one in streams])
    wall_s = time.perf_counter() - begun_s
    use_after, stats_after = system.process.read(), await server_stats(system)
    return Run(
        setting=setting,
        heard=heard,
        wall_s=wall_s,
        loads=(load_before, os.getloadavg()[0]),
        use=None if use_before is None or use_after is None else (use_before, use_after),
        stats=None if stats_before is None or stats_after is None else (stats_before, stats_after),
    )


async def server_stats(system: System) -> ServerStats | None:
    """None where the server does not tell."""
    try:
        return await system.client.stats()
    except SpeechError:
        return None


async def idle(system: System) -> None:
    """Returns when the server speaks for nobody, so that what was left before does not count here."""
    end_s = time.monotonic() + _IDLE_MOST_S
    while time.monotonic() < end_s:
        stats = await server_stats(system)
        if stats is not None and stats.live_utterances == 0:
            return
        await asyncio.sleep(_IDLE_POLL_S if stats is not None else 0.5)
        if stats is None:
            return


def _streams(system: System, setting: Setting, lines: Sequence[Line]) -> AsyncIterator[Heard]:
    if setting.poisson:
        return _one_by_one(system, setting, lines)
    return _at_once(system, setting, lines) if setting.paced else _always_busy(system, setting, lines)


async def _at_once(system: System, setting: Setting, lines: Sequence[Line]) -> AsyncIterator[Heard]:
    """All streams begin together, and the next ones when all have ended."""
    for begin in range(0, len(lines), setting.concurrency):
        tasks = [asyncio.ensure_future(listen(system.client, line)) for line in lines[begin:][: setting.concurrency]]
        async for one in _in_order_of_end(tasks):
            yield one


async def _always_busy(system: System, setting: Setting, lines: Sequence[Line]) -> AsyncIterator[Heard]:
    """So many streams all the time."""
    slots = asyncio.Semaphore(setting.concurrency)

    async def one(line: Line) -> Heard:
        async with slots:
            return await listen(system.client, line)

    async for heard in _in_order_of_end([asyncio.ensure_future(one(line)) for line in lines]):
        yield heard


async def _one_by_one(system: System, setting: Setting, lines: Sequence[Line]) -> AsyncIterator[Heard]:
    """Poisson arrivals, so that `concurrency` listeners are playing on average."""
    plans = [await system.client.plan(line.text, voice=line.voice) for line in lines[: setting.concurrency]]
    played_s = sum(plan.natural_samples / plan.sample_rate_hz for plan in plans) / len(plans)
    gaps = random.Random(_ARRIVALS_SEED)
    at_s = 0.0

    async def one(line: Line, after_s: float) -> Heard:
        await asyncio.sleep(after_s)
        return await listen(system.client, line)

    tasks = []
    for line in lines:
        tasks.append(asyncio.ensure_future(one(line, at_s)))
        at_s += gaps.expovariate(setting.concurrency / played_s)
    async for heard in _in_order_of_end(tasks):
        yield heard


async def _in_order_of_end(tasks: Sequence[asyncio.Future[Heard]]) -> AsyncIterator[Heard]:
    try:
        for task in asyncio.as_completed(tasks):
            yield await task
    finally:
        for left in tasks:
            left.cancel()


def _title(setting: Setting) -> str:
    how = ("Poisson" if setting.poisson else "at once") if setting.paced else "unpaced"
    return f"{setting.concurrency} streams, {setting.sentences} sentences, {how}"
