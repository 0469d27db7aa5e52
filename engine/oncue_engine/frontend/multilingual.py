"""Text as IndexTTS-2.5 reads it, in five languages (spec 9).

    punctuation mapped -> numbers and dates to words (zh, en) -> case -> words apart (ja)

A pronunciation is a mark all the while (marks.py). To the model it is kana with blanks around them, or anything else in
upper case between two tokens that tell whether the word has Chinese characters. Japanese, Spanish and Arabic are not
normalised: their numbers stay digits.
"""

from __future__ import annotations

import re
from itertools import pairwise

from oncue_engine.frontend.japanese import JapaneseWords
from oncue_engine.frontend.marks import MARK, Pronounced, UnreadablePronunciation
from oncue_engine.frontend.normalize import PublicNormaliser
from oncue_engine.frontend.punctuation import plain_marks
from oncue_engine.frontend.tiktoken_tokenizer import PRONUNCIATION_MARKS
from oncue_engine.frontend.tracked_text import TrackedText

__all__ = ["LANGUAGES", "MultilingualNormaliser", "pronounce", "spelled_out"]

LANGUAGES = ("zh", "en", "ja", "es", "ar")

_NORMALISED = frozenset(("zh", "en"))
_LOWER, _UPPER = frozenset(("zh", "en", "ja")), frozenset(("es",))

_KANA = re.compile("[\u3040-\u309f]+|[\u30a0-\u30ff]+")
_CHINESE = re.compile("[\u4e00-\u9fff]")
_OTHER_BLANK = re.compile(r"[\r\t]")


class MultilingualNormaliser:
    """Thread-safe. Loads the grammars of Chinese and English (half a second) on construction."""

    def __init__(self) -> None:
        self._public = PublicNormaliser()
        self._words = JapaneseWords()

    def read(self, text: TrackedText, language: str) -> TrackedText:
        """The text as it will be read; marks stay in their places. `language` is one of LANGUAGES.

        Raises Unsupported (LANGUAGE_PACKAGE_MISSING).
        """
        text = text.sub(_OTHER_BLANK, lambda match: " ")
        text = plain_marks(text)
        if language in _NORMALISED:
            text = self._public.read(text, language)
        if language in _LOWER:
            text = text.map_characters(str.lower)
        elif language in _UPPER:
            text = text.map_characters(str.upper)
        if language == "ja":
            text = TrackedText.joined([self._words.spaced(part) for part in _between_marks(text)])
        return text


def pronounce(word: str, pronunciation: str) -> tuple[str, ...]:
    """`marks.Pronounce`: one unit, in upper case. There is no list of them: anything with a letter in it is read."""
    if not any(character.isalpha() for character in pronunciation):
        raise UnreadablePronunciation(pronunciation, "a pronunciation with letters in it")
    return (pronunciation.upper(),)


def spelled_out(pronounced: Pronounced) -> str:
    """What the tokenizer gets for a mark, with its special tokens."""
    (spoken,) = pronounced.units
    if _KANA.fullmatch(spoken):
        return f" {spoken} "
    mark = PRONUNCIATION_MARKS[1 if _CHINESE.search(pronounced.word) else 0]
    return f"{mark}{spoken}{mark}"


def _between_marks(text: TrackedText) -> list[TrackedText]:
    """The text cut before and after every mark."""
    cuts = [0, *(place for match in MARK.finditer(text.text) for place in match.span()), len(text.text)]
    return [text.slice(begin, end) for begin, end in pairwise(cuts) if begin < end]
