"""Words to phones, as the embedded model's teachers say them: dictionary, word forms, then the letters themselves.

In running text "the" is `dh iy` before a vowel, a possessive or shortened verb takes the voice of the sound before it,
and words that are nouns and verbs are told apart by their neighbours (homographs.py).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from oncue_engine.frontend.dictionary import Dictionary
from oncue_engine.frontend.homographs import reads_as_verb
from oncue_engine.frontend.letters_to_sounds import LettersToSounds
from oncue_engine.frontend.phones import VOWELS

__all__ = ["Pronouncer", "spell_out", "with_s"]

Phones = tuple[str, ...]

_SIBILANTS = frozenset(("s", "z", "sh", "zh", "ch", "jh"))
_VOICELESS = frozenset(("p", "t", "k", "f", "th"))
_LETTER_NAMES: dict[str, Phones] = {
    letter: tuple(phones.split())
    for letter, phones in {
        "a": "ey", "b": "b iy", "c": "s iy", "d": "d iy", "e": "iy", "f": "eh f", "g": "jh iy", "h": "ey ch",
        "i": "ay", "j": "jh ey", "k": "k ey", "l": "eh l", "m": "eh m", "n": "eh n", "o": "ow", "p": "p iy",
        "q": "k y uw", "r": "aa r", "s": "eh s", "t": "t iy", "u": "y uw", "v": "v iy", "w": "d ah b ax l y uw",
        "x": "eh k s", "y": "w ay", "z": "z iy",
    }.items()
}  # fmt: skip
_SHORT_VERBS: dict[str, Phones] = {"'ll": ("ax", "l"), "'ve": ("ax", "v"), "'re": ("er",), "'d": ("d",), "'m": ("m",)}
_MIN_STEM = 3
_MAX_SPELLED = 6
_VOWEL_LETTERS = re.compile("[aeiouy']")
_DRAWN_OUT = re.compile(r"(.)\1{2,}")
_MAX_CACHED_WORDS = 20_000


def spell_out(letters: str) -> Phones:
    """Names of the letters a to z one after another; other characters are passed over."""
    return tuple(phone for letter in letters.lower() for phone in _LETTER_NAMES.get(letter, ()))


def with_s(stem: Phones) -> Phones:
    """A plural or possessive: `ax z` after a hiss, else `s` or `z` with the voice of the sound before."""
    if stem[-1] in _SIBILANTS:
        return (*stem, "ax", "z")
    return (*stem, "s" if stem[-1] in _VOICELESS else "z")


def _with_d(stem: Phones) -> Phones:
    if stem[-1] in ("t", "d"):
        return (*stem, "ax", "d")
    return (*stem, "t" if stem[-1] in _VOICELESS or stem[-1] in ("s", "sh", "ch") else "d")


@dataclass(slots=True)
class Pronouncer:
    """Pronounces lower-case English words. Unlisted words are remembered, so a long text pays for each only once."""

    dictionary: Dictionary
    letters: LettersToSounds
    _known: dict[str, Phones] = field(default_factory=dict)

    @classmethod
    def load(cls) -> Pronouncer:
        """With the data in the package. Raises CheckpointError when that is damaged."""
        return cls(Dictionary.load(), LettersToSounds.load())

    def sentence(self, words: Sequence[str], given: Mapping[int, Phones] | None = None) -> list[Phones]:
        """Phones of each word of a clause; `words` are lower case (a to z, apostrophes inside).

        `given`: phones of words that are not to be looked up, by their index.
        """
        known = given or {}
        spoken = [
            known.get(index)
            or self.word(word, before=words[index - 1] if index else "", after="".join(words[index + 1 : index + 2]))
            for index, word in enumerate(words)
        ]
        for index, word in enumerate(words[:-1]):
            if word == "the" and index not in known and spoken[index + 1][0] in VOWELS:
                spoken[index] = ("dh", "iy")
        return spoken

    def word(self, word: str, *, before: str = "", after: str = "") -> Phones:
        """Phones of one lower-case word, never empty for a word with a letter in it."""
        entry = self.dictionary.entries.get(word)
        if entry is not None:
            verb = len(entry) > 1 and reads_as_verb(word, before, after)
            phones = self.dictionary.pronounce(word, verb=verb)
            if phones:
                return phones
        known = self._known.get(word)
        if known is None:
            known = self._unlisted(word)
            if len(self._known) < _MAX_CACHED_WORDS:
                self._known[word] = known
        return known

    def _unlisted(self, word: str) -> Phones:
        if _DRAWN_OUT.search(word):
            # "sooo": a listed word with its last letter drawn out, else at most two of each letter.
            return self.word(
                next(filter(self.dictionary.__contains__, _shortenings(word)), _DRAWN_OUT.sub(r"\1\1", word))
            )
        if len(word) <= _MAX_SPELLED and not _VOWEL_LETTERS.search(word):
            return spell_out(word)
        return self._shortened(word) or self._form(word) or self.letters.phones(word) or spell_out(word)

    def _shortened(self, word: str) -> Phones | None:
        """A word with an apostrophe: possessive, short verb, or parts such as "o'clock"."""
        if "'" not in word:
            return None
        stem, _, ending = word.rpartition("'")
        if not stem.replace("'", "") or not ending:
            return self.word(word.replace("'", "")) if word.strip("'") else None
        if ending == "s":
            return with_s(self.word(stem))
        if ending == "t" and stem.endswith("n") and len(stem) > 1:
            return (*self.word(stem[:-1]), "ax", "n", "t")
        short_verb = _SHORT_VERBS.get("'" + ending)
        if short_verb is not None:
            return (*self.word(stem), *short_verb)
        return (*self.word(stem), *self.word(ending))

    def _form(self, word: str) -> Phones | None:
        """A form of a listed word: plural, past, -ing, -er, -est, -ly, -ness, -less, -ful, or two words in one."""
        if word.endswith("in") and word + "g" in self.dictionary:
            return (*self.word(word + "g")[:-1], "n")
        for ending, join in _ENDINGS:
            if word.endswith(ending) and len(word) - len(ending) >= _MIN_STEM - 1:
                for stem in _stems(word[: -len(ending)], ending):
                    phones = self.dictionary.pronounce(stem, verb=ending in ("ing", "ed", "er"))
                    if phones:
                        return join(phones)
        return None


def _shortenings(word: str) -> tuple[str, str]:
    return _DRAWN_OUT.sub(r"\1", word), _DRAWN_OUT.sub(r"\1\1", word)


def _stems(rest: str, ending: str) -> list[str]:
    """Listed words that `rest` may be the start of: "hop" and "hope" for "hop" + ing, "carry" for "carri" + es."""
    stems = [rest] if len(rest) >= _MIN_STEM else []
    if ending in ("ed", "ing", "er", "est", "es"):
        if ending != "es" or rest.endswith(("s", "z", "x", "ch", "sh", "i")):
            if len(rest) > _MIN_STEM and rest[-1] == rest[-2]:
                stems.insert(0, rest[:-1])
            if rest.endswith("i"):
                stems.insert(0, rest[:-1] + "y")
            elif ending != "es":
                stems.insert(0, rest + "e")
        else:
            stems = []
    elif ending in ("ly", "ness", "less", "ful") and rest.endswith("i"):
        stems.append(rest[:-1] + "y")
    return stems


_ENDINGS = (
    ("es", with_s),
    ("s", with_s),
    ("ed", _with_d),
    ("ing", lambda stem: (*stem, "ih", "ng")),
    ("er", lambda stem: (*stem, "er")),
    ("est", lambda stem: (*stem, "ax", "s", "t")),
    ("ly", lambda stem: (*stem, "l", "iy")),
    ("ness", lambda stem: (*stem, "n", "ax", "s")),
    ("less", lambda stem: (*stem, "l", "ax", "s")),
    ("ful", lambda stem: (*stem, "f", "ax", "l")),
)
