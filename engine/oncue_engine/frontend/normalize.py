"""Text as the public models read it: written forms to words, Chinese and English (spec 2.2).

Numbers, dates and the like go through the `wetext` package (finite-state grammars, no pynini). Where the public
pipeline, or that package, loses or mangles text, it is mended here:

1. Text that the grammars fail on stays as it was written, in both languages; it is never lost. The grammars get one
   sentence at a time, and of one that they fail on either half, so that hardly more than a word stays so.
2. Quotes and backslashes that the package hands back escaped are put right.
3. "2.5.1" keeps its first point ("two point five point one").
4. More than 26 protected pinyin syllables or names in one text stay apart; what looks like a placeholder in the user's
   own text is not taken for one, nor its last character and a "=" behind it for ">=".
5. An English word after a number in Chinese text stays whole ("5 students" is not five seconds, and then "tudents").
6. Annotations and glossaries are dealt with before (annotations.py, lexicon.py); `normalize` alone gives annotations
   back as they were written, as the public pipeline does.

The grammars take about 0.1 ms per character.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from wetext import Normalizer  # type: ignore[import-untyped]

from oncue_engine.frontend.marks import FIRST_PLACEHOLDER, PLACEHOLDER, NamedMarks, without_marks
from oncue_engine.frontend.pinyin import PINYIN, correct_pinyin
from oncue_engine.frontend.punctuation import plain_marks
from oncue_engine.frontend.tracked_text import TrackedText

__all__ = ["PublicNormaliser", "uses_chinese_rules"]

_CHINESE = re.compile("[\u4e00-\u9fff]")
_EMAIL = re.compile(r"[A-Za-z0-9]+@[A-Za-z0-9]+\.[A-Za-z]+")
_ANNOTATION = re.compile(r"<[^<|>\n]+\|[^|>\n]+>")
_CONTRACTION = re.compile(r"(what|where|who|which|how|here|there|it|he|she|that|this)'s", re.IGNORECASE)
_TECHNICAL_TERM = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:-[A-Za-z0-9]+)+")
_NAME = re.compile("[\u4e00-\u9fff]+(?:[-·—][\u4e00-\u9fff]+){1,2}")
_AFTER_NUMBER = re.compile(r"(?:(?<=[\d%％])|(?<=[\d%％]\s))[A-Za-z]{2,}")
_INNER_BLANK = re.compile(r"(?<=\S)\s(?=\s*\S)")
_PRIVATE = re.compile("[\U000f0000-\U0010fffd]")
_LATIN = re.compile("[A-Za-z]")
_DOTTED_NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+){2,}(?!\w)")
_SENTENCE_BREAK = re.compile(r"(?<=[a-z]{4}[.!?])\s+(?=[A-Z])|(?<=[。！？])\s*|\n\s*")
_PORTION = re.compile(r".{400,800}?[\s，、,]|.{1,800}", re.DOTALL)
"""How a sentence without end is cut for the grammars."""
_WORD = re.compile(r"[A-Za-z0-9]+|[^\sA-Za-z0-9]")
_LOOK_AHEAD_OLD, _LOOK_AHEAD_NEW = 10, 30
_MARK_PENALTY = 4
"""A mark that agrees says less than a word that does: "12.50" has a point, and so has the end of the sentence."""
_ESCAPED = re.compile(r"\\([\"\\])")


def uses_chinese_rules(text: str) -> bool:
    """Which grammars read a text: Chinese for one with Chinese characters, no letters at all, pinyin, or an address."""
    return bool(
        _CHINESE.search(text) or not re.search("[A-Za-z]", text) or _EMAIL.fullmatch(text) or PINYIN.search(text)
    )


class PublicNormaliser:
    """Loads the grammars (half a second) on construction. It never fails and never loses text."""

    languages = ("zh", "en")

    def __init__(self) -> None:
        self._english = Normalizer(lang="en", operator="tn")
        self._chinese = Normalizer(lang="zh", operator="tn", remove_erhua=False, remove_interjections=False)
        for warm_up, grammar in (("1 a", self._english), ("1", self._chinese)):
            grammar.normalize(warm_up)

    def language(self, text: str) -> str:
        """`zh` or `en`: whose grammars read a text."""
        return "zh" if uses_chinese_rules(text) else "en"

    def normalize(self, text: str) -> TrackedText:
        """As the public pipeline does without a glossary: annotations come back as they were written."""
        tracked, annotations = _hide(without_marks(text), _ANNOTATION, 0)
        # The decision is made with letters in their places.
        language = self.language(PLACEHOLDER.sub("a", tracked.text))
        return _restore(self._read(tracked, language, len(annotations)), annotations)

    def read(self, text: TrackedText, language: str) -> TrackedText:
        """Spec 2.2 in its order, from the contractions on; a text of one character stays as it is (spec 2.1).

        Marks (marks.py) stay where they are.
        """
        return self._read(text, language, 0)

    def _read(self, tracked: TrackedText, language: str, used: int) -> TrackedText:
        """`read`, where the first `used` placeholders stand in the text already."""
        if len(tracked.text.strip()) == 1 and not used:
            return tracked
        tracked = tracked.sub(_CONTRACTION, lambda match: f"{match[1]} is")
        hyphen = "<H>"
        while hyphen in tracked.text:
            hyphen = f"<H{hyphen[1:]}"
        tracked = tracked.sub(_TECHNICAL_TERM, lambda match: match.group().replace("-", hyphen))
        if language == "zh":
            tracked = tracked.slice(0, len(tracked.text.rstrip()))
            tracked, syllables = _hide(tracked, PINYIN, used)
            tracked, people = _hide(tracked, _NAME, used + len(syllables))
            tracked, words = _hide(tracked, _AFTER_NUMBER, used + len(syllables) + len(people), self._would_be_cut)
            tracked = _apply(self._chinese, tracked, _PRIVATE)
            corrected = {hidden: correct_pinyin(written) for hidden, written in syllables.items()}
            tracked = _restore(tracked, corrected | people | words)
        else:
            tracked, names = NamedMarks.of(tracked)
            tracked = tracked.sub(_DOTTED_NUMBER, _keep_points)
            tracked = names.back(_apply(self._english, tracked, names.pattern))
        tracked = tracked.sub(re.compile(rf"\s*{hyphen}\s*"), lambda match: "-")
        tracked = plain_marks(tracked)
        if language == "zh":
            tracked = tracked.sub(re.compile(r"\$"), lambda match: ".")
        return tracked

    def _would_be_cut(self, word: str) -> bool:
        """Whether the Chinese grammar takes the word's first letters for a unit, and leaves the others behind."""
        left = "".join(_LATIN.findall(_through(self._chinese, TrackedText.of(f"1 {word}"), _PRIVATE).text))
        return left not in ("", word)


