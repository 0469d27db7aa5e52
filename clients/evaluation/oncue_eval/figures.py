"""What an evaluation finds: one named number under stated conditions."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from rich.table import Table

__all__ = ["Condition", "Figure", "json_line", "table"]

Condition = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Figure:
    """One measurement."""

    name: str
    value: float | int
    conditions: Mapping[str, Condition] = field(default_factory=dict)


def json_line(figure: Figure) -> str:
    """{"figure": NAME, "value": X, ...conditions}"""
    return json.dumps({"figure": figure.name, "value": _rounded(figure.value), **_plain(figure.conditions)})


def table(figures: Iterable[Figure]) -> Table:
    """The same for people."""
    rows = Table("figure", "value", "conditions", box=None, header_style="bold", pad_edge=False)
    for figure in figures:
        conditions = ", ".join(f"{name} {value}" for name, value in _plain(figure.conditions).items())
        rows.add_row(figure.name, str(_rounded(figure.value)), conditions)
    return rows


def _rounded(value: Condition) -> Condition:
    return round(value, 4) if isinstance(value, float) else value


def _plain(conditions: Mapping[str, Condition]) -> dict[str, Condition]:
    return {name: _rounded(value) for name, value in conditions.items()}
