"""A server of our own, as a subprocess on a free loopback port, for as long as it is needed."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Sequence
from types import TracebackType

__all__ = ["LocalServer", "ServerStartError"]

_ADDRESS = re.compile(r"\b(?:127\.0\.0\.1|localhost|\[::1\]):\d+\b")
_STOP_WAIT_S = 10.0


class ServerStartError(Exception):
    """The server ended before it told its address; what it wrote stands on stderr."""


class LocalServer:
    """`async with LocalServer() as address` runs `oncue serve` and ends it on leaving.

    `options` are further options of `oncue serve`, such as ("--model", "nano"). Needs the `server` extra installed.
    Raises ServerStartError on entering.
    """

    def __init__(self, options: Sequence[str] = ()) -> None:
        self._options = tuple(options)
        self._process: asyncio.subprocess.Process | None = None
        self._drain: asyncio.Task[None] | None = None

    async def __aenter__(self) -> str:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "oncue.cli", "serve", "--address", "127.0.0.1:0"),
            *self._options,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            # A Ctrl-C in the terminal must reach only us: we then end the server in order.
            start_new_session=True,
        )
        assert self._process.stdout is not None
        try:
            # The first line of `oncue serve` names the address it listens at.
            line = (await self._process.stdout.readline()).decode()
            found = _ADDRESS.search(line)
            if found is None:
                await self._stop()
                raise ServerStartError(line.strip() or "the server ended before it told its address")
        except BaseException:
            await self._stop()
            raise
        self._drain = asyncio.create_task(_discard(self._process.stdout), name="oncue-server-stdout")
        return found.group()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stop()

    async def _stop(self) -> None:
        """Asks the server to end, and ends it when it does not."""
        process = self._process
        if process is None:
            return
        self._process = None
        if process.returncode is None:
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), _STOP_WAIT_S)
        except TimeoutError:
            process.kill()
            await process.wait()
        if self._drain is not None:
            await self._drain


async def _discard(stream: asyncio.StreamReader) -> None:
    """Keeps the pipe empty, so that the server never blocks on it."""
    while await stream.read(65536):
        pass
