"""What the small language model reads before it is tuned: sentences, and what words mean.

Lines about meaning all end in the slot that tuning will use later, `<text><SLOT> <word>`: a definition and the word
that it defines, an example and what it is an example of, a word and a related one. So the model learns to put the sense
of what it has read into one word, long before it is told which seven words we are after.
"""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from oncue_engine.training.words.wordnet import Synset, feeling_words, read_wordnet, related_words

__all__ = ["SLOT", "MeaningLine", "gloss_texts", "meaning_lines", "plain_words", "sense_texts"]

SLOT = "\nin a word:"
_MIN_RELATED_WEIGHT = 0.5


@dataclass(frozen=True, slots=True)
class MeaningLine:
    """A text, and the words that could fill the slot after it."""

    text: str
    answers: tuple[str, ...]
    about_feeling: bool


def plain_words(text: str) -> list[str]:
    """Lower-case words of a text, without marks."""
    return re.findall(r"[a-z]+(?:'[a-z]+)?", text.lower().replace("’", "'"))


def gloss_texts(synsets: Sequence[Synset]) -> list[str]:
    """Each definition behind its words, and each example: running text for the word vectors."""
    texts = []
    for synset in synsets:
        texts.append(f"{' '.join(synset.words)} {synset.definition}")
        texts.extend(synset.examples)
    return texts


def sense_texts(synsets: Sequence[Synset]) -> list[str]:
    """Examples of three words and more: sentences and phrases to read."""
    return [example for synset in synsets for example in synset.examples if example.count(" ") >= 2]


def meaning_lines() -> list[MeaningLine]:
    """All lines about meaning that WordNet gives; the answers are single words."""
    synsets = read_wordnet()
    feeling = feeling_words(synsets)
    lines = []
    for synset in synsets.values():
        answers = tuple(word for word in synset.words if word.isalpha())
        if not answers or any(word[0].isdigit() for word in synset.words):
            continue
        about = synset.about_feeling or any(word in feeling for word in answers)
        lines.append(MeaningLine(synset.definition, answers, about))
        near = tuple(
            word
            for symbol, key in synset.relations
            if symbol in "&+\\=^"
            for word in synsets[key].words
            if word.isalpha()
        )
        lines.extend(MeaningLine(example, near or answers, about) for example in synset.examples)
    related: dict[str, set[str]] = defaultdict(set)
    for word, other, weight in related_words(synsets):
        if weight >= _MIN_RELATED_WEIGHT and word.isalpha() and other.isalpha():
            related[word].add(other)
    lines.extend(MeaningLine(word, tuple(sorted(others)), word in feeling) for word, others in sorted(related.items()))
    random.Random(0).shuffle(lines)
    return lines
