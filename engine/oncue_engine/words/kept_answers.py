"""Answers on disk: the weights that words came down to, so that a restart replays the same and asks nobody again.

One file for each model, one line for each text: the SHA-256 of the text, not the text itself, and its weights.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from pathlib import Path

from ..requests import EMOTION_NAMES, MAX_EMOTION_WEIGHT, EmotionWeights

__all__ = ["KeptAnswers"]

_logger = logging.getLogger(__name__)

_MAX_ANSWERS = 8192
_FORMAT = "1"
"""Another one wherever a model's answers are asked for or read in another way."""


class KeptAnswers:
    """Any thread may `find`; one at a time may `keep`. A file that cannot be read or written costs only its answers."""

    def __init__(self, folder: Path, fingerprint: str) -> None:
        """`fingerprint`: of the model that answers."""
        self._path = folder / f"{fingerprint}-{_FORMAT}.jsonl"
        self._answers = _read(self._path)

    def find(self, text: str) -> EmotionWeights | None:
        """The answer to a text, if it is kept."""
        return self._answers.get(_key(text))

    def keep(self, text: str, weights: EmotionWeights) -> None:
        """Keep an answer from now on; the oldest make room."""
        self._answers[_key(text)] = weights
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if len(self._answers) > _MAX_ANSWERS:
                self._write_all()
            else:
                with self._path.open("a", encoding="ascii") as file:
                    file.write(_line(_key(text), weights))
        except OSError as error:
            _logger.warning("%s cannot be written, answers are kept in memory only: %s", self._path, error)

    def _write_all(self) -> None:
        """Half of the answers, the youngest, in a new file: so that most answers are only appended."""
        while len(self._answers) > _MAX_ANSWERS // 2:
            del self._answers[next(iter(self._answers))]
        new = self._path.with_suffix(f".{os.getpid()}")
        new.write_text("".join(_line(key, weights) for key, weights in self._answers.items()), encoding="ascii")
        new.replace(self._path)


def _key(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _line(key: str, weights: EmotionWeights) -> str:
    # The break comes first: a line that was cut short by a crash does not swallow the next.
    return "\n" + json.dumps({"text_sha256": key, "weights": weights.weights})


def _read(path: Path) -> dict[str, EmotionWeights]:
    """Every whole line."""
    try:
        lines = path.read_text(encoding="ascii", errors="replace").splitlines()
    except FileNotFoundError:
        return {}
    except OSError as error:
        _logger.warning("%s cannot be read, its answers are found again: %s", path, error)
        return {}
    found: dict[str, EmotionWeights] = {}
    for line in lines:
        try:
            content = json.loads(line)
            weights = EmotionWeights(tuple(float(weight) for weight in content["weights"]))
            key = str(content["text_sha256"])
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
            continue
        if len(weights.weights) == len(EMOTION_NAMES) and all(
            0.0 <= weight <= MAX_EMOTION_WEIGHT for weight in weights.weights
        ):
            found[key] = weights
    return found
