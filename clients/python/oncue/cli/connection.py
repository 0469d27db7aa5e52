"""Where a command's server comes from: the one that is named, or one of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from typing import Annotated

import typer

from oncue.cli.report import console
from oncue.client import Client, connect
from oncue.local_server import LocalServer

__all__ = ["ServerOption", "open_client"]

ServerOption = Annotated[
    str | None,
    typer.Option(
        "--server",
        metavar="HOST:PORT",
        envvar="ONCUE_SERVER",
        help="A running server. Without it, one is started for this command.",
    ),
]


@asynccontextmanager
async def open_client(server: str | None) -> AsyncIterator[Client]:
    """A client of `server`, or of a server of its own that ends with the block. Raises ServerStartError."""
    if server is not None:
        async with connect(server) as client:
            yield client
        return
    async with AsyncExitStack() as stack:
        with console.status("starting a server") if console.is_terminal else nullcontext():
            address = await stack.enter_async_context(LocalServer())
        yield await stack.enter_async_context(connect(address))