def _apply(grammar: Normalizer, text: TrackedText, kept: re.Pattern[str]) -> TrackedText:
    """The grammars, sentence by sentence, so that what they fail on is one sentence and not the text.

    `kept` finds what must come through as it is; where it does not, that is a failure too.
    """
    parts = [
        text.slice(start, stop) if is_break else _through(grammar, text.slice(start, stop), kept)
        for start, stop, is_break in _sentences(text.text)
    ]
    return TrackedText.joined(parts)


def _sentences(text: str) -> Iterator[tuple[int, int, bool]]:
    """Bounds of sentences and of the breaks between them, in order."""
    start = 0
    for gap in _SENTENCE_BREAK.finditer(text):
        yield from _portions(text, start, gap.start())
        if gap.group():
            yield gap.start(), gap.end(), True
        start = gap.end()
    yield from _portions(text, start, len(text))


def _portions(text: str, start: int, stop: int) -> Iterator[tuple[int, int, bool]]:
    for portion in _PORTION.finditer(text, start, stop):
        yield portion.start(), portion.end(), False


def _through(grammar: Normalizer, sentence: TrackedText, kept: re.Pattern[str]) -> TrackedText:
    """What a sentence is read as; if the grammar fails, either half by itself, down to words that stay as they are."""
    try:
        written = grammar.normalize(sentence.text)
    except (AssertionError, RuntimeError, ValueError, IndexError, KeyError):
        written = ""
    if written.strip() and kept.findall(written) == kept.findall(sentence.text):
        return _aligned(sentence, written).sub(_ESCAPED, _unescape)
    middle = _middle_blank(sentence.text)
    if middle is None:
        return sentence
    halves = sentence.slice(0, middle), sentence.slice(middle + 1, len(sentence.text))
    blank = sentence.slice(middle, middle + 1)
    return TrackedText.joined([_through(grammar, halves[0], kept), blank, _through(grammar, halves[1], kept)])


