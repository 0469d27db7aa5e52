"""Cutting text by a budget of pieces."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oncue_engine.frontend.text_budget import cut_to_fit


def cut(text: str, limit: int) -> list[str]:
    """Pieces are characters."""
    return cut_to_fit(text, lambda part: len(part) <= limit)


@pytest.mark.parametrize(
    ("text", "limit", "segments"),
    [
        ("", 5, []),
        ("One. Two.", 9, ["One. Two."]),
        ("One. Two.", 8, ["One.", " Two."]),
        ("a, b, c, d.", 6, ["a, b,", " c, d."]),
        ("我们走吧,好的.再见!", 6, ["我们走吧,", "好的.再见!"]),
        # A number is one thing.
        ("costs 3.50 or so", 8, ["costs", " 3.50 or", " so"]),
        # Marks and a closing quote stay together.
        ("really?! 'yes.' no", 8, ["really?!", " 'yes.'", " no"]),
        ("مرحبا، كيف حالك؟ نعم", 11, ["مرحبا،", " كيف حالك؟", " نعم"]),
        # Without marks: at blanks, and where there are none, when it is full.
        ("one two three", 8, ["one two", " three"]),
        ("abcdefgh", 3, ["abc", "def", "gh"]),
    ],
)
def test_cuts(text: str, limit: int, segments: list[str]) -> None:
    assert cut(text, limit) == segments


@given(st.text(alphabet="ab ,.!?'3。،\n", max_size=80), st.integers(1, 12))
def test_nothing_is_lost_and_all_that_can_fit_fits(text: str, limit: int) -> None:
    segments = cut(text, limit)
    assert "".join(segments) == text and all(segments)
    for segment in segments:
        assert len(segment) <= limit


@given(st.text(alphabet="ab ,.", min_size=1, max_size=80), st.integers(4, 12))
def test_packing_is_greedy(text: str, limit: int) -> None:
    segments = cut(text, limit)
    for before, after in pairwise(segments):
        clause = re.match(r"[^,.]*[,.]*", after)
        assert clause is not None
        # What comes next would not have fitted any more, unless it was cut for length itself.
        assert len(before + clause.group()) > limit or len(clause.group()) == len(after)
