"""Options of the commands that make a prompt of a clip."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["LevelOption", "TrimOption"]

TrimOption = Annotated[bool, typer.Option("--trim-silence", help="Cut silence off the clip's ends.")]
LevelOption = Annotated[
    bool, typer.Option("--keep-level", help="Take a clip that is far too quiet or too loud as it is.")
]
