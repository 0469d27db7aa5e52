"""What is measured: a server's model through the client, with held-out voices."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

from oncue.client import Client
from oncue.info import ServerInfo
from oncue.voices import Voice
from oncue_eval.figures import Condition, Figure, Goal
from oncue_eval.studio import Studio

__all__ = ["Fresh", "Listener", "Subject", "registered_voices"]

Fresh = Callable[[], AbstractAsyncContextManager[Client]]
"""Starts a server on the evaluation's own data folder and gives a client of it: another start is a restart."""


@dataclass(frozen=True, slots=True)
class Listener:
    """Where an evaluation tells what is not a figure."""

    note: Callable[[str], None]
    """What a reader must know, such as a figure left out."""
    detail: Callable[[str], None]
    """Single results, shown on request."""
    progress: Callable[[str], None]
    """What is being done right now."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A server and how to ask it."""

    client: Client
    info: ServerInfo
    studio: Studio
    voices: Mapping[str, str]
    """Held-out speaker -> the name of its registered voice."""
    voice: str | None
    """The voice of evaluations that use one; None: the server's default voice."""
    sentences: int | None
    """How many sentences to use at most; None: each evaluation's own number."""
    listener: Listener
    fresh: Fresh | None = None
    """None when the server is not ours to restart."""
    model_option: str | None = None
    """What `--model` names, where a command of the server's machine may read it; None for a server elsewhere."""
    logs: Path | None = None
    """Figures that training logged; None: those beside the weights."""

    def figure(
        self,
        name: str,
        value: float | int | None,
        table: str | None = None,
        goal: Goal | None = None,
        /,
        **conditions: Condition,
    ) -> Figure:
        """A figure with the model among its conditions."""
        return Figure(name, value, {"model": self.info.model, **conditions}, table, goal)

    def limit(self, usual: int) -> int:
        """`usual`, or the number of sentences asked for where that is smaller."""
        return usual if self.sentences is None else min(usual, self.sentences)


@asynccontextmanager
async def registered_voices(client: Client, clips: Mapping[str, bytes]) -> AsyncIterator[dict[str, Voice]]:
    """A voice per clip for as long as the block runs, under ids that collide with nobody's. Raises SpeechError."""
    async with AsyncExitStack() as stack:
        voices = {}
        for name, clip in clips.items():
            voices[name] = await client.voices.create(f"eval-{token_hex(8)}", clip, display_name=f"evaluation: {name}")
            stack.push_async_callback(client.voices.delete, voices[name].name)
        yield voices
