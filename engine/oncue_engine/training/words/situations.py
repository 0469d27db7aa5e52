"""Training sentences about what happens to people: frames whose event tells the emotion, filled with people and things.

They teach which things mean joy, loss, danger, dirt or wonder where no word names a feeling.
"""

from __future__ import annotations

import json
import random
import string

from oncue_engine.training.words.labelled import DATA_FOLDER, LabelledText
from oncue_engine.words.student import EMOTIONS

__all__ = ["situation_texts"]

_SURE = 0.88


def _filled(frame: str, slots: dict[str, list[str]], rng: random.Random) -> str:
    """A slot that begins with a capital is filled with one."""
    chosen = {}
    for _, name, _, _ in string.Formatter().parse(frame):
        if name is not None:
            word = rng.choice(slots[name.lower()])
            chosen[name] = word[:1].upper() + word[1:] if name[0].isupper() else word
    return frame.format(**chosen)


def situation_texts(count: int, seed: int) -> list[LabelledText]:
    """`count` sentences drawn with `seed`, the emotions in equal parts; some may repeat."""
    content = json.loads((DATA_FOLDER / "situations.json").read_text(encoding="utf-8"))
    rng = random.Random(seed)
    rest = (1 - _SURE) / (len(EMOTIONS) - 1)
    made = []
    for i in range(count):
        name = EMOTIONS[i % len(EMOTIONS)]
        weights = tuple(_SURE if name == other else rest for other in EMOTIONS)
        made.append(LabelledText(_filled(rng.choice(content["frames"][name]), content["slots"], rng), weights))
    return made
