"""The `oncue` program: the client's own commands, and those that other packages bring."""

from __future__ import annotations

import sys

import typer

from oncue.cli import emotions, inspection, plugins, say, voices

__all__ = ["main"]


def main() -> None:
    """Runs the program with the process's arguments."""
    app = typer.Typer(
        help="Speech, on cue: a streaming speech engine over gRPC.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.command("say")(say.say)
    app.add_typer(voices.app, name="voices")
    app.add_typer(emotions.app, name="emotions")
    app.command("info")(inspection.info)
    app.command("plan")(inspection.plan)
    try:
        plugins.register(app, sys.argv[1:])
        app(prog_name="oncue")
    except ModuleNotFoundError as error:
        if plugins.is_ours(error.name or ""):
            raise
        print(
            f"error: this needs the package that brings {error.name!r}, which is not installed; the extras of oncue "
            "(server, train, eval) bring such packages",
            file=sys.stderr,
        )
        raise SystemExit(1) from None
