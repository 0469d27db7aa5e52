"""`oncue eval`: figures of a model, measured through a server."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from oncue.cli.connection import ServerOption
from oncue.cli.report import console, run
from oncue.client import Client, connect
from oncue.local_server import LocalServer
from oncue_eval.duration import evaluate_lengths
from oncue_eval.emotion import evaluate_emotions
from oncue_eval.figures import Figure, json_line, table
from oncue_eval.intelligibility import evaluate_words
from oncue_eval.similarity import evaluate_speakers
from oncue_eval.streaming import evaluate_streaming
from oncue_eval.subject import Fresh, Listener, Subject

__all__ = ["evaluate"]


class What(StrEnum):
    """What can be evaluated."""

    WER = "wer"
    SIMILARITY = "similarity"
    EMOTION = "emotion"
    DURATION = "duration"
    STREAMING = "streaming"
    ALL = "all"


_EVALUATIONS: Mapping[What, Callable[[Subject], AsyncIterator[Figure]]] = {
    What.WER: evaluate_words,
    What.SIMILARITY: evaluate_speakers,
    What.EMOTION: evaluate_emotions,
    What.DURATION: evaluate_lengths,
    What.STREAMING: evaluate_streaming,
}


def evaluate(
    what: Annotated[What, typer.Argument(help="What to measure.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object to a line, as soon as it is known.")] = False,
    server: ServerOption = None,
    model: Annotated[
        str | None, typer.Option(help="The model of a server of its own: `nano`, the default, or a folder.")
    ] = None,
    voice: Annotated[
        str | None, typer.Option(metavar="NAME", help="A registered voice; default: the server's.")
    ] = None,
    sentences: Annotated[int | None, typer.Option(metavar="N", min=1, help="At most so many sentences.")] = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show single results on stderr.")] = False,
) -> None:
    """Measure words, speakers, emotions, lengths or streaming of a model, over gRPC."""
    if server is not None and model is not None:
        raise typer.BadParameter("a running server has its model", param_hint="--model")
    wanted = list(_EVALUATIONS) if what is What.ALL else [what]

    async def work() -> None:
        async with AsyncExitStack() as stack:
            status = stack.enter_context(console.status("starting a server" if server is None else "connecting"))
            fresh: Fresh | None = None
            if server is None:
                fresh = _servers(model, Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="oncue-eval-"))))
                client = await stack.enter_async_context(fresh())
            else:
                client = await stack.enter_async_context(connect(server))

            def show(line: str) -> None:
                console.print(line, markup=False)

            subject = Subject(
                client=client,
                model=(await client.info()).model,
                voice=voice,
                sentences=sentences,
                listener=Listener(note=show, detail=show if verbose else _hidden, progress=status.update),
                fresh=fresh,
            )
            found = []
            for part in wanted:
                async for figure in _EVALUATIONS[part](subject):
                    found.append(figure)
                    if as_json:
                        print(json_line(figure), flush=True)
        if not as_json:
            Console().print(table(found))

    run(work())


def _servers(model: str | None, data_dir: Path) -> Fresh:
    """Servers on one data folder, apart from the user's own: nothing was prepared there before."""

    @asynccontextmanager
    async def start() -> AsyncIterator[Client]:
        options = ["--data", str(data_dir), *(["--model", model] if model is not None else [])]
        async with LocalServer(options) as address, connect(address) as client:
            yield client

    return start


def _hidden(_: str) -> None:
    """A single result that nobody asked to see."""
