"""US English as it is read aloud: the normaliser of the embedded model.

Plain rewriting rules over a text that remembers its origin (tracked_text.py), most specific first: Unicode folded,
addresses, abbreviations, numbers, acronyms, symbols, then punctuation down to the marks `, . ? !`. Every rule is total:
what none of them knows is passed over, and a text never comes out empty unless there was nothing in it to say.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from oncue_engine.errors import InvalidRequest
from oncue_engine.frontend.dictionary import Dictionary
from oncue_engine.frontend.english_numbers import NUMBER_RULES, Rule
from oncue_engine.frontend.english_words import (
    ABBREVIATION_RULES,
    ADDRESS_RULES,
    SYMBOL_RULES,
    WORD_RULES,
    acronym_rules,
)
from oncue_engine.frontend.marks import NamedMarks, without_marks
from oncue_engine.frontend.tracked_text import TrackedText
from oncue_engine.frontend.unicode_folding import fold_unicode

__all__ = ["EnglishNormaliser"]

_PUNCTUATION_RULES: tuple[Rule, ...] = (
    # A pause that trails off ends the sentence only where another one begins.
    (re.compile(r"\s*\.{2,}(?=\s*(?:[A-Z\"(']|$))"), lambda match: "."),
    (re.compile(r"\s*\.{2,}\s*"), lambda match: ", "),
    (re.compile(r"(?<=[.?!])[\"')\]}]+"), lambda match: ""),
    (re.compile(r"\s*(?:—|–|--+|\s-+\s)\s*"), lambda match: ", "),
    (re.compile(r"\s*[;:|]+(?=\s|$|\w)\s*"), lambda match: ", "),
    (re.compile(r"\s*[()\[\]{}]+\s*(?=[.,?!]|$)"), lambda match: ""),
    (re.compile(r"\s*[()\[\]{}]+\s*"), lambda match: ", "),
    (re.compile(r"(?<![A-Za-z])'|'(?![A-Za-z])"), lambda match: ""),
    (re.compile(r"[^A-Za-z0-9',.?! -]+"), lambda match: " "),
    (re.compile(r"(?<![A-Za-z])-+|-+(?![A-Za-z])"), lambda match: " "),
    (re.compile(r"\s*(?:[,.?!]\s*){2,}"), lambda match: _strongest(match.group())),
    (re.compile(r"\s+(?=[,.?!])"), lambda match: ""),
    (re.compile(r"(?<=[,.?!])(?=[A-Za-z])"), lambda match: " "),
    (re.compile(r"\s{2,}|[^\S ]"), lambda match: " "),
)
_PARAGRAPH = re.compile(r"(?<=[^\s.,:;?!])[ \t]*\n\s*\n\s*(?=\S)")
_LONG_RUN = re.compile(r"\S{100}(?=\S)")
"""No word or address is longer; cutting here keeps every rule's time linear in the text, whatever it is made of."""
_TAG = re.compile(r"</?[A-Za-z][^<>]*>")


def _strongest(marks: str) -> str:
    for mark in "?!.":
        if mark in marks:
            return mark + " "
    return ", "


class EnglishNormaliser:
    """`normalize` is a pure function of the text; the dictionary only tells words from acronyms."""

    def __init__(self, dictionary: Dictionary) -> None:
        self._rules: tuple[Rule, ...] = (
            (_PARAGRAPH, lambda match: ". "),
            (_TAG, lambda match: " "),
            (re.compile(r"\s+"), lambda match: " "),
            (_LONG_RUN, lambda match: match.group() + " "),
            *ADDRESS_RULES,
            *ABBREVIATION_RULES,
            *NUMBER_RULES,
            *WORD_RULES,
            *SYMBOL_RULES,
            *acronym_rules(dictionary),
            *_PUNCTUATION_RULES,
        )

    languages = ("en",)

    def language(self, text: str) -> str:
        return "en"

    def normalize(self, text: str) -> TrackedText:
        """`read`, for a text without marks."""
        return self.read(without_marks(text), "en")

    def read(self, text: TrackedText, language: str) -> TrackedText:
        """The text as it will be read: words of a to z, apostrophes and hyphens inside, and the marks `, . ? !`.

        Raises InvalidRequest (reason `TEXT_UNPRONOUNCEABLE`) for letters of a script that English is not written in.
        """
        named, names = NamedMarks.of(text)
        folded = fold_unicode(named)
        _refuse_other_scripts(folded.text)
        return _stripped(names.back(apply_rules(folded, self._rules)))


def apply_rules(text: TrackedText, rules: Iterable[Rule]) -> TrackedText:
    for pattern, replace in rules:
        text = text.sub(pattern, replace)
    return text


def _refuse_other_scripts(text: str) -> None:
    foreign = sorted({character for character in text if not character.isascii() and character.isalnum()} - {"µ"})
    if foreign:
        shown = "".join(foreign[:20])
        raise InvalidRequest(
            f"the loaded model reads English only; it cannot pronounce {shown!r}",
            reason="TEXT_UNPRONOUNCEABLE",
            field="text",
            metadata={"characters": shown},
        )


def _stripped(text: TrackedText) -> TrackedText:
    """Without blanks at the ends and marks before the first word, and with a mark that ends the last sentence."""
    start = len(text.text) - len(text.text.lstrip(" ,.?!'-"))
    stop = max(start, len(text.text.rstrip(" ,")))
    stripped = text.slice(start, stop)
    if not stripped.text or stripped.text[-1] in ".?!":
        return stripped
    end = stripped.ends[-1]
    return stripped + TrackedText(".", (end,), (end,))
