"""Table 5, `words_emotion_top1`: the emotion that the server finds in held-out sentences, beside a keyword table."""

from __future__ import annotations

from collections.abc import AsyncIterator

from oncue_eval.figures import Figure
from oncue_eval.subject import Subject

__all__ = ["evaluate_word_emotions"]


async def evaluate_word_emotions(subject: Subject) -> AsyncIterator[Figure]:
    """Placeholder until the held-out list is there."""
    yield subject.figure("words_emotion_top1", None, "5", why="list not there yet")
