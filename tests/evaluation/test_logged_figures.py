"""What training logged, as figures."""

from __future__ import annotations

import json

import pytest

from oncue_eval.ablations import logged_figures

ROW = {
    "table": "4",
    "model": "s2mel",
    "variant": "regression",
    "figure": "wer",
    "value": 0.2,
    "steps": 300,
    "agrees": True,
}


def test_rows_become_figures_of_their_table() -> None:
    leak = {
        "table": "2b",
        "model": "t2s",
        "variant": "without_reversal",
        "figure": "speaker_from_emotion",
        "value": 0.4,
    }
    first, second = logged_figures(f"{json.dumps(ROW)}\n\n{json.dumps(leak)}\n")
    assert (first.name, first.table, first.value) == ("ablation", "4", 0.2)
    assert first.conditions == {
        "logged": "wer",
        "network": "s2mel",
        "variant": "regression",
        "steps": 300,
        "agrees": True,
    }
    assert (second.name, second.table, second.conditions["variant"]) == (
        "emotion_speaker_leak",
        "2b",
        "without_reversal",
    )


@pytest.mark.parametrize("line", ["{", "[]", '{"table": "4"}', "3"])
def test_a_line_that_is_none_is_named(line: str) -> None:
    with pytest.raises(ValueError, match="line 2"):
        logged_figures(f"{json.dumps(ROW)}\n{line}\n")
