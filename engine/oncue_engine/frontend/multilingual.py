"""Text as IndexTTS-2.5 reads it, in five languages (spec 9).

    punctuation mapped -> numbers and dates to words (zh, en) -> case -> words apart (ja) -> pronunciations marked

A pronunciation is written `<word|pron>`: kana stand in the text with blanks around them, anything else goes upper case
between two marks that tell whether the word has Chinese characters. Japanese, Spanish and Arabic are not normalised:
their numbers stay digits.
"""

from __future__ import annotations

import re
from itertools import pairwise

from oncue_engine.frontend.japanese import JapaneseWords
from oncue_engine.frontend.normalize import PublicNormaliser
from oncue_engine.frontend.tiktoken_tokenizer import PRONUNCIATION_MARKS
from oncue_engine.frontend.tracked_text import TrackedText

__all__ = ["LANGUAGES", "MultilingualNormaliser"]

LANGUAGES = ("zh", "en", "ja", "es", "ar")

_NORMALISED = frozenset(("zh", "en"))
_LOWER, _UPPER = frozenset(("zh", "en", "ja")), frozenset(("es",))

_ANNOTATION = re.compile(r"<([^<|>\n]+)\|([^|>\n]+)>")
_KANA = re.compile("[\u3040-\u309f]+|[\u30a0-\u30ff]+")
_CHINESE = re.compile("[\u4e00-\u9fff]")
_SPECIAL_OPENING = re.compile(r"<(?=\|)")
_OTHER_BLANK = re.compile(r"[\r\t]")

_MARK_GROUPS = (
    ("：；;，、:", ","),
    ("。", "."),
    ("！", "!"),
    ("？", "?"),
    ("\n", " "),
    ("·—～~", "-"),
    ('“”"‘’（）()《》【】[]「」', "'"),
)
_MARKS = {mark: plain for group, plain in _MARK_GROUPS for mark in group}
_MARK = re.compile(rf"\.\.\.|,,,|……|[{re.escape(''.join(_MARKS))}]")


class MultilingualNormaliser:
    """Thread-safe. Loads the grammars of Chinese and English (half a second) on construction."""

    def __init__(self) -> None:
        self._public = PublicNormaliser()
        self._words = JapaneseWords()

    def normalize(self, text: str, language: str) -> TrackedText:
        """The text as it will be read; `language` is one of LANGUAGES.

        The only special tokens in it are PRONUNCIATION_MARKS around pronunciations: what looks like a special token in
        `text` is taken apart by a blank. Raises Unsupported (LANGUAGE_PACKAGE_MISSING).
        """
        tracked = TrackedText.of(text).sub(_OTHER_BLANK, lambda match: " ")
        tracked = tracked.sub(_MARK, lambda match: _MARKS.get(match.group(), "…"))
        if language in _NORMALISED:
            tracked = tracked.then(self._public.normalize(tracked.text))
        if language in _LOWER:
            tracked = tracked.map_characters(str.lower)
        elif language in _UPPER:
            tracked = tracked.map_characters(str.upper)
        return TrackedText.joined([self._finished(part, language) for part in _parts(tracked)])

    def _finished(self, part: TrackedText, language: str) -> TrackedText:
        """A pronunciation with its marks, or the words between two pronunciations."""
        if _ANNOTATION.fullmatch(part.text):
            return part.sub(_ANNOTATION, _pronunciation)
        part = part.sub(_SPECIAL_OPENING, lambda match: "< ")
        return self._words.spaced(part) if language == "ja" else part


def _parts(text: TrackedText) -> list[TrackedText]:
    """The text cut before and after every pronunciation."""
    cuts = [0, *(place for match in _ANNOTATION.finditer(text.text) for place in match.span()), len(text.text)]
    return [text.slice(begin, end) for begin, end in pairwise(cuts) if begin < end]


def _pronunciation(match: re.Match[str]) -> str:
    word, spoken = match[1], match[2].upper()
    if _KANA.fullmatch(spoken):
        return f" {spoken} "
    mark = PRONUNCIATION_MARKS[1 if _CHINESE.search(word) else 0]
    return f"{mark}{spoken}{mark}"
