"""`oncue info` and `oncue plan`: what a server is, and how it would read a text."""

from __future__ import annotations

from typing import Annotated

import typer

from oncue.cli.connection import ServerOption, open_client
from oncue.cli.lexicon_file import LexiconOption, read_lexicon
from oncue.cli.report import run, show
from oncue.emotions import Words

__all__ = ["JsonOption", "info", "plan"]

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def info(server: ServerOption = None, as_json: JsonOption = False) -> None:
    """The model, its rates and languages, and the limits."""

    async def work() -> None:
        async with open_client(server) as client:
            show(await client.info(), as_json=as_json)

    run(work())


def plan(
    text: Annotated[str, typer.Argument(metavar="TEXT")],
    voice: Annotated[str | None, typer.Option(metavar="NAME", help="A registered voice.")] = None,
    emotion_text: Annotated[str | None, typer.Option(metavar="WORDS", help="Tell what the words come down to.")] = None,
    sample_rate: Annotated[int | None, typer.Option(metavar="HZ", help="Output rate; default the model's own.")] = None,
    language: Annotated[str | None, typer.Option(metavar="TAG", help="Such as en or ja; else guessed.")] = None,
    lexicon: LexiconOption = None,
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """How a text will be read, and how long it can be."""

    emotion = None if emotion_text is None else Words(emotion_text)
    terms = read_lexicon(lexicon)

    async def work() -> None:
        async with open_client(server) as client:
            planned = await client.plan(
                text, voice=voice, emotion=emotion, sample_rate_hz=sample_rate, lexicon=terms, language=language
            )
            show(planned, as_json=as_json)

    run(work())
