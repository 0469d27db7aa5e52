"""How many listeners at once hear no gap at all?"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from oncue_eval.bench.load import drive
from oncue_eval.bench.rows import gap_free_share
from oncue_eval.bench.settings import Setting
from oncue_eval.bench.systems import System
from oncue_eval.figures import Figure

__all__ = ["gap_free_streams", "largest"]


async def gap_free_streams(system: System, sentences: int, most: int, progress: Callable[[str], None]) -> Figure:
    """The largest number of paced streams, all at once, each of which never runs dry. Raises what `drive` raises."""
    trials = 0

    async def smooth(streams: int) -> bool:
        nonlocal trials
        trials += 1
        return gap_free_share(await drive(system, Setting(streams, sentences, streams), progress)) == 1.0

    found = await largest(smooth, most)
    return system.figure("gap_free_streams", found, sentences=sentences, at_most=most, trials=trials)


async def largest(holds: Callable[[int], Awaitable[bool]], most: int) -> int:
    """The largest number from 1 to `most` for which something holds that ends at some number; 0: not even for 1."""
    good, bad = 0, most + 1
    while bad - good > 1:
        # Doubling until it first fails, then halving what is left.
        tried = min(max(1, 2 * good), most) if bad > most else (good + bad) // 2
        if await holds(tried):
            good = tried
        else:
            bad = tried
    return good
