"""Text as the public models read it: written forms to words, Chinese and English (spec 2.2).

Numbers, dates and the like go through the `wetext` package (finite-state grammars, no pynini). Where the public
pipeline, or that package, loses or mangles text, it is mended here:

1. Text that the grammars fail on stays as it was written, in both languages; it is never lost. It is one sentence that
   stays so, not the whole text: the grammars get one at a time.
2. Quotes and backslashes that the package hands back escaped are put right.
3. "2.5.1" keeps its first point ("two point five point one").
4. More than 26 protected pinyin syllables or names in one text stay apart, and what looks like a placeholder in the
   user's own text is not taken for one.
5. An English word after a number in Chinese text stays whole ("5 students" is not five seconds, and then "tudents").
6. Annotations and glossaries are dealt with before (annotations.py, lexicon.py); `normalize` alone gives annotations
   back as they were written, as the public pipeline does.

The grammars take about 0.1 ms per character.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from wetext import Normalizer  # type: ignore[import-untyped]

from oncue_engine.frontend.marks import MARK, in_letters, without_marks
from oncue_engine.frontend.pinyin import PINYIN, correct_pinyin
from oncue_engine.frontend.tracked_text import TrackedText

__all__ = ["PublicNormaliser", "uses_chinese_rules"]

_CHINESE = re.compile("[\u4e00-\u9fff]")
_EMAIL = re.compile(r"[A-Za-z0-9]+@[A-Za-z0-9]+\.[A-Za-z]+")
_ANNOTATION = re.compile(r"<[^<|>\n]+\|[^|>\n]+>")
_CONTRACTION = re.compile(r"(what|where|who|which|how|here|there|it|he|she|that|this)'s", re.IGNORECASE)
_TECHNICAL_TERM = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:-[A-Za-z0-9]+)+")
_NAME = re.compile("[\u4e00-\u9fff]+(?:[-·—][\u4e00-\u9fff]+){1,2}")
_AFTER_NUMBER = re.compile(r"(?:(?<=\d)|(?<=\d\s))[A-Za-z]{2,}")
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

_CHARACTER_GROUPS = (
    ("：；;，、:", ","),
    ("。", "."),
    ("！", "!"),
    ("？", "?"),
    ("\n", " "),
    ("·—～~", "-"),
    ('“”"‘’（）()《》【】[]「」', "'"),
)
_CHARACTERS = {character: plain for group, plain in _CHARACTER_GROUPS for character in group}
_CHARACTER_MAP = re.compile(rf"[{re.escape(''.join(_CHARACTERS))}]|\.\.\.|,,,|……")


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
        tracked, annotations = _protect(without_marks(text), _ANNOTATION, "annotation")
        return _restore(self.read(tracked, self.language(tracked.text)), annotations)

    def read(self, text: TrackedText, language: str) -> TrackedText:
        """Spec 2.2 in its order, from the contractions on; a text of one character stays as it is (spec 2.1).

        Marks (marks.py) stay where they are.
        """
        if len(text.text.strip()) == 1:
            return text
        tracked, marks = _protect(text, MARK, "mark")
        tracked = tracked.sub(_CONTRACTION, lambda match: f"{match[1]} is")
        tracked = tracked.sub(_TECHNICAL_TERM, lambda match: match.group().replace("-", "<H>"))
        if language == "zh":
            tracked = tracked.slice(0, len(tracked.text.rstrip()))
            tracked, syllables = _protect(tracked, PINYIN, "pinyin")
            tracked, names = _protect(tracked, _NAME, "n")
            tracked, words = _protect(tracked, _AFTER_NUMBER, "w", self._would_be_cut)
            tracked = self._apply(tracked, self._chinese)
            tracked = _restore(tracked, words)
            tracked = _restore(tracked, names)
            tracked = _restore(tracked, {hidden: correct_pinyin(written) for hidden, written in syllables.items()})
        else:
            tracked = tracked.sub(_DOTTED_NUMBER, _keep_points)
            tracked = self._apply(tracked, self._english)
        tracked = tracked.sub(re.compile(r"\s*<H>\s*"), lambda match: "-")
        tracked = tracked.sub(_CHARACTER_MAP, lambda match: _CHARACTERS.get(match.group(), "…"))
        if language == "zh":
            tracked = tracked.sub(re.compile(r"\$"), lambda match: ".")
        return _restore(tracked, marks)

    def _would_be_cut(self, word: str) -> bool:
        """Whether the Chinese grammar takes the word's first letters for a unit, and leaves the others behind."""
        left = "".join(_LATIN.findall(_through(self._chinese, TrackedText.of(f"1 {word}")).text))
        return left not in ("", word)

    def _apply(self, text: TrackedText, grammar: Normalizer) -> TrackedText:
        """The grammars, sentence by sentence, so that what they fail on is one sentence and not the text."""
        parts = [
            text.slice(start, stop) if is_break else _through(grammar, text.slice(start, stop))
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


def _through(grammar: Normalizer, sentence: TrackedText) -> TrackedText:
    try:
        written = grammar.normalize(sentence.text)
    except (AssertionError, RuntimeError, ValueError, IndexError, KeyError):
        return sentence
    if not written.strip():
        return sentence
    return _aligned(sentence, written).sub(_ESCAPED, _unescape)


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


def _protect(
    text: TrackedText, pattern: re.Pattern[str], name: str, needed: Callable[[str], bool] = bool
) -> tuple[TrackedText, dict[str, str]]:
    """Every match that `needed` is true of as a placeholder that the grammars leave alone; what each stands for."""
    found: dict[str, str] = {}
    while f"<{name}_" in text.text:
        name += "x"

    def hide(match: re.Match[str]) -> str | None:
        if not needed(match.group()):
            return None
        hidden = f"<{name}_{in_letters(len(found))}>"
        found[hidden] = match.group()
        return hidden

    return text.sub(pattern, hide), found


_PLACEHOLDER = re.compile(r"<[a-z]+_[a-z]+>")


def _restore(text: TrackedText, found: dict[str, str]) -> TrackedText:
    return text.sub(_PLACEHOLDER, lambda match: found.get(match.group())) if found else text
