"""Curves of a stage's log, as a picture."""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

__all__ = ["draw_curves"]


def draw_curves(log: Path, target: Path) -> None:
    """One panel for each logged name, over steps; validation values as dots. Nothing for a log without values."""
    series: dict[str, list[tuple[int, float]]] = defaultdict(list)
    with log.open(newline="") as file:
        for row in csv.DictReader(file):
            series[row["name"]].append((int(row["step"]), float(row["value"])))
    if not series:
        return
    columns = 3
    rows = -(-len(series) // columns)
    figure, axes = pyplot.subplots(rows, columns, figsize=(4 * columns, 2.6 * rows), squeeze=False)
    for axis, (name, points) in zip(axes.flat, series.items(), strict=False):
        steps, values = zip(*points, strict=True)
        axis.plot(steps, values, "o-" if name.startswith("valid_") else "-", markersize=3, linewidth=1)
        axis.set_title(name)
        axis.set_xlabel("step")
    for axis in axes.flat[len(series) :]:
        axis.set_axis_off()
    figure.tight_layout()
    figure.savefig(target, dpi=80)
    pyplot.close(figure)
