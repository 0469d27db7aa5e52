"""What an evaluation finds: one named number under stated conditions, and what it was to reach."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from rich.table import Table

__all__ = ["Condition", "Figure", "Goal", "json_line", "plain_conditions", "rounded", "table", "verdict"]

Condition = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Goal:
    """What a figure is to reach. One of the two is set, or both to the same number."""

    at_most: float | None = None
    at_least: float | None = None

    def met(self, value: float) -> bool:
        """Compared as measured, not as rounded."""
        return (self.at_most is None or value <= self.at_most) and (self.at_least is None or value >= self.at_least)

    def __str__(self) -> str:
        if self.at_most == self.at_least:
            return f"{rounded(self.at_most)}"
        return f"at most {rounded(self.at_most)}" if self.at_most is not None else f"at least {rounded(self.at_least)}"


@dataclass(frozen=True, slots=True)
class Figure:
    """One measurement."""

    name: str
    value: float | int | None
    """None: it could not be measured; the condition `why` tells."""
    conditions: Mapping[str, Condition] = field(default_factory=dict)
    table: str | None = None
    """The paper's table, or ours beside it, that it answers."""
    goal: Goal | None = None


def json_line(figure: Figure) -> str:
    """{"figure": NAME, "value": X, ...conditions}, with "table", "target" and "pass" where it has them."""
    row: dict[str, Condition] = {"figure": figure.name, "value": rounded(figure.value)}
    if figure.table is not None:
        row["table"] = figure.table
    row |= plain_conditions(figure)
    if figure.goal is not None:
        row |= {"target": str(figure.goal), "pass": None if figure.value is None else figure.goal.met(figure.value)}
    return json.dumps(row)


def verdict(figure: Figure) -> str:
    """pass, short, not measured, or nothing where nothing was to be reached."""
    if figure.value is None:
        return "not measured"
    if figure.goal is None:
        return ""
    return "pass" if figure.goal.met(figure.value) else "short"


def table(figures: Iterable[Figure]) -> Table:
    """The same for people."""
    rows = Table(
        "table", "figure", "value", "to reach", "", "conditions", box=None, header_style="bold", pad_edge=False
    )
    for figure in figures:
        conditions = ", ".join(f"{name} {value}" for name, value in plain_conditions(figure).items())
        target = str(figure.goal) if figure.goal is not None else ""
        rows.add_row(figure.table or "", figure.name, str(rounded(figure.value)), target, verdict(figure), conditions)
    return rows


def rounded(value: Condition) -> Condition:
    """Four decimals of a float, and as many digits of one that is too small for them."""
    if not isinstance(value, float):
        return value
    return round(value, 4) if value == 0.0 or abs(value) >= 0.001 else float(f"{value:.4g}")


def plain_conditions(figure: Figure) -> dict[str, Condition]:
    """Conditions as they are printed."""
    return {name: rounded(value) for name, value in figure.conditions.items()}
