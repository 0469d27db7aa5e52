"""What `oncue say` does once its options are read: clips become names, texts become files."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from secrets import token_hex

from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from oncue.audio import AudioChunk, WavWriter
from oncue.cli.player import Player
from oncue.cli.report import console
from oncue.client import Client
from oncue.emotions import EmotionMixing, Words
from oncue.lexicon import LexiconArgument
from oncue.scheduling import Priority
from oncue.speech import Pacing, SpeechStream
from oncue.utterance import EmotionArgument

__all__ = ["Line", "Manner", "registered", "speak"]

_TELLING_WEIGHT = 0.05
_CLIP_SUFFIXES = {".wav", ".flac", ".ogg", ".oga", ".mp3"}


@dataclass(frozen=True, slots=True)
class Line:
    """One text, and the WAV file its speech goes to."""

    text: str
    output: Path | None


@dataclass(frozen=True, slots=True)
class Manner:
    """How the texts of one call are spoken."""

    voice: str | None
    """A name, or the path of a clip."""
    emotion: EmotionArgument | None
    """A str is a name, or the path of a clip."""
    emotion_strength: float | None
    emotion_mixing: EmotionMixing
    duration_s: float | None
    tokens: int | None
    force: bool
    sample_rate_hz: int | None
    seed: int | None
    language: str | None
    priority: Priority
    start_deadline_s: float | None
    lexicon: LexiconArgument | None
    play: bool


@asynccontextmanager
async def registered(client: Client, manner: Manner) -> AsyncIterator[Manner]:
    """`manner` with names only: clips are registered for as long as the block runs.

    Raises SpeechError, and OSError for a clip that cannot be read.
    """
    async with AsyncExitStack() as stack:
        if manner.voice is not None and _is_clip(manner.voice):
            voice = await client.voices.create(f"say-{token_hex(8)}", Path(manner.voice))
            stack.push_async_callback(client.voices.delete, voice)
            manner = replace(manner, voice=voice.name)
        if isinstance(manner.emotion, str) and _is_clip(manner.emotion):
            emotion = await client.emotions.create(f"say-{token_hex(8)}", Path(manner.emotion))
            stack.push_async_callback(client.emotions.delete, emotion)
            manner = replace(manner, emotion=emotion)
        yield manner


async def speak(client: Client, line: Line, manner: Manner) -> None:
    """Says one text and tells on stderr how it went. Raises SpeechError, ValueError and OSError."""
    begin_s = time.perf_counter()
    first_audio_s: float | None = None
    stream = client.stream(
        line.text,
        voice=manner.voice,
        emotion=manner.emotion,
        emotion_strength=manner.emotion_strength,
        emotion_mixing=manner.emotion_mixing,
        duration_samples=await _duration_samples(client, manner),
        tokens=manner.tokens,
        length_policy="force" if manner.force else "strict",
        sample_rate_hz=manner.sample_rate_hz,
        seed=manner.seed,
        language=manner.language,
        # A file has no listener to keep pace with.
        pacing=Pacing(realtime=manner.play),
        priority=manner.priority,
        start_deadline_s=manner.start_deadline_s,
        lexicon=manner.lexicon,
    )
    async with stream, _Sink(line.output, manner.play) as sink:
        with _progress() as progress:
            task = progress.add_task("", seconds=0.0)
            async for chunk in stream:
                if first_audio_s is None:
                    first_audio_s = time.perf_counter() - begin_s
                await sink.write(chunk)
                end_sample = chunk.first_sample + chunk.num_samples
                progress.update(task, seconds=end_sample / chunk.sample_rate_hz)
    _tell(line, stream, first_audio_s, paced=manner.play, words=isinstance(manner.emotion, Words))


class _Sink:
    """The file and the player that chunks go to; both open with the first chunk, which tells the rate."""

    def __init__(self, path: Path | None, play: bool) -> None:
        self._path = path
        self._play = play
        self._stack = AsyncExitStack()
        self._wav: WavWriter | None = None
        self._player: Player | None = None

    async def __aenter__(self) -> _Sink:
        return self

    async def __aexit__(self, *failure: object) -> None:
        await self._stack.__aexit__(*failure)  # type: ignore[arg-type]

    async def write(self, chunk: AudioChunk) -> None:
        if self._path is not None and self._wav is None:
            self._wav = self._stack.enter_context(WavWriter(self._path, chunk.sample_rate_hz))
        if self._play and self._player is None:
            self._player = await self._stack.enter_async_context(Player(chunk.sample_rate_hz))
        if self._wav is not None:
            self._wav.write(chunk.pcm16)
        if self._player is not None:
            await self._player.write(chunk.pcm16)


def _progress() -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.fields[seconds]:.1f} s of speech in"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def _tell(line: Line, stream: SpeechStream, first_audio_s: float | None, *, paced: bool, words: bool) -> None:
    """The last line: when the first audio came, how much there is, and how long a second of it took.

    With `words` also how the server understood them.
    """
    started, stats = stream.started, stream.stats
    if started is None or stats is None or first_audio_s is None:
        raise ValueError("the server sent no audio")
    audio_s = stats.total_samples / started.sample_rate_hz
    parts = [f"first audio after {first_audio_s:.3f} s", f"{audio_s:.3f} s of audio"]
    if not paced:  # Paced by playback, the quotient says nothing.
        parts.append(f"RTF {stats.generation_s / audio_s:.2f}")
    parts.append(f"seed {stats.seed}")
    if not stats.complete:
        parts.append("CUT at the model's token limit")
    if words and started.emotion_weights is not None:
        found = {name: weight for name, weight in started.emotion_weights.items() if weight >= _TELLING_WEIGHT}
        parts.append("emotion " + ",".join(f"{name}={weight:.2f}" for name, weight in found.items()))
    console.print(f"{line.output or 'played'}: " + ", ".join(parts), markup=False)


async def _duration_samples(client: Client, manner: Manner) -> int | None:
    if manner.duration_s is None:
        return None
    rate_hz = manner.sample_rate_hz or (await client.info()).native_rate_hz
    try:
        return round(manner.duration_s * rate_hz)
    except OverflowError:
        raise ValueError(f"--duration {manner.duration_s}: not a length") from None


def _is_clip(name: str) -> bool:
    return Path(name).suffix.lower() in _CLIP_SUFFIXES
