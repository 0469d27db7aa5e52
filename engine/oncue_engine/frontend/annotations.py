"""`<word|pronunciation>` in a user's text (spec 2.2, step 1): the word is said as the pronunciation tells.

What a pronunciation is made of is the tokenizer's to say: ARPAbet phones for the embedded model, pinyin with tones or a
respelling in letters for the public ones. The public pipeline hands the whole annotation to its tokenizer as it is
written, angle brackets and all, which the model was never taught; here it is said, or refused with its position.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from oncue_engine.errors import InvalidRequest
from oncue_engine.frontend.marks import Marks, Pronounce, Pronounced, UnreadablePronunciation
from oncue_engine.frontend.tracked_text import TrackedText

__all__ = ["MAX_PRONUNCIATION_CHARS", "mark_annotations"]

MAX_PRONUNCIATION_CHARS = 100

_ANNOTATION = re.compile(r"<(?=\S)(?P<word>[^<|>\n]+)\|(?P<pronunciation>[^<|>\n]*)>")


def mark_annotations(text: TrackedText, pronounce: Pronounce, marks: Marks) -> TrackedText:
    """`text` with a mark in place of every annotation.

    `pronounce(word, pronunciation)` is the tokenizer's. Raises InvalidRequest (field `text`, metadata `position`,
    `word`, `pronunciation`, and `part` and `reads` where a part of it cannot be read): `TEXT_PRONUNCIATION_INVALID`.
    """
    return text.replaced(_marked(text, pronounce, marks))


def _marked(text: TrackedText, pronounce: Pronounce, marks: Marks) -> Iterator[tuple[int, int, str]]:
    for match in _ANNOTATION.finditer(text.text):
        word, pronunciation = match["word"].strip(), match["pronunciation"].strip()
        position = text.begins[match.start()]
        if not word or not pronunciation:
            raise _invalid(match, position, "there is nothing to say in it", {})
        if len(pronunciation) > MAX_PRONUNCIATION_CHARS:
            raise _invalid(match, position, "it is too long", {"max_chars": str(MAX_PRONUNCIATION_CHARS)})
        try:
            units = pronounce(word, pronunciation)
        except UnreadablePronunciation as error:
            raise _invalid(match, position, str(error), {"part": error.part, "reads": error.reads}) from error
        yield *match.span(), marks.add(Pronounced(word, units))


def _invalid(match: re.Match[str], position: int, why: str, metadata: dict[str, str]) -> InvalidRequest:
    shown = match.group()[:80]
    return InvalidRequest(
        f"the pronunciation {shown} at position {position} cannot be said: {why}",
        reason="TEXT_PRONUNCIATION_INVALID",
        field="text",
        metadata={
            "position": str(position),
            "word": match["word"][:80],
            "pronunciation": match["pronunciation"][:80],
            **metadata,
        },
    )
