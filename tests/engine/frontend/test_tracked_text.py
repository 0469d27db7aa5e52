"""Rewriting that remembers where each character came from."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from oncue_engine.frontend.tracked_text import TrackedText


def test_replacements_stand_for_what_they_replaced() -> None:
    text = TrackedText.of("a 12 b").sub(re.compile(r"\d+"), lambda match: "twelve")
    assert text.text == "a twelve b"
    assert text.origin(2, 8) == text.origin(4, 5) == (2, 4)
    assert text.origin(9, 10) == (5, 6)
    again = text.sub(re.compile("twelve b"), lambda match: "dozen")
    assert again.text == "a dozen"
    assert again.origin(3, 4) == (2, 6)


def test_none_keeps_and_empty_drops() -> None:
    text = TrackedText.of("xay")
    assert text.sub(re.compile("a"), lambda match: None) is text
    dropped = text.sub(re.compile("a"), lambda match: "")
    assert (dropped.text, dropped.begins, dropped.ends) == ("xy", (0, 2), (1, 3))
    assert dropped.origin(1, 1) == (2, 2)
    assert dropped.origin(2, 2) == (3, 3)


def test_characters_slices_and_joins() -> None:
    text = TrackedText.of("aßc").map_characters(lambda character: character.upper())
    assert (text.text, text.begins, text.ends) == ("ASSC", (0, 1, 1, 2), (1, 2, 2, 3))
    assert text.slice(1, 3).origin(0, 1) == (1, 2)
    assert TrackedText.joined([text.slice(0, 1), text.slice(1, 4)]) == text
    assert text.slice(0, 2) + text.slice(2, 4) == text


@given(st.text(alphabet="ab1 ", max_size=30), st.sampled_from(["", "x", "xyz"]))
def test_text_and_origins_stay_in_step(original: str, new: str) -> None:
    text = TrackedText.of(original).sub(re.compile(r"\d+|b*"), lambda match: new)
    assert text.text == re.sub(r"\d+|b*", new, original)
    assert len(text.text) == len(text.begins) == len(text.ends)
    assert list(text.begins) == sorted(text.begins)
