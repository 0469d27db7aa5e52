"""Commands of other packages, found through the entry-point group `oncue.commands`.

An entry point is a function, which becomes a command, or a typer.Typer, which becomes a group. Only the one that is
called is imported, so that `oncue say` never waits for the server's imports.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence

import typer

__all__ = ["is_ours", "register"]

_GROUP = "oncue.commands"


def register(app: typer.Typer, arguments: Sequence[str]) -> None:
    """Adds the command that `arguments` call to `app`; the names of all of them when they ask for help."""
    called = next((argument for argument in arguments if not argument.startswith("-")), None)
    for entry in sorted(importlib.metadata.entry_points(group=_GROUP), key=lambda entry: entry.name):
        if called is None:
            app.command(entry.name, help=f"(from {entry.module.partition('.')[0]})")(_nothing)
        elif called == entry.name:
            _add(app, entry)


def is_ours(module: str) -> bool:
    """Whether a module that is missing should have come with the package itself."""
    return module.partition(".")[0] in {"oncue", "oncue_engine", "oncue_eval", "oncue_server"}


def _add(app: typer.Typer, entry: importlib.metadata.EntryPoint) -> None:
    command = entry.load()
    if isinstance(command, typer.Typer):
        app.add_typer(command, name=entry.name)
    else:
        app.command(entry.name)(command)


def _nothing() -> None:
    """Stands in the list of commands; never called, for a call loads the real one."""
