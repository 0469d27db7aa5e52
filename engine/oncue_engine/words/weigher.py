"""What turns words into emotion weights, whatever model stands behind it."""

from __future__ import annotations

from typing import Protocol

__all__ = ["WordsWeigher"]


class WordsWeigher(Protocol):
    """A loaded model: the student of the embedded model (student.py) or the public one's Qwen (qwen_words.py)."""

    @property
    def emotions(self) -> tuple[str, ...]:
        """The names that `weigh` gives, among the public eight."""

    def weigh(self, text: str) -> dict[str, float]:
        """Weights by name, each in [0, 1.2], at least one above 0. Blocks while the model works.

        Raises ValueError for a text that no model could weigh, GenerationFailed (EMOTION_WORDS_*) where this one did
        not, CheckpointError where its files turn out to be damaged.
        """

    def warm_up(self) -> None:
        """Make the first answer as quick as the others, where that takes no more than a moment."""

    def close(self) -> None:
        """Let go of what the model runs in. Whoever waits for an answer gets GenerationFailed (ENGINE_CLOSED)."""
