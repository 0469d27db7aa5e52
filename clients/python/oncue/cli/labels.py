"""Options that take `name=value` pairs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import typer

__all__ = ["labels", "weights"]


def labels(pairs: Iterable[str]) -> Mapping[str, str]:
    """{"mood": "calm"} from ["mood=calm"]. Raises typer.BadParameter."""
    return dict(_pair(pair, "--label") for pair in pairs)


def weights(text: str) -> Mapping[str, float]:
    """{"happy": 0.8, "sad": 0.1} from "happy=0.8,sad=0.1". Raises typer.BadParameter."""
    found: dict[str, float] = {}
    for pair in text.split(","):
        name, value = _pair(pair.strip(), "--emotion-vector")
        try:
            found[name] = float(value)
        except ValueError:
            raise typer.BadParameter(f"{value!r} is not a number", param_hint="--emotion-vector") from None
    return found


def _pair(text: str, option: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise typer.BadParameter(f"{text!r} is not name=value", param_hint=option)
    return name, value
