"""`oncue bench`: how soon, how steadily and for how many a server speaks."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from oncue.cli.connection import ServerOption
from oncue.cli.report import console, run
from oncue_eval.bench.baseline import compared, read_baseline
from oncue_eval.bench.comparison import Comparison
from oncue_eval.bench.fullsize import FEWEST_STEPS, UTTERANCES, FullSize, full_size_figures
from oncue_eval.bench.report import tables
from oncue_eval.bench.settings import FULL, QUICK
from oncue_eval.bench.soak import soak_clips, soak_figures
from oncue_eval.bench.systems import FULL_SIZE, Pipeline, connected, started
from oncue_eval.figures import Figure, json_line
from oncue_eval.machine import cpu_name

__all__ = ["bench"]

_PAGE_WIDTH = 200
_SOAK_UTTERANCES = 2000
_SOAK_STREAMS = 8


class _Kind(StrEnum):
    QUICK = "quick"
    FULL = "full"
    SOAK = "soak"


def bench(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object to a line, as soon as it is known.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="At most ten minutes on two cores: the default.")] = False,
    full: Annotated[bool, typer.Option("--full", help="1 to 16 streams, at once and at random times.")] = False,
    soak: Annotated[bool, typer.Option("--soak", help="Many utterances of 20 voices: does memory grow?")] = False,
    model: Annotated[
        str | None,
        typer.Option(help="`nano`, the default, a folder, or `random:indextts2`: the public size against `naive`."),
    ] = None,
    concurrency: Annotated[int | None, typer.Option(metavar="N", min=1, help="Only so many streams at once.")] = None,
    utterances: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="At most so many in a setting; in a soak, exactly.")
    ] = None,
    sentences: Annotated[int | None, typer.Option(metavar="N", min=1, help="At most so many in a text.")] = None,
    systems: Annotated[str, typer.Option(help="Which to compare.")] = ",".join(Pipeline),
    fewest_steps: Annotated[
        int, typer.Option(metavar="N", min=1, help="Flow steps of the fastest run of a model of the public size.")
    ] = FEWEST_STEPS,
    baseline: Annotated[
        Path | None,
        typer.Option(metavar="FILE", exists=True, dir_okay=False, help="JSON lines of an earlier run: tells ratios."),
    ] = None,
    server: ServerOption = None,
) -> None:
    """Measure servers over loopback, with a client's clock. What was to be reached stands beside the figure."""
    kinds = [kind for kind, wanted in ((_Kind.QUICK, quick), (_Kind.FULL, full), (_Kind.SOAK, soak)) if wanted]
    if len(kinds) > 1:
        raise typer.BadParameter("choose one", param_hint="--quick, --full, --soak")
    if server is not None and model is not None:
        raise typer.BadParameter("a running server has its model", param_hint="--model")
    pipelines = _pipelines(systems)
    kind = kinds[0] if kinds else _Kind.QUICK

    async def work() -> None:
        earlier = {} if baseline is None else read_baseline(baseline)
        found: list[Figure] = []
        with console.status("") as status:
            comparison = Comparison(
                suite=(FULL if kind is _Kind.FULL else QUICK).limited(concurrency, utterances, sentences),
                model=model,
                pipelines=pipelines,
                progress=status.update,
            )
            if kind is _Kind.SOAK:
                figures = _soak(comparison, server, utterances or _SOAK_UTTERANCES, concurrency or _SOAK_STREAMS)
            elif server is not None:
                figures = comparison.of_a_running_server(server)
            elif model is not None and model.startswith(FULL_SIZE):
                job = FullSize(utterances=utterances or UTTERANCES, fewest_steps=fewest_steps)
                figures = full_size_figures(model, pipelines, job, status.update)
            else:
                figures = comparison.figures()
            async for figure in figures:
                found.append(compared(figure, earlier))
                if as_json:
                    print(json_line(found[-1]), flush=True)
        if not as_json:
            # Where nobody looks, lines may be long.
            out = Console(width=None if sys.stdout.isatty() else _PAGE_WIDTH)
            for table in tables(found):
                out.print(table)
                out.print()
            out.print(f"{os.cpu_count()} cores: {cpu_name()}", markup=False, highlight=False)

    run(work())


async def _soak(comparison: Comparison, server: str | None, utterances: int, streams: int) -> AsyncIterator[Figure]:
    comparison.progress("making voices")
    clips = soak_clips()
    system = started(Pipeline.ONCUE, comparison.model, clips) if server is None else connected(server, clips)
    async with system as ready:
        async for figure in soak_figures(ready, utterances, streams, comparison.progress):
            yield figure


def _pipelines(names: str) -> list[Pipeline]:
    try:
        return [Pipeline(name.strip()) for name in names.split(",")]
    except ValueError:
        raise typer.BadParameter(f"of {', '.join(Pipeline)}", param_hint="--systems") from None
