"""An earlier run beside this one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from oncue_eval.figures import Condition, Figure

__all__ = ["Baseline", "compared", "read_baseline"]

_TELLING = (
    *("system", "model", "concurrency", "sentences", "pacing", "arrivals", "stage"),
    *("steps", "flow_steps", "deterministic", "against"),
)
"""Conditions that tell one figure from another of the same name; the rest is how it came out."""

_Key = tuple[Condition, ...]
Baseline = Mapping[_Key, float]


def read_baseline(path: Path) -> Baseline:
    """What `oncue bench --json` wrote. Raises OSError; ValueError for what is none of its lines."""
    found: dict[_Key, float] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            name, value = row["figure"], row["value"]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}, line {number}: not a figure of `oncue bench --json`") from error
        if value is not None:
            found[_key(name, row)] = float(value)
    return found


def compared(figure: Figure, baseline: Baseline) -> Figure:
    """The figure with `baseline` and `ratio` (to it) among its conditions, where the earlier run has it."""
    earlier = baseline.get(_key(figure.name, figure.conditions))
    if earlier is None or figure.value is None:
        return figure
    ratio = None if earlier == 0.0 else figure.value / earlier
    return replace(figure, conditions={**figure.conditions, "baseline": earlier, "ratio": ratio})


def _key(name: str, conditions: Mapping[str, Condition]) -> _Key:
    return (name, *(conditions.get(telling) for telling in _TELLING))
