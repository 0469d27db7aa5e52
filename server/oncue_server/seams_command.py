"""`oncue seams`: what cutting speech into chunks does to it, as samples to measure."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["seams"]


def seams(
    texts: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A text to a line, each one segment.")],
    folder: Annotated[Path, typer.Argument(file_okay=False, help="Where the renderings go.")],
    voice: Annotated[Path, typer.Option(exists=True, dir_okay=False, help="A clip of the voice.")],
    model: Annotated[str, typer.Option(help="`nano`, the model inside the package, or a folder.")] = "nano",
    seed: Annotated[int, typer.Option(help="Of tokens and noise.")] = 1,
    precision: Annotated[
        str, typer.Option(help="Of matrix products in what is streamed: auto, float32 or bfloat16.")
    ] = "auto",
) -> None:
    """Render texts as streamed, in one piece, and in cross-faded chunks, from the same tokens and noise.

    Writes FOLDER/000.npz and so on, float32 samples with the joins, and one JSON line for each.
    """
    import numpy as np

    from oncue_engine.checkpoints.embedded import model_folder
    from oncue_engine.errors import EngineError
    from oncue_engine.options import EngineOptions
    from oncue_engine.seams import three_ways

    folder.mkdir(parents=True, exist_ok=True)
    try:
        ways = three_ways(model_folder(model), voice, EngineOptions(precision=precision))
        lines = [line for line in texts.read_text(encoding="utf-8").splitlines() if line.strip()]
        for number, text in enumerate(lines):
            made = ways.render(text, seed)
            path = folder / f"{number:03d}.npz"
            np.savez(
                path,
                rate_hz=made.rate_hz,
                streamed=made.streamed,
                whole=made.whole,
                crossfaded=made.crossfaded,
                joins=np.array(made.joins, np.int64),
                chunk_joins=np.array(made.chunk_joins, np.int64),
            )
            typer.echo(json.dumps({"file": str(path), "samples": len(made.whole), "joins": len(made.joins)}))
    except EngineError as error:
        typer.echo(f"oncue seams: {error}", err=True)
        raise typer.Exit(1) from error
