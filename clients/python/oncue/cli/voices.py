"""`oncue voices create|list|show|delete`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from oncue.cli.connection import ServerOption, open_client
from oncue.cli.inspection import JsonOption
from oncue.cli.labels import labels
from oncue.cli.prompting import LevelOption, TrimOption
from oncue.cli.report import run, show

__all__ = ["app"]

app = typer.Typer(help="Voices: register a clip once, then name it.", no_args_is_help=True)


@app.command()
def create(
    voice_id: Annotated[str, typer.Argument(metavar="ID", help="3 to 63 of a-z, 0-9 and -, a letter first.")],
    clip: Annotated[Path, typer.Argument(metavar="FILE", help="WAV, FLAC, Ogg or MP3, at least a second.")],
    display_name: Annotated[str, typer.Option(help="A name for people.")] = "",
    label: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="May be repeated.")] = None,
    trim_silence: TrimOption = False,
    keep_level: LevelOption = False,
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Register a voice from a clip."""
    marks = labels(label or ())

    async def work() -> None:
        async with open_client(server) as client:
            voice = await client.voices.create(
                voice_id,
                clip,
                display_name=display_name,
                labels=marks,
                trim_silence=trim_silence,
                keep_level=keep_level,
            )
            show(voice, as_json=as_json)

    run(work())


@app.command("list")
def list_voices(server: ServerOption = None, as_json: JsonOption = False) -> None:
    """All voices, the built-in ones first."""

    async def work() -> None:
        async with open_client(server) as client:
            voices = [voice async for voice in client.voices.list()]
        if as_json:
            show(voices, as_json=True)
            return
        for voice in voices:
            kind = "built in" if voice.built_in else f"{voice.reference.duration_s:.1f} s"
            print(f"{voice.id}\t{kind}\t{voice.display_name}")

    run(work())


@app.command("show")
def show_voice(
    name: Annotated[str, typer.Argument(metavar="NAME")], server: ServerOption = None, as_json: JsonOption = False
) -> None:
    """One voice with the report on its clip."""

    async def work() -> None:
        async with open_client(server) as client:
            show(await client.voices.get(name), as_json=as_json)

    run(work())


@app.command()
def delete(name: Annotated[str, typer.Argument(metavar="NAME")], server: ServerOption = None) -> None:
    """Remove a voice."""

    async def work() -> None:
        async with open_client(server) as client:
            await client.voices.delete(name)

    run(work())
