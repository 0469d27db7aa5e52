"""WordNet as plain relations between words: what the language model learns word meanings from.

Reads the database files of Debian's `wordnet-base` (Princeton WordNet 3.0; format: `man 5 wndb`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["WORDNET_FOLDER", "Synset", "feeling_words", "read_wordnet", "related_words"]

WORDNET_FOLDER = Path("/usr/share/wordnet")
_PARTS = ("noun", "verb", "adj", "adv")
_LETTER_PARTS = {"n": "noun", "v": "verb", "a": "adj", "s": "adj", "r": "adv"}
_FEELING_FILES = {12, 37}
"""Lexicographer files noun.feeling and verb.emotion."""

_RELATION_WEIGHTS = {
    "&": 0.7,  # similar to
    "+": 0.8,  # derived form
    "\\": 0.7,  # pertains to, or the adjective of an adverb
    "=": 0.5,  # attribute
    "^": 0.5,  # also see
    "$": 0.7,  # verb group
    "@": 0.35,  # kind of
    "~": 0.35,  # has kinds
    "*": 0.4,  # entails
    ">": 0.5,  # causes
}


@dataclass(frozen=True, slots=True)
class Synset:
    key: tuple[str, int]
    """Part of speech and byte offset."""
    words: tuple[str, ...]
    """Lower case, blanks for underscores."""
    relations: tuple[tuple[str, tuple[str, int]], ...]
    """Pointer symbol, and the synset that it leads to."""
    definition: str
    examples: tuple[str, ...]
    about_feeling: bool
    """The lexicographers filed it under feelings."""


def _synset(line: str) -> Synset:
    data, _, gloss = line.partition(" | ")
    fields = data.split()
    part = _LETTER_PARTS[fields[2]]
    count = int(fields[3], 16)
    words = tuple(
        re.sub(r"\(\w+\)$", "", fields[4 + 2 * i]).replace("_", " ").lower() for i in range(count)
    )  # "(a)", "(p)", "(ip)" tell where an adjective may stand
    at = 4 + 2 * count
    pointers = [fields[at + 1 + 4 * i : at + 5 + 4 * i] for i in range(int(fields[at]))]
    examples = tuple(re.findall(r'"([^"]+)"', gloss))
    definition = re.sub(r'[;,]?\s*"[^"]*"[^;"]*', "", gloss).strip(" ;")
    return Synset(
        key=(part, int(fields[0])),
        words=words,
        relations=tuple((symbol, (_LETTER_PARTS[letter], int(offset))) for symbol, offset, letter, _ in pointers),
        definition=definition,
        examples=examples,
        about_feeling=int(fields[1]) in _FEELING_FILES,
    )


def read_wordnet(folder: Path = WORDNET_FOLDER) -> dict[tuple[str, int], Synset]:
    """All synsets by their key. Raises FileNotFoundError where `wordnet-base` is not installed."""
    found = {}
    for part in _PARTS:
        for line in (folder / f"data.{part}").read_text("latin-1").splitlines():
            if not line.startswith("  "):  # the licence's lines
                synset = _synset(line)
                found[synset.key] = synset
    return found


def related_words(synsets: dict[tuple[str, int], Synset]) -> Iterator[tuple[str, str, float]]:
    """Pairs of words with a weight in (0, 1]: synonyms 1, neighbours over a relation less."""
    for synset in synsets.values():
        for word in synset.words:
            for other in synset.words:
                if other != word:
                    yield word, other, 1.0
            for symbol, key in synset.relations:
                weight = _RELATION_WEIGHTS.get(symbol)
                if weight is None:
                    continue
                for other in synsets[key].words:
                    if other != word:
                        yield word, other, weight


def feeling_words(synsets: dict[tuple[str, int], Synset]) -> set[str]:
    """Single words of synsets about feelings, and of those up to two relations away; similar adjectives a third."""
    near = {key for key, synset in synsets.items() if synset.about_feeling}
    for followed in (None, "&+\\=^", "&"):
        near |= {
            key for start in near for symbol, key in synsets[start].relations if followed is None or symbol in followed
        }
    return {word for key in near for word in synsets[key].words if word.isalpha()}