def _middle_blank(text: str) -> int | None:
    """The blank between two words that is nearest to the middle."""
    inside = [match.start() for match in _INNER_BLANK.finditer(text)]
    return min(inside, key=lambda at: abs(at - len(text) / 2)) if inside else None


def _aligned(sentence: TrackedText, written: str) -> TrackedText:
    """`written` tracked to the sentence it was made from: equal words to each other, what lies between as a whole."""
    old, new = list(_WORD.finditer(sentence.text)), list(_WORD.finditer(written))
    spans = _match_words([match.group() for match in old], [match.group() for match in new])
    begins: list[int] = []
    ends: list[int] = []
    for match, (first, last) in zip(new, spans, strict=True):
        start = old[first].start() if first < len(old) else len(sentence.text)
        stop = old[last - 1].end() if last > first else start
        blank = sentence.origin(start, start)
        begins += [blank[0]] * (match.start() - len(begins))
        ends += [blank[1]] * (match.start() - len(ends))
        if last == first + 1 and old[first].group() == match.group():
            begins += sentence.begins[start:stop]
            ends += sentence.ends[start:stop]
        else:
            begin, end = sentence.origin(start, stop)
            begins += [begin] * len(match.group())
            ends += [end] * len(match.group())
    tail = sentence.origin(len(sentence.text), len(sentence.text))
    begins += [tail[0]] * (len(written) - len(begins))
    ends += [tail[1]] * (len(written) - len(ends))
    return TrackedText(written, tuple(begins), tuple(ends))


def _match_words(old: Sequence[str], new: Sequence[str]) -> list[tuple[int, int]]:
    """For every new word the range of old words it stands for: one pass, looking ahead for the next match."""
    spans: list[tuple[int, int]] = []
    i = 0
    while len(spans) < len(new):
        j = len(spans)
        if i < len(old) and old[i] == new[j]:
            spans.append((i, i + 1))
            i += 1
            continue
        reach = [
            (a + b + (0 if new[j + b].isalnum() else _MARK_PENALTY), a, b)
            for b in range(min(_LOOK_AHEAD_NEW, len(new) - j))
            for a in range(min(_LOOK_AHEAD_OLD, len(old) - i))
            if old[i + a] == new[j + b]
        ]
        if not reach:
            spans.append((i, min(i + 1, len(old))))
            i = min(i + 1, len(old))
            continue
        _, a, b = min(reach)
        spans += [(i, i + a)] * b + [(i + a, i + a + 1)]
        i += a + 1
    return spans


def _unescape(match: re.Match[str]) -> str:
    """An opening quote is followed by a blank, as the public normaliser writes it."""
    opens = match[1] == '"' and (match.start() == 0 or match.string[match.start() - 1].isspace())
    return match[1] + (" " if opens and match.string[match.end() : match.end() + 1].strip() else "")


def _keep_points(match: re.Match[str]) -> str:
    head, _, last = match.group().rpartition(".")
    return head.replace(".", " point ") + "." + last


def _hide(
    text: TrackedText, pattern: re.Pattern[str], used: int, needed: Callable[[str], bool] = bool
) -> tuple[TrackedText, dict[str, str]]:
    """Every match that `needed` is true of as a character that the grammars leave alone, and what each stands for.

    `used`: how many such characters stand for something else.
    """
    found: dict[str, str] = {}

    def hide(match: re.Match[str]) -> str | None:
        if not needed(match.group()):
            return None
        hidden = chr(FIRST_PLACEHOLDER + used + len(found))
        found[hidden] = match.group()
        return hidden

    return text.sub(pattern, hide), found


def _restore(text: TrackedText, found: dict[str, str]) -> TrackedText:
    return text.sub(PLACEHOLDER, lambda match: found.get(match.group())) if found else text
