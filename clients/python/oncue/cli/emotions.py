"""`oncue emotions create|list|show|delete`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from oncue.cli.connection import ServerOption, open_client
from oncue.cli.inspection import JsonOption
from oncue.cli.labels import labels, weights
from oncue.cli.prompting import LevelOption, TrimOption
from oncue.cli.report import run, show
from oncue.emotions import Emotion, EmotionSource, Words

__all__ = ["app"]

app = typer.Typer(help="Emotions: the manner of speaking, apart from who speaks.", no_args_is_help=True)


@app.command()
def create(
    emotion_id: Annotated[str, typer.Argument(metavar="ID", help="3 to 63 of a-z, 0-9 and -, a letter first.")],
    clip: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="WAV, FLAC, Ogg or MP3 by any speaker.")] = None,
    vector: Annotated[str | None, typer.Option(metavar="happy=0.8,sad=0.1", help="Weights, each 0 to 1.2.")] = None,
    text: Annotated[str | None, typer.Option(metavar="WORDS", help="The emotion in words.")] = None,
    display_name: Annotated[str, typer.Option(help="A name for people.")] = "",
    label: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="May be repeated.")] = None,
    trim_silence: TrimOption = False,
    keep_level: LevelOption = False,
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Register an emotion from a clip, from weights, or from words."""
    sources: list[EmotionSource] = []
    if clip is not None:
        sources.append(clip)
    if vector is not None:
        sources.append(weights(vector))
    if text is not None:
        sources.append(Words(text))
    if len(sources) != 1:
        raise typer.BadParameter("give exactly one of FILE, --vector and --text")
    marks = labels(label or ())

    async def work() -> None:
        async with open_client(server) as client:
            emotion = await client.emotions.create(
                emotion_id,
                sources[0],
                display_name=display_name,
                labels=marks,
                trim_silence=trim_silence,
                keep_level=keep_level,
            )
            show(emotion, as_json=as_json)

    run(work())


@app.command("list")
def list_emotions(server: ServerOption = None, as_json: JsonOption = False) -> None:
    """All registered emotions."""

    async def work() -> None:
        async with open_client(server) as client:
            emotions = [emotion async for emotion in client.emotions.list()]
        if as_json:
            show(emotions, as_json=True)
            return
        for emotion in emotions:
            print(f"{emotion.id}\t{_source(emotion)}\t{emotion.display_name}")

    run(work())


@app.command("show")
def show_emotion(
    name: Annotated[str, typer.Argument(metavar="NAME")], server: ServerOption = None, as_json: JsonOption = False
) -> None:
    """One emotion with its source."""

    async def work() -> None:
        async with open_client(server) as client:
            show(await client.emotions.get(name), as_json=as_json)

    run(work())


@app.command()
def delete(name: Annotated[str, typer.Argument(metavar="NAME")], server: ServerOption = None) -> None:
    """Remove an emotion."""

    async def work() -> None:
        async with open_client(server) as client:
            await client.emotions.delete(name)

    run(work())


def _source(emotion: Emotion) -> str:
    if emotion.reference is not None:
        return f"{emotion.reference.duration_s:.1f} s"
    if emotion.weights is not None:
        return ",".join(f"{name}={weight:g}" for name, weight in emotion.weights.items() if weight)
    return emotion.words or ""
