"""What is printed."""

from __future__ import annotations

import io
import json

from rich.console import Console

from oncue_eval.figures import Figure, json_line, table

FIGURE = Figure("wer", 1 / 3, {"voice": "default", "sentences": 30, "clip": -0.123456, "follows": None})


def test_json_line() -> None:
    assert json.loads(json_line(FIGURE)) == {
        "figure": "wer",
        "value": 0.3333,
        "voice": "default",
        "sentences": 30,
        "clip": -0.1235,
        "follows": None,
    }
    assert json_line(Figure("sample_error", 0)) == '{"figure": "sample_error", "value": 0}'


def test_table() -> None:
    out = io.StringIO()
    Console(file=out, width=120).print(table([FIGURE]))
    assert "wer" in out.getvalue() and "0.3333" in out.getvalue() and "sentences 30" in out.getvalue()
