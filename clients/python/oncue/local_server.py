"""A server of our own, as a subprocess on a free loopback port, for as long as it is needed."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from types import TracebackType

__all__ = ["LocalServer", "ServerStartError"]

_STOP_WAIT_S = 10.0


class ServerStartError(Exception):
    """The server ended before it was ready; what it had to say about it stands on stderr."""


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
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "oncue.cli", "serve", "--address", "127.0.0.1:0", "--until-stdin-closes"),
            *self._options,
            # Never written to: it closes when this process goes, however it goes, and the server with it.
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            # A Ctrl-C in the terminal must reach only us: we then end the server in order.
            start_new_session=True,
        )
        self._process = process
        assert process.stdout is not None
        try:
            line = await process.stdout.readline()
            if not line:
                raise ServerStartError("the server did not start")
            address = str(json.loads(line)["address"])
        except BaseException:
            await self._stop()
            raise
        self._drain = asyncio.create_task(_discard(process.stdout), name="oncue-server-stdout")
        return address

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
