"""Playing audio while it arrives, through whichever player the machine has."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence
from types import TracebackType
from typing import Self

__all__ = ["Player", "PlayerMissing", "find_player"]


class PlayerMissing(OSError):
    """No player that takes raw samples on its input."""


def find_player(sample_rate_hz: int) -> Sequence[str]:
    """The command that plays signed 16-bit mono samples from its input. Raises PlayerMissing."""
    rate = str(sample_rate_hz)
    commands = {
        "aplay": ("-q", "-t", "raw", "-f", "S16_LE", "-c", "1", "-r", rate, "-"),
        "paplay": ("--raw", "--format=s16le", "--channels=1", f"--rate={rate}"),
        "ffplay": ("-nodisp", "-autoexit", "-loglevel", "error", "-f", "s16le", "-ar", rate, "-i", "-"),
    }
    for name, options in commands.items():
        if shutil.which(name):
            return (name, *options)
    raise PlayerMissing("--play needs one of aplay, paplay and ffplay, and none is installed; -o FILE writes a file")


class Player:
    """`async with Player(rate) as player` plays what is written; leaving waits until all was heard."""

    def __init__(self, sample_rate_hz: int) -> None:
        self._command = find_player(sample_rate_hz)
        self._process: asyncio.subprocess.Process | None = None

    async def write(self, pcm16: bytes) -> None:
        """Hands samples to the player. Raises OSError when it has ended."""
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.write(pcm16)
        await self._process.stdin.drain()

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(*self._command, stdin=asyncio.subprocess.PIPE)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._process is not None and self._process.stdin is not None
        if kind is not None and self._process.returncode is None:
            self._process.terminate()
        self._process.stdin.close()
        status = await self._process.wait()
        if kind is None and status != 0:
            raise OSError(f"{self._command[0]} ended with status {status}")
