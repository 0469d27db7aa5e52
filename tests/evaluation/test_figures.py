"""What is printed."""

from __future__ import annotations

import io
import json

from rich.console import Console

from oncue_eval.figures import Figure, Goal, json_line, table, verdict
from oncue_eval.markdown import markdown_page

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
    assert json.loads(json_line(Figure("crowd_difference", 0.0000123456)))["value"] == 1.235e-05


def test_table() -> None:
    out = io.StringIO()
    Console(file=out, width=120).print(table([FIGURE]))
    assert "wer" in out.getvalue() and "0.3333" in out.getvalue() and "sentences 30" in out.getvalue()


def test_a_goal_is_met_by_what_was_measured_and_not_by_what_is_printed() -> None:
    goal = Goal(at_most=0.05)
    assert goal.met(0.05) and not goal.met(0.050001)
    assert Goal(at_least=0.75).met(0.75) and not Goal(at_least=0.75).met(0.7499)
    exact = Goal(at_most=0, at_least=0)
    assert exact.met(0) and not exact.met(1) and not exact.met(-1)
    assert (str(goal), str(Goal(at_least=0.75)), str(exact)) == ("at most 0.05", "at least 0.75", "0")


def test_what_was_not_measured_neither_passes_nor_falls_short() -> None:
    figure = Figure("emotion_accuracy", None, {"why": "no bank"}, "2", Goal(at_least=0.75))
    assert verdict(figure) == "not measured"
    assert json.loads(json_line(figure))["pass"] is None
    short = Figure("token_error", 0.03, {}, "3", Goal(at_most=0.02))
    assert verdict(short) == "short" and json.loads(json_line(short))["pass"] is False
    assert json.loads(json_line(short))["target"] == "at most 0.02"


def test_the_page_sorts_by_table_and_says_what_no_machine_measures() -> None:
    figures = [
        Figure("wer", 0.1, {"model": "nano", "voices": "all | one"}, "1", Goal(at_most=0.2)),
        Figure("seam_ratio", 1.0, {}, "6"),
        Figure("rtf", 0.5),
    ]
    page = markdown_page(figures, ["Model nano."])
    assert page.index("Table 1") < page.index("Table 6") < page.index("Beside the tables")
    assert "| `wer` | 0.1 | at most 0.2 | pass | voices all / one |" in page
    assert "SMOS, PMOS, QMOS | not measured" in page
    assert "Table 2:" not in page
