"""The figures as a page: a table of those that answer a table of the paper, and the rest below it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from oncue_eval.figures import Figure, plain_conditions, rounded, verdict

__all__ = ["markdown_page"]

_SUBJECTS = {
    "1": "words and speakers",
    "2": "emotion",
    "2b": "timbre and emotion apart",
    "3": "length",
    "3b": "words at other lengths",
    "4": "ablations",
    "5": "emotion in words",
    "6": "seams (ours, not the paper's)",
}
_MOS = {
    "1": "SMOS, PMOS, QMOS",
    "2": "SMOS, EMOS, PMOS, QMOS",
    "4": "SMOS, PMOS, QMOS",
}
"""Columns of listeners' opinions in the paper's tables."""


def markdown_page(figures: Sequence[Figure], heading: Iterable[str]) -> str:
    """A whole Markdown page; `heading` tells model and machine, a line each."""
    lines = ["# Evaluation", "", *heading, ""]
    for table, about in _SUBJECTS.items():
        rows = [figure for figure in figures if figure.table == table]
        if not rows:
            continue
        lines += [f"## Table {table}: {about}", "", "| figure | value | to reach | | under |", "|---|---|---|---|---|"]
        lines += [_row(figure) for figure in rows]
        if table in _MOS:
            lines.append(f"| {_MOS[table]} | not measured | | | needs listeners |")
        lines.append("")
    others = [figure for figure in figures if figure.table is None]
    if others:
        lines += ["## Beside the tables", "", "| figure | value | to reach | | under |", "|---|---|---|---|---|"]
        lines += [_row(figure) for figure in others]
        lines.append("")
    return "\n".join(lines)


def _row(figure: Figure) -> str:
    conditions = ", ".join(f"{name} {value}" for name, value in plain_conditions(figure).items() if name != "model")
    value = "" if figure.value is None else rounded(figure.value)
    goal = str(figure.goal) if figure.goal is not None else ""
    cells = (f"`{figure.name}`", str(value), goal, verdict(figure), conditions.replace("|", "/"))
    return "| " + " | ".join(cells) + " |"
