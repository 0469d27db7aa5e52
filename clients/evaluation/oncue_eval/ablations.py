"""Tables 4 and 2b, from what training logged: nothing here can be measured through a server.

The logs lie beside the weights that they belong to (`training/ablations.jsonl` in the model's folder), and are read
there: a copy in this package would outlive them. `oncue models list` tells the embedded model's folder.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from oncue_eval.figures import Condition, Figure
from oncue_eval.subject import Subject

__all__ = ["evaluate_ablations", "logged_figures"]

_LEAK_TABLE = "2b"


async def evaluate_ablations(subject: Subject) -> AsyncIterator[Figure]:
    """`ablation` for each logged figure, with the direction that the paper has, and `emotion_speaker_leak`.

    One row without a value where nothing was logged.
    """
    path = subject.logs or await asyncio.to_thread(_beside_the_weights, subject.model_option)
    if path is None or not path.is_file():
        why = "training logged none" if path is not None else "the server's files cannot be read from here: --logs FILE"
        yield subject.figure("ablation", None, "4", why=why)
        yield subject.figure("emotion_speaker_leak", None, "2b", why=why)
        return
    for figure in logged_figures(path.read_text(encoding="utf-8")):
        yield figure


def logged_figures(lines: str) -> list[Figure]:
    """A figure for each JSON line: table, variant, figure, value, and whatever else was logged.

    Raises ValueError for a line that is not one.
    """
    found = []
    for number, line in enumerate(lines.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row: dict[str, Any] = json.loads(line)
            table, name, value = str(row.pop("table")), str(row.pop("figure")), row.pop("value")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"line {number} of the logged figures is not one: {error}") from None
        # `model` says elsewhere which model a figure is of.
        conditions = {"network" if key == "model" else key: _plain(item) for key, item in row.items()}
        if table == _LEAK_TABLE:
            found.append(Figure("emotion_speaker_leak", value, {"logged": name, **conditions}, table))
        else:
            found.append(Figure("ablation", value, {"logged": name, **conditions}, table))
    return found


def _plain(item: object) -> Condition:
    return item if isinstance(item, str | int | float | bool | None) else json.dumps(item)


def _beside_the_weights(model: str | None) -> Path | None:
    if model is None:
        return None
    if model != "nano":
        return Path(model) / "training" / "ablations.jsonl"
    done = subprocess.run(
        [sys.executable, "-P", "-m", "oncue.cli", "models", "list"], capture_output=True, text=True, check=True
    )
    return Path(json.loads(done.stdout.splitlines()[0])["folder"]) / "training" / "ablations.jsonl"
