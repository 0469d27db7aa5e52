"""Time to first audio of a short text and of a long one, in turns, so that a change of load hits both alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from oncue_eval.bench.listening import Line, listen
from oncue_eval.bench.load import idle
from oncue_eval.bench.player import percentile
from oncue_eval.bench.settings import text
from oncue_eval.bench.systems import System
from oncue_eval.figures import Figure, Goal

__all__ = ["compare_starts", "start_figures"]

_SEED = 3000
_RATIO = 1.15


async def compare_starts(
    system: System, lengths: tuple[int, int], pairs: int, progress: Callable[[str], None]
) -> dict[int, list[float]]:
    """Seconds to first audio of `pairs` texts of each length in sentences; each is left after its first chunk.

    Texts of a pair begin with the same sentence. Refused ones are left out. Raises what `listen` raises.
    """
    starts_s: dict[int, list[float]] = {length: [] for length in lengths}
    for number in range(pairs):
        for length in starts_s:
            progress(f"{system.pipeline}: first audio, texts of {' and '.join(map(str, lengths))}: {number} of {pairs}")
            await idle(system)
            line = Line(text(number, length), system.voices[0], _SEED + number)
            heard = await listen(system.client, line, only_start=True)
            if heard.first_audio_s is not None:
                starts_s[length].append(heard.first_audio_s)
    await idle(system)
    return starts_s


def start_figures(system: System, starts_s: Mapping[int, list[float]]) -> Figure:
    """The ratio of the medians, long to short."""
    short, long = min(starts_s), max(starts_s)
    goal = Goal(at_most=_RATIO) if system.model == "nano" else None
    conditions = {"concurrency": 1, "sentences": long, "against": short, "starts": len(starts_s[long])}
    if not starts_s[short] or not starts_s[long]:
        return system.figure("ttfa_length_ratio", None, goal, **conditions, why="no utterance began")
    ratio = percentile(starts_s[long], 50) / percentile(starts_s[short], 50)
    return system.figure("ttfa_length_ratio", ratio, goal, **conditions)
