"""An earlier run beside a new one."""

from __future__ import annotations

from pathlib import Path

import pytest

from oncue_eval.bench.baseline import compared, read_baseline
from oncue_eval.figures import Figure, json_line

_SETTING = {"system": "oncue", "model": "nano", "concurrency": 4, "sentences": 1, "pacing": "realtime"}


def _file(folder: Path, *figures: Figure) -> Path:
    path = folder / "earlier.jsonl"
    path.write_text("\n".join(json_line(figure) for figure in figures) + "\n\n")
    return path


def test_the_same_figure_in_the_same_setting_gets_a_ratio_whatever_the_load(tmp_path: Path) -> None:
    earlier = read_baseline(_file(tmp_path, Figure("ttfa_ms_p50", 200.0, {**_SETTING, "load": 0.1, "starts": 20})))
    now = compared(Figure("ttfa_ms_p50", 150.0, {**_SETTING, "load": 3.0, "starts": 40}), earlier)
    assert (now.conditions["baseline"], now.conditions["ratio"]) == (200.0, 0.75)


@pytest.mark.parametrize("other", [{"concurrency": 8}, {"pacing": "unpaced"}, {"system": "naive"}, {"flow_steps": 8}])
def test_another_setting_is_not_compared(tmp_path: Path, other: dict[str, int | str]) -> None:
    earlier = read_baseline(_file(tmp_path, Figure("ttfa_ms_p50", 200.0, _SETTING)))
    figure = Figure("ttfa_ms_p50", 150.0, {**_SETTING, **other})
    assert compared(figure, earlier) is figure
    assert compared(Figure("ttfa_ms_p95", 1.0, _SETTING), earlier).conditions == _SETTING


def test_figures_without_a_value_are_not_compared(tmp_path: Path) -> None:
    earlier = read_baseline(_file(tmp_path, Figure("a", None, _SETTING), Figure("b", 0.0, _SETTING)))
    assert "ratio" not in compared(Figure("a", 1.0, _SETTING), earlier).conditions
    assert compared(Figure("b", 1.0, _SETTING), earlier).conditions["ratio"] is None
    assert "ratio" not in compared(Figure("b", None, _SETTING), earlier).conditions


def test_another_file_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "no.jsonl"
    path.write_text('{"figure": "a", "value": 1}\nnot JSON\n')
    with pytest.raises(ValueError, match="line 2"):
        read_baseline(path)
