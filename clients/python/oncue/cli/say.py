"""`oncue say`: text in, speech out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from oncue.cli.connection import ServerOption, open_client
from oncue.cli.labels import weights
from oncue.cli.lexicon_file import LexiconOption, read_lexicon
from oncue.cli.player import find_player
from oncue.cli.report import print_error, run
from oncue.cli.speaking import Line, Manner, registered, speak
from oncue.emotions import EmotionMixing, Words
from oncue.errors import SpeechError
from oncue.scheduling import PRIORITIES, Priority
from oncue.utterance import EmotionArgument

__all__ = ["say"]


def say(
    text: Annotated[str | None, typer.Argument(metavar="TEXT", help="What to say.")] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="16-bit WAV file; with --file, a folder.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(metavar="LIST", help="Say every line; NAME<tab>TEXT names its file, otherwise it is numbered."),
    ] = None,
    voice: Annotated[str | None, typer.Option(metavar="NAME|WAV", help="A voice, or a clip of one.")] = None,
    emotion: Annotated[str | None, typer.Option(metavar="NAME|WAV", help="An emotion, or a clip of one.")] = None,
    emotion_vector: Annotated[str | None, typer.Option(metavar="happy=0.8,sad=0.1", help="Each 0 to 1.2.")] = None,
    emotion_text: Annotated[str | None, typer.Option(metavar="WORDS", help="The emotion in words.")] = None,
    emotion_strength: Annotated[float | None, typer.Option(metavar="X", help="0 to 1.")] = None,
    emotion_bias: Annotated[
        bool, typer.Option("--emotion-bias", help="Even out how strongly emotions by weights or words are heard.")
    ] = False,
    emotion_cap: Annotated[bool, typer.Option("--emotion-cap", help="Scale weights down to a sum of 0.8.")] = False,
    emotion_random: Annotated[
        bool, typer.Option("--emotion-random", help="Reference speakers by chance (seed), not those like the voice.")
    ] = False,
    duration: Annotated[float | None, typer.Option(metavar="SECONDS", help="Exact length.")] = None,
    tokens: Annotated[int | None, typer.Option(metavar="N", help="Exact length in semantic tokens.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Take a length however it sounds.")] = False,
    sample_rate: Annotated[int | None, typer.Option(metavar="HZ", help="8000 to 48000.")] = None,
    seed: Annotated[int | None, typer.Option(metavar="N", help="Same seed, same speech.")] = None,
    language: Annotated[str | None, typer.Option(metavar="TAG", help="Such as en or ja; else guessed.")] = None,
    priority: Annotated[
        str, typer.Option(metavar="|".join(PRIORITIES), help="Who comes first on a busy server.")
    ] = "normal",
    start_deadline: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Refuse rather than begin later than this.")
    ] = None,
    lexicon: LexiconOption = None,
    play: Annotated[bool, typer.Option("--play", help="Play it while it arrives.")] = False,
    server: ServerOption = None,
) -> None:
    """Say a text, or every line of a file."""
    if output is None and (file is not None or not play):
        raise typer.BadParameter("say where to: -o FILE, or --play", param_hint="-o")
    if duration is not None and tokens is not None:
        raise typer.BadParameter("give --duration or --tokens, not both")
    manner = Manner(
        voice=voice,
        emotion=_emotion(emotion, emotion_vector, emotion_text),
        emotion_strength=emotion_strength,
        emotion_mixing=EmotionMixing(emotion_bias, emotion_cap, emotion_random),
        duration_s=duration,
        tokens=tokens,
        force=force,
        sample_rate_hz=sample_rate,
        seed=seed,
        language=language,
        priority=_priority(priority),
        start_deadline_s=start_deadline,
        lexicon=read_lexicon(lexicon),
        play=play,
    )
    lines = _lines(text, file, output)

    async def work() -> None:
        if play:
            find_player(16000)  # Better told before a server starts than after.
        failed = False
        async with open_client(server) as client, registered(client, manner) as ready:
            for line in lines:
                try:
                    await speak(client, line, ready)
                except SpeechError as error:
                    if file is None:
                        raise
                    # One bad line does not keep the others from being said.
                    failed = True
                    print_error(error, about=str(line.output))
        if failed:
            raise typer.Exit(1)

    run(work())


def _emotion(name: str | None, vector: str | None, words: str | None) -> EmotionArgument | None:
    given: list[EmotionArgument] = []
    if name is not None:
        given.append(name)
    if vector is not None:
        given.append(weights(vector))
    if words is not None:
        given.append(Words(words))
    if len(given) > 1:
        raise typer.BadParameter("give one of --emotion, --emotion-vector and --emotion-text")
    return given[0] if given else None


def _priority(name: str) -> Priority:
    for known in PRIORITIES:
        if name == known:
            return known
    raise typer.BadParameter(f"{name!r} is not one of {', '.join(PRIORITIES)}", param_hint="--priority")


def _lines(text: str | None, file: Path | None, output: Path | None) -> list[Line]:
    """The one text, or the file's lines with a WAV file each in the folder `output`, which is made if it must be."""
    if text is not None and file is None:
        return [Line(text, output)]
    if file is None or text is not None:
        raise typer.BadParameter("give TEXT or --file LIST")
    if output is None:
        raise typer.BadParameter("--file needs a folder", param_hint="-o")
    try:
        texts = [line for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
        output.mkdir(parents=True, exist_ok=True)
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(str(error), param_hint="--file") from error
    lines = []
    for number, line in enumerate(texts, start=1):
        name, tab, spoken = line.partition("\t")
        if not tab:
            name, spoken = f"{number:04d}", line
        if name != Path(name).name or not name:
            raise typer.BadParameter(f"{name!r} cannot name a file", param_hint="--file")
        lines.append(Line(spoken, output / f"{name}.wav"))
    return lines
