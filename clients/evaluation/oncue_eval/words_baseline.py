"""Words as emotion: the held-out sentences, and the table of keywords that a model has to beat.

data/words/test.jsonl was written by hand and never seen in training; no emotion word of it, and no run of four words,
is in the training sentences. data/words/keywords.json has, for each word of the training sentences, how much it speaks
for each emotion (log-odds, naive Bayes): the best that can be had from those words without knowing any others.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources

__all__ = ["EmotionSentence", "emotion_sentences", "keyword_emotion", "keyword_table", "keyword_top1", "word_stem"]

_NO_KEYWORD = "calm"


@dataclass(frozen=True, slots=True)
class EmotionSentence:
    text: str
    weights: Mapping[str, float]
    """Share of each emotion, with sum 1."""
    emotion_words: tuple[str, ...]
    """Words that name or show the emotion outright; none where the content has to tell."""

    @property
    def strongest(self) -> str:
        return max(self.weights, key=lambda name: self.weights[name])


def emotion_sentences(limit: int | None = None) -> list[EmotionSentence]:
    """The held-out sentences in the order of the file, or the first `limit` of them, the emotions in turn."""
    lines = (resources.files("oncue_eval") / "data" / "words" / "test.jsonl").read_text(encoding="utf-8").splitlines()
    items = [json.loads(line) for line in lines]
    return [EmotionSentence(i["text"], i["weights"], tuple(i["emotion_words"])) for i in items][:limit]


def keyword_table() -> dict[str, dict[str, float]]:
    """Log-odds of each emotion by word stem; the entry with the empty stem is what holds without any word."""
    path = resources.files("oncue_eval") / "data" / "words" / "keywords.json"
    table: dict[str, dict[str, float]] = json.loads(path.read_text(encoding="utf-8"))
    return table


def word_stem(word: str) -> str:
    """A word without its commonest endings, so that the table knows a word in all its forms."""
    for ending in ("ingly", "edly", "fully", "ness", "ing", "ful", "ed", "ly", "es", "s", "e", "y"):
        if word.endswith(ending) and len(word) - len(ending) >= 4:
            return word[: -len(ending)]
    return word


def keyword_emotion(text: str, table: Mapping[str, Mapping[str, float]]) -> str:
    """The emotion that the table's words speak for most; calm where it knows none of them."""
    scores = dict(table[""])
    known = 0
    for word in re.findall(r"[a-z']+", text.lower()):
        for name, value in table.get(word_stem(word), {}).items():
            scores[name] = scores.get(name, 0.0) + value
            known += 1
    return max(scores, key=lambda name: scores[name]) if known else _NO_KEYWORD


def keyword_top1(sentences: Sequence[EmotionSentence], table: Mapping[str, Mapping[str, float]]) -> float:
    """Share of sentences whose strongest emotion the table finds. ValueError without sentences."""
    if not sentences:
        raise ValueError("no sentences to judge")
    return sum(keyword_emotion(s.text, table) == s.strongest for s in sentences) / len(sentences)
