"""Word errors, against cases counted by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oncue_eval.words import normal_words, number_words, word_edits

WORDS = st.lists(st.sampled_from(["a", "b", "c"]), max_size=8)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Please, close the WINDOW!", "please close the window"),
        ("He didn’t say 'yes' -- don't ask.", "he didn't say yes don't ask"),
        ("It costs 1,250 dollars.", "it costs one thousand two hundred fifty dollars"),
        ("a well-known song", "a well known song"),
        ("...", ""),
    ],
)
def test_normal_words(text: str, words: str) -> None:
    assert normal_words(text) == words.split()


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "zero"),
        (13, "thirteen"),
        (40, "forty"),
        (99, "ninety nine"),
        (100, "one hundred"),
        (2007, "two thousand seven"),
        (310_415, "three hundred ten thousand four hundred fifteen"),
    ],
)
def test_number_words(number: int, words: str) -> None:
    assert number_words(number) == words.split()


@pytest.mark.parametrize("number", [-1, 1_000_000])
def test_numbers_beyond_the_range_are_refused(number: int) -> None:
    with pytest.raises(ValueError, match=str(number)):
        number_words(number)


@pytest.mark.parametrize(
    ("reference", "hypothesis", "edits"),
    [
        ("the cat sat", "the cat sat", 0),
        ("the cat sat", "the bat sat", 1),
        ("the cat sat", "cat sat", 1),
        ("the cat sat", "the the cat sat", 1),
        ("the cat sat", "", 3),
        ("", "a b", 2),
        ("a b c d", "b c d a", 2),
    ],
)
def test_word_edits(reference: str, hypothesis: str, edits: int) -> None:
    assert word_edits(reference.split(), hypothesis.split()) == edits


@given(WORDS, WORDS, WORDS)
def test_edits_are_a_metric(one: list[str], two: list[str], three: list[str]) -> None:
    assert word_edits(one, two) == word_edits(two, one)
    assert (word_edits(one, two) == 0) == (one == two)
    assert word_edits(one, three) <= word_edits(one, two) + word_edits(two, three)
