"""Labelled sentences: one JSON object a line, `{"text": ..., "weights": {emotion: share}}`."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from oncue_engine.words.student import EMOTIONS

__all__ = [
    "DATA_FOLDER",
    "LabelledText",
    "emotion_words",
    "held_out_stems",
    "read_labelled",
    "scaled",
    "write_labelled",
]

DATA_FOLDER = Path(__file__).parent / "data"


@dataclass(frozen=True, slots=True)
class LabelledText:
    text: str
    weights: tuple[float, ...]
    """By EMOTIONS, with sum 1."""

    @property
    def strongest(self) -> int:
        """Index among EMOTIONS."""
        return max(range(len(EMOTIONS)), key=lambda i: self.weights[i])


def _labelled(line: str, place: str) -> LabelledText:
    try:
        item = json.loads(line)
        text, given = item["text"], item["weights"]
        weights = [float(given.get(name, 0.0)) for name in EMOTIONS]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{place}: needed is {{'text': ..., 'weights': {{emotion: share}}}} ({error!r})") from error
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f"{place}: the text is empty")
    unknown = sorted(set(given) - set(EMOTIONS))
    if unknown:
        raise ValueError(f"{place}: unknown emotions {', '.join(unknown)}; there are {', '.join(EMOTIONS)}")
    return LabelledText(text, scaled(weights, f"{place}: the weights"))


def scaled(values: Sequence[float], what: str) -> tuple[float, ...]:
    """`values` with sum 1. ValueError where they cannot be shares."""
    total = sum(values)
    if not math.isfinite(total) or min(values) < 0 or total <= 0:
        raise ValueError(f"{what} must be finite, not negative, and not all zero")
    return tuple(value / total for value in values)


def read_labelled(path: Path) -> list[LabelledText]:
    """All lines, weights scaled to sum 1. ValueError names the line that is wrong."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [_labelled(line, f"{path.name}:{i}") for i, line in enumerate(lines, 1) if line.strip()]


def write_labelled(items: Iterable[LabelledText], path: Path) -> None:
    """One line for each item; shares of zero are left out."""
    with path.open("w", encoding="utf-8") as file:
        for item in items:
            weights = {name: round(w, 3) for name, w in zip(EMOTIONS, item.weights, strict=True) if round(w, 3) > 0}
            file.write(json.dumps({"text": item.text, "weights": weights}, ensure_ascii=False) + "\n")


def emotion_words() -> dict[str, dict[str, list[str]]]:
    """Words that name an emotion, for templates: by emotion, then `adjectives`, `nouns` and `actions`."""
    found: dict[str, dict[str, list[str]]] = json.loads(
        (DATA_FOLDER / "emotion_words.json").read_text(encoding="utf-8")
    )
    return found


def held_out_stems() -> frozenset[str]:
    """Beginnings of the emotion words of the dev and test lists: no training sentence has a word that starts so."""
    stems = json.loads((DATA_FOLDER / "held_out_stems.json").read_text(encoding="utf-8"))
    return frozenset(stems["dev"]) | frozenset(stems["test"])
