"""Many readings of one labelled sentence: related words for some of its words, a neutral neighbour, other marks.

A word that a dev or test sentence keeps for itself is never put in.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from oncue_engine.training.words.labelled import LabelledText

__all__ = ["Augment", "related_substitutes"]


@dataclass(frozen=True, slots=True)
class Augment:
    """Called with an item and a source of chance; the same chance gives the same reading."""

    substitutes: Mapping[str, tuple[str, ...]]
    plain_sentences: Sequence[str]
    """Neutral sentences that may stand before or behind."""
    swap_share: float = 0.12
    """Of the words that have substitutes."""
    drop_share: float = 0.04
    neighbour_share: float = 0.1
    unmarked_share: float = 0.2

    def __call__(self, item: LabelledText, rng: random.Random) -> LabelledText:
        words = []
        for word in item.text.split(" "):
            bare = re.sub(r"[^a-z'-]", "", word.lower())
            choices = self.substitutes.get(bare)
            if choices and rng.random() < self.swap_share:
                words.append(re.sub(re.escape(bare), lambda _: rng.choice(choices), word.lower(), count=1))  # noqa: B023
            elif rng.random() >= self.drop_share or len(item.text) < 12:
                words.append(word)
        text = " ".join(words) or item.text
        if rng.random() < self.unmarked_share:
            text = re.sub(r"[.!?]+$", rng.choice(["", ".", "!"]), text)
        if self.plain_sentences and rng.random() < self.neighbour_share and text[-1] in ".!?":
            other = rng.choice(self.plain_sentences)
            text = f"{other} {text}" if rng.random() < 0.5 else f"{text} {other}"
        return LabelledText(text, item.weights)


def related_substitutes(
    relations: Sequence[tuple[str, str, float]],
    words: set[str],
    refused_stems: frozenset[str],
    least_weight: float = 0.99,
) -> dict[str, tuple[str, ...]]:
    """Synonyms of each of `words` that begin with none of `refused_stems`."""
    refused = tuple(refused_stems)
    found: dict[str, set[str]] = {}
    for word, other, weight in relations:
        if word in words and weight >= least_weight and other.isalpha() and not other.startswith(refused):
            found.setdefault(word, set()).add(other)
    return {word: tuple(sorted(others)) for word, others in sorted(found.items())}
