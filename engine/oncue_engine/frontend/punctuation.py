"""The marks that public models know, and which of them stands for each other one (spec 2.2)."""

from __future__ import annotations

import re

from oncue_engine.frontend.tracked_text import TrackedText

__all__ = ["plain_marks"]

_GROUPS = (
    ("：；;，、:", ","),
    ("。", "."),
    ("！", "!"),
    ("？", "?"),
    ("\n", " "),
    ("·—～~", "-"),
    ('“”"‘’（）()《》【】[]「」', "'"),
)
_PLAIN = {mark: plain for group, plain in _GROUPS for mark in group}
_MARKS = re.compile(rf"\.\.\.|,,,|……|[{re.escape(''.join(_PLAIN))}]")


def plain_marks(text: TrackedText) -> TrackedText:
    """The text with known marks only, in one pass: what stands in place of a mark is not looked at again."""
    return text.sub(_MARKS, lambda match: _PLAIN.get(match.group(), "…"))
