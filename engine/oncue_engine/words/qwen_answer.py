"""What the public language model said of a text, as eight weights (spec 4.4). Nothing but text in and numbers out."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence

from ..errors import GenerationFailed
from ..requests import EMOTION_NAMES, MAX_EMOTION_WEIGHT

__all__ = ["END_OF_THOUGHT_ID", "after_thought", "read_answer"]

END_OF_THOUGHT_ID = 151_668
"""`</think>` in the public vocabulary."""

_CHINESE = ("高兴", "愤怒", "悲伤", "恐惧", "反感", "低落", "惊讶", "自然")
_CATEGORIES = {**dict(zip(_CHINESE, EMOTION_NAMES, strict=True)), **{name: name for name in EMOTION_NAMES}}
_LABEL_KEYS = ("emotion", "emotion_label", "label", "情感", "情绪")
_MELANCHOLIC_WORDS = ("低落", "melancholy", "melancholic", "depression", "depressed", "gloomy")
_MAX_CHARS = 8_000
"""More than any answer has; what follows is not read."""

_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_PAIR = re.compile(
    # The bound on the label keeps the search linear; no label is as long.
    r"""([^\s"'“”:：.,{}\[\]]{1,24}+)["'”]?+\s*+[:：]\s*+["'“]?+(""" + _NUMBER.pattern + ")",
    re.ASCII,
)
_BLANKS_AND_QUOTES = " \t\r\n\"'“”.。"


def after_thought(ids: Sequence[int], end_of_thought: int) -> list[int]:
    """What follows the last `end_of_thought`; everything where there is none."""
    for position in range(len(ids) - 1, -1, -1):
        if ids[position] == end_of_thought:
            return list(ids[position + 1 :])
    return list(ids)


def read_answer(answer: str, words: str) -> dict[str, float]:
    """Weights of all EMOTION_NAMES, each in [0, 1.2], at least one above 0.

    `answer` is what the model said of `words`: an object of scores by label; one label, bare or under a key such as
    `emotion`; or anything that has `label: number` in it. Labels are the public ones, Chinese or English. What an
    object of scores does not name is 0; where nothing is above 0, the answer is calm. The model takes low spirits for
    sadness and the other way round: where the words name them, the two scores change places.

    Raises GenerationFailed (EMOTION_WORDS_UNREADABLE) for everything else, a score that is no finite number among it.
    """
    said = answer[:_MAX_CHARS].strip()
    try:
        found = json.loads(said)
    except (ValueError, RecursionError):  # a number of thousands of digits is a ValueError too
        pairs = {_category(label): float(number) for label, number in _PAIR.findall(said) if _category(label)}
        return _weights(pairs, words, answer) if pairs else _only(_label(said, answer))
    if isinstance(found, str):
        return _only(_label(found, answer))
    if not isinstance(found, dict):
        raise _unreadable(answer)
    scores = {_category(key): _score(value) for key, value in found.items() if _category(key)}
    if scores or not found:
        return _weights(scores, words, answer)
    for key in _LABEL_KEYS:
        if isinstance(found.get(key), str):
            return _only(_label(found[key], answer))
    raise _unreadable(answer)


def _category(label: str) -> str:
    """The emotion that a label means; empty for what is no label."""
    return _CATEGORIES.get(label.strip().lower(), "")


def _label(text: str, answer: str) -> str:
    name = _category(text.strip(_BLANKS_AND_QUOTES))
    if not name:
        raise _unreadable(answer)
    return name


def _score(value: object) -> float | None:
    """A score in an object, None for what is none. A label in a score's place means all of it."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return float(min(max(value, 0), 2))  # whole numbers may be longer than a float can be
    if isinstance(value, float):
        return value
    if isinstance(value, str):
        text = value.strip()
        return 1.0 if _category(text) else float(text) if _NUMBER.fullmatch(text) else None
    return None


def _weights(scores: Mapping[str, float | None], words: str, answer: str) -> dict[str, float]:
    known: dict[str, float] = {}
    for name, score in scores.items():
        if score is None or not math.isfinite(score):
            raise _unreadable(answer)
        known[name] = min(max(score, 0.0), MAX_EMOTION_WEIGHT) + 0.0  # no -0.0
    lowered = words.lower()
    if any(word in lowered for word in _MELANCHOLIC_WORDS):
        known["sad"], known["melancholic"] = known.get("melancholic", 0.0), known.get("sad", 0.0)
    if not any(known.values()):
        return _only("calm")
    return {name: known.get(name, 0.0) for name in EMOTION_NAMES}


def _only(category: str) -> dict[str, float]:
    return {name: float(name == category) for name in EMOTION_NAMES}


def _unreadable(answer: str) -> GenerationFailed:
    said = answer.strip()
    shown = ascii(said[:80]) + ("..." if len(said) > 80 else "")
    return GenerationFailed(
        f"the model that reads emotions gave no answer that can be read: {shown}",
        reason="EMOTION_WORDS_UNREADABLE",
        field="emotion.words",
    )
