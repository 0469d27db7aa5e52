"""`oncue eval`: figures of a model, measured through a server."""

from __future__ import annotations

import os
import platform
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from oncue.cli.connection import ServerOption
from oncue.cli.report import console, run
from oncue.client import Client, connect
from oncue.local_server import LocalServer
from oncue_eval.ablations import evaluate_ablations
from oncue_eval.duration import evaluate_lengths
from oncue_eval.emotion import evaluate_emotions
from oncue_eval.figures import Figure, json_line, table
from oncue_eval.intelligibility import evaluate_words
from oncue_eval.markdown import markdown_page
from oncue_eval.material import voice_clips
from oncue_eval.seams import evaluate_seams
from oncue_eval.showcase import write_showcase
from oncue_eval.similarity import evaluate_speakers
from oncue_eval.streaming import evaluate_streaming
from oncue_eval.studio import Studio
from oncue_eval.subject import Fresh, Listener, Subject, registered_voices
from oncue_eval.timbre import evaluate_timbre
from oncue_eval.word_emotions import evaluate_word_emotions

__all__ = ["evaluate"]


class What(StrEnum):
    """What can be evaluated."""

    WER = "wer"
    SIMILARITY = "similarity"
    EMOTION = "emotion"
    DURATION = "duration"
    WORDS = "words"
    SEAMS = "seams"
    STREAMING = "streaming"
    ABLATIONS = "ablations"
    ALL = "all"


_Evaluation = Callable[[Subject], AsyncIterator[Figure]]

_EVALUATIONS: Mapping[What, tuple[_Evaluation, ...]] = {
    What.WER: (evaluate_words,),
    What.SIMILARITY: (evaluate_speakers,),
    What.EMOTION: (evaluate_emotions, evaluate_timbre),
    What.DURATION: (evaluate_lengths,),
    What.ABLATIONS: (evaluate_ablations,),
    What.WORDS: (evaluate_word_emotions,),
    What.SEAMS: (evaluate_seams,),
    What.STREAMING: (evaluate_streaming,),
}


def evaluate(
    what: Annotated[What, typer.Argument(help="What to measure.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object to a line, as soon as it is known.")] = False,
    markdown: Annotated[
        Path | None, typer.Option(metavar="FILE", dir_okay=False, help="Write the tables as a Markdown page, too.")
    ] = None,
    clips: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", file_okay=False, help="Write ten clips, with a picture and the words of each."),
    ] = None,
    server: ServerOption = None,
    model: Annotated[
        str | None, typer.Option(help="The model of a server of its own: `nano`, the default, or a folder.")
    ] = None,
    voice: Annotated[
        str | None, typer.Option(metavar="NAME", help="A registered voice; default: the server's.")
    ] = None,
    sentences: Annotated[int | None, typer.Option(metavar="N", min=1, help="At most so many sentences.")] = None,
    logs: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", exists=True, dir_okay=False, help="Training's figures, if not beside the weights."
        ),
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show single results on stderr.")] = False,
) -> None:
    """Measure a model over gRPC, table by table; what was to be reached stands beside each figure."""
    if server is not None and model is not None:
        raise typer.BadParameter("a running server has its model", param_hint="--model")
    parts = list(_EVALUATIONS) if what is What.ALL else [what]

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

            clips_of = {name: clip.encoded for name, clip in voice_clips().items()}
            voices = await stack.enter_async_context(registered_voices(client, clips_of))
            subject = Subject(
                client=client,
                info=await client.info(),
                studio=Studio(client),
                voices={name: registered.name for name, registered in voices.items()},
                voice=voice,
                sentences=sentences,
                listener=Listener(note=show, detail=show if verbose else _hidden, progress=status.update),
                fresh=fresh,
                model_option=(model or "nano") if server is None else None,
                logs=logs,
            )
            found = []
            for evaluation in (evaluation for part in parts for evaluation in _EVALUATIONS[part]):
                async for figure in evaluation(subject):
                    found.append(figure)
                    if as_json:
                        print(json_line(figure), flush=True)
            if clips is not None:
                await write_showcase(replace(subject, sentences=None), clips)
        if markdown is not None:
            markdown.parent.mkdir(parents=True, exist_ok=True)
            markdown.write_text(markdown_page(found, _heading(subject)), encoding="utf-8")
        if not as_json:
            Console().print(table(found))

    run(work())


def _heading(subject: Subject) -> list[str]:
    info = subject.info
    few = "" if subject.sentences is None else f", at most {subject.sentences} sentences"
    return [
        f"Model {info.model} ({info.fingerprint}), oncue {info.version}{few}. Over gRPC, on {os.cpu_count()} cores "
        f"({platform.machine()}), load {os.getloadavg()[0]:.1f} at the end."
    ]


def _servers(model: str | None, data_dir: Path) -> Fresh:
    """Servers on one data folder, apart from the user's own: nothing was prepared there before."""

    @asynccontextmanager
    async def start() -> AsyncIterator[Client]:
        options = ["--data", str(data_dir), *(["--model", model] if model is not None else [])]
        # The recogniser and the judges need the cores as well: threads that wait must not spin.
        environment = {"OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "passive")}
        async with LocalServer(options, environment) as address, connect(address) as client:
            yield client

    return start


def _hidden(_: str) -> None:
    """A single result that nobody asked to see."""
