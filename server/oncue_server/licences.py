"""Licences of public models, shown and asked for before the first download."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from oncue_engine.checkpoints.repositories import Repository

__all__ = ["accept_all", "ask"]


def accept_all(repositories: Sequence[Repository]) -> bool:
    """Shows them; they were accepted on the command line."""
    _show(repositories)
    typer.echo("Accepted with --accept-licence.", err=True)
    return True


def ask(repositories: Sequence[Repository]) -> bool:
    """Shows them, and asks where somebody is at a terminal. Nobody is no."""
    _show(repositories)
    if sys.stdin.isatty() and sys.stderr.isatty():
        return typer.confirm("Do you accept these licences?", default=False, err=True)
    typer.echo("If you accept these licences, say so with --accept-licence.", err=True)
    return False


def _show(repositories: Sequence[Repository]) -> None:
    typer.echo("The files of this model are not part of oncue. They come under licences of their own:\n", err=True)
    for repository in repositories:
        licence = repository.licence
        size_gb = sum(file.size_bytes for file in repository.files) / 1e9
        typer.echo(f"{repository.name} (about {size_gb:.1f} GB): {licence.name}", err=True)
        typer.echo(f"    {licence.summary}.\n    {licence.url}\n", err=True)
