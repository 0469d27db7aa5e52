"""Lines spoken by the server, each only once: evaluations share what they have in common."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from oncue.client import Client
from oncue.emotions import Words
from oncue.utterance import EmotionArgument
from oncue_eval.material import RATE_HZ
from oncue_eval.recogniser import Recogniser

__all__ = ["EmotionSource", "Line", "Studio", "Take"]

EmotionSource = bytes | Words | tuple[tuple[str, float], ...]
"""A clip, words, or weights by name."""

_AT_ONCE = 3
"""Lines that the server works on together: it decodes their tokens in one batch, and the recogniser listens meanwhile.
The same seed gives the same samples whoever else is served, so this changes no figure."""

_Out = TypeVar("_Out")


@dataclass(frozen=True, slots=True)
class Line:
    """What is said, by whom, how, and how long."""

    text: str
    voice: str | None
    emotion: EmotionSource | None = None
    tokens: int | None = None
    advised: bool = False
    """`tokens` is told to the model and not forced."""
    seed: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class Take:
    """How it came."""

    samples: npt.NDArray[np.float32]
    """[num_samples] in [-1, 1] at RATE_HZ."""
    tokens: int


class Studio:
    """One client, one recogniser, and all takes so far. Methods raise SpeechError."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._takes: dict[Line, asyncio.Task[Take]] = {}
        self._words: dict[Line, asyncio.Task[list[str]]] = {}
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._ear = asyncio.Lock()
        self._recogniser: Recogniser | None = None

    async def take(self, line: Line) -> Take:
        """The line as the server speaks it."""
        if line not in self._takes:
            self._takes[line] = asyncio.create_task(self._speak(line))
        return await self._takes[line]

    async def heard(self, line: Line) -> list[str]:
        """The words that the recogniser hears in it."""
        if line not in self._words:
            self._words[line] = asyncio.create_task(self._listen(line))
        return await self._words[line]

    async def hear(self, samples: npt.NDArray[np.float32]) -> list[str]:
        """The words that the recogniser hears in a clip at RATE_HZ, [num_samples] in [-1, 1]."""
        async with self._ear:
            self._recogniser = self._recogniser or Recogniser()
            return await asyncio.to_thread(self._recogniser.hear, samples)

    async def all(
        self, work: Callable[[Line], Awaitable[_Out]], lines: Sequence[Line], told: Callable[[str], None], about: str
    ) -> list[_Out]:
        """`work` (take or heard) for every line, in their order; `told` hears how far it is."""
        done = 0

        async def one(line: Line) -> _Out:
            nonlocal done
            result = await work(line)
            done += 1
            told(f"{about}: {done} of {len(lines)}")
            return result

        return list(await asyncio.gather(*(one(line) for line in lines)))

    async def _speak(self, line: Line) -> Take:
        emotion: EmotionArgument | None = dict(line.emotion) if isinstance(line.emotion, tuple) else line.emotion
        async with self._slots:
            clip = await self._client.synthesize(
                line.text,
                voice=line.voice,
                emotion=emotion,
                tokens=line.tokens,
                length_policy="advise" if line.advised else "strict",
                sample_rate_hz=RATE_HZ,
                encoding="pcm_f32",
                seed=line.seed,
            )
        return Take(clip.samples, clip.stats.total_codes)

    async def _listen(self, line: Line) -> list[str]:
        return await self.hear((await self.take(line)).samples)
