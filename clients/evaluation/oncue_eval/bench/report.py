"""The figures for people: a line for each setting, then what stands alone or was to be reached."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from rich.table import Table

from oncue_eval.figures import Condition, Figure, plain_conditions, rounded, table

__all__ = ["tables"]

_COLUMNS = {
    "ttfa_ms_p50": "first audio ms p50",
    "ttfa_ms_p95": "p95",
    "ttfa_ms_p99": "p99",
    "gap_free_share": "gap-free",
    "gap_ms_total": "gaps ms",
    "rtf": "RTF",
    "tokens_per_s": "tokens/s",
    "audio_s_per_s": "audio s/s",
    "cpu_s_per_audio_s": "CPU s/audio s",
    "cores_busy": "cores",
    "peak_rss_mb": "peak MB",
    "stage_share": "stages, % of wall time",
}
_SETTING = ("system", "model", "flow_steps", "concurrency", "sentences", "pacing", "arrivals")
_DIGITS = {"ttfa_ms_p50": 0, "ttfa_ms_p95": 0, "ttfa_ms_p99": 0, "gap_ms_total": 0, "tokens_per_s": 0, "peak_rss_mb": 0}
_HIDDEN = ("load", "load_after")


def tables(figures: Iterable[Figure]) -> Iterator[Table]:
    """Both tables; figures with a baseline show the ratio to it in parentheses."""
    found = list(figures)
    settings: dict[tuple[Condition, ...], dict[str, str]] = {}
    for figure in found:
        if figure.name in _COLUMNS and figure.value is not None:
            cells = settings.setdefault(tuple(figure.conditions.get(name) for name in _SETTING), {})
            cells[figure.name] = " ".join(filter(None, (cells.get(figure.name), _cell(figure))))
            cells["load"] = _loads(figure)
    rows = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("setting", *_COLUMNS.values(), "load"):
        rows.add_column(heading)
    for setting, cells in settings.items():
        rows.add_row(_title(setting), *(cells.get(name, "") for name in (*_COLUMNS, "load")))
    yield rows
    alone = [figure for figure in found if figure.name not in _COLUMNS or figure.goal or figure.value is None]
    yield table(
        replace(figure, conditions={k: v for k, v in figure.conditions.items() if k not in _HIDDEN}) for figure in alone
    )


def _title(setting: tuple[Condition, ...]) -> str:
    system, model, flow_steps, streams, sentences, pacing, arrivals = setting
    steps = "" if flow_steps is None else f", {flow_steps} steps"
    how = f"{arrivals}" if pacing == "realtime" else f"{pacing}"
    return f"{system} {model}{steps}: {streams} x {sentences} sent., {how}"


def _cell(figure: Figure) -> str:
    conditions = plain_conditions(figure)
    ratio = conditions.get("ratio")
    beside = f" (x{ratio:.2f})" if isinstance(ratio, float) else ""
    if figure.name == "stage_share":
        return f"{conditions['stage']} {100.0 * float(figure.value or 0.0):.0f}{beside}"
    digits = _DIGITS.get(figure.name)
    value = f"{figure.value:.{digits}f}" if digits is not None else f"{rounded(float(figure.value or 0.0)):.3g}"
    return value + beside


def _loads(figure: Figure) -> str:
    conditions = figure.conditions
    loads = (conditions.get("load"), conditions.get("load_after"))
    return "-".join(f"{load:.1f}" for load in loads if isinstance(load, float))
