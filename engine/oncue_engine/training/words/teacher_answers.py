"""A teacher's answers become labelled lines: `python -m oncue_engine.training.words.teacher_answers TEXTS ANSWERS OUT`.

TEXTS has one sentence a line, numbered from 1 where they were put behind prompts/label.txt. ANSWERS is what the teacher
replied: JSON objects `{"line": 1, "points": {"sad": 80}}`, one a line; what stands around them (fences, remarks) is
passed over. Lines without a usable answer are left out and named, so that they can be asked again.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from oncue_engine.training.words.labelled import LabelledText, scaled, write_labelled
from oncue_engine.words.student import EMOTIONS

__all__ = ["Harvest", "harvest_answers"]


@dataclass(frozen=True, slots=True)
class Harvest:
    items: list[LabelledText]
    unanswered: list[int]
    """Line numbers from 1."""
    refused: list[str]
    """Why an answer was not used, with its line number."""


def _points(answer: dict[str, object]) -> tuple[float, ...]:
    """Shares by EMOTIONS. ValueError says what is wrong."""
    points = answer.get("points")
    if not isinstance(points, dict) or not points:
        raise ValueError("no points")
    unknown = sorted(set(points) - set(EMOTIONS))
    if unknown:
        raise ValueError(f"unknown feelings {', '.join(unknown)}")
    try:
        shares = [float(points.get(name, 0)) for name in EMOTIONS]
    except (TypeError, ValueError):
        raise ValueError("points that are no numbers") from None
    return scaled(shares, "points")


def harvest_answers(texts: Sequence[str], answers: str) -> Harvest:
    """Join texts and answers; of two answers to one line the later one holds."""
    found: dict[int, LabelledText] = {}
    refused = []
    for raw in answers.splitlines():
        if not raw.strip().startswith("{"):
            continue
        try:
            answer = json.loads(raw.strip().rstrip(","))
            number = answer["line"]
            if not isinstance(number, int) or not 1 <= number <= len(texts):
                raise ValueError(f"there is no line {number!r}")
            found[number] = LabelledText(texts[number - 1], _points(answer))
        except (ValueError, KeyError) as error:
            refused.append(f"{raw.strip()[:60]}: {error}")
    missing = [number for number in range(1, len(texts) + 1) if number not in found]
    return Harvest([found[number] for number in sorted(found)], missing, refused)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", type=Path)
    parser.add_argument("answers", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    texts = [line.strip() for line in options.texts.read_text(encoding="utf-8").splitlines() if line.strip()]
    harvest = harvest_answers(texts, options.answers.read_text(encoding="utf-8"))
    write_labelled(harvest.items, options.out)
    for why in harvest.refused:
        print(f"refused: {why}", file=sys.stderr)
    if harvest.unanswered:
        print(f"without an answer: {', '.join(map(str, harvest.unanswered))}", file=sys.stderr)
    print(f"{len(harvest.items)} of {len(texts)} lines are labelled")


if __name__ == "__main__":
    main()
