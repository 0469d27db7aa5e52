"""A server of our own, as a subprocess on a free loopback port, for as long as it is needed."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from types import TracebackType

__all__ = ["LocalServer", "ServerStartError"]

_STOP_WAIT_S = 10.0


class ServerStartError(Exception):
    """The server ended before it was ready; what it had to say about it stands on stderr."""


class LocalServer:
    """`async with LocalServer() as address` runs `oncue serve` and ends it on leaving.

    `options` are further options of `oncue serve`, such as ("--model", "nano"); `environment` is added to ours. Needs
    the `server` extra installed.
    Raises ServerStartError on entering.
    """

    def __init__(self, options: Sequence[str] = (), environment: Mapping[str, str] | None = None) -> None:
        self._options = tuple(options)
        self._environment = {**os.environ, **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process, for who wants to watch it; None while there is none."""
        return None if self._process is None else self._process.pid

    async def __aenter__(self) -> str:
        # Not asyncio's subprocess: its watcher and terminate() race for the status of a process that ends early.
        process = self._process = subprocess.Popen(  # noqa: ASYNC220
            [
                *(sys.executable, "-m", "oncue.cli", "serve", "--address", "127.0.0.1:0", "--until-stdin-closes"),
                *self._options,
            ],
            # Never written to: it closes when this process goes, however it goes, and the server with it.
            stdin=subprocess.PIPE,
            env=self._environment,
            # Holds one line, so that nobody needs to keep it empty.
            stdout=subprocess.PIPE,
            # A Ctrl-C in the terminal must reach only us: we then end the server in order.
            start_new_session=True,
        )
        assert process.stdout is not None
        try:
            line = await asyncio.to_thread(process.stdout.readline)
            if not line:
                raise ServerStartError("the server did not start")
            return str(json.loads(line)["address"])
        except BaseException:
            await self._stop()
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stop()

    async def _stop(self) -> None:
        """Asks the server to end, and ends it when it does not."""
        if self._process is not None:
            await asyncio.shield(asyncio.to_thread(_end, self._process))
            self._process = None


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.communicate(timeout=_STOP_WAIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
