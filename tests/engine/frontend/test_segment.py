"""Segments against the reference's own, with the mends that segment.py lists."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oncue_engine.errors import InvalidRequest
from oncue_engine.frontend.segment import split, split_at_sentences

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "text_frontend.json").read_text(encoding="utf-8"))
CASES = [
    (item["tokens"], int(key.removeprefix("max").split("_")[0]), int(key.split("quick")[1]), wanted)
    for item in GOLDEN["items"] + GOLDEN["synthetic_segmentation"]
    for key, wanted in item["segments"].items()
]
PIECES = st.lists(
    st.sampled_from(["a", "▁b", "c", "d", ",", "▁,", "-", ".", "▁.", "!", "?", "'", "▁'", "▁..."]), max_size=120
)


def texts(pieces: list[str], cuts: list[range]) -> list[list[str]]:
    return [[pieces[index] for index in cut] for cut in cuts]


MENDED = {("ab.'cd.", limit, quick) for limit, quick in ((20, 0), (40, 0), (40, 25), (120, 0))}
"""The cases where the reference says a quote twice (mend 1); in all others its segments are ours."""


@pytest.mark.parametrize(("tokens", "limit", "quick", "wanted"), CASES)
def test_public_rule(tokens: list[str], limit: int, quick: int, wanted: list[list[str]]) -> None:
    got = texts(tokens, split(tokens, limit, quick))
    if ("".join(tokens), limit, quick) in MENDED:
        assert wanted == [list("ab.''cd.")]
        assert got == [list("ab.'cd.")]
    else:
        assert got == wanted


def test_the_golden_file_is_whole() -> None:
    assert len(CASES) == 288
    assert len({("".join(tokens), limit, quick) for tokens, limit, quick, _ in CASES} & MENDED) == 4
    assert set(GOLDEN["split_punctuation"]) == {".", "!", "?", "▁.", "▁?", "▁..."}


def test_sentences_keep_the_budget_of_the_reference() -> None:
    """What is served in place of the public rule: the same pieces, no segment longer, hardly more of them."""
    for tokens, limit, quick, wanted in CASES:
        got = texts(tokens, split_at_sentences(tokens, limit))
        assert [piece for segment in got for piece in segment] == tokens
        assert all(len(segment) <= limit for segment in got)
        assert quick or len(got) <= len(wanted) + 1
        for segment, following in pairwise(got):
            ended = any(piece.strip("▁'") in (".", "!", "?") for piece in segment[-2:])
            # A segment ends in mid-sentence only where the whole sentence does not fit.
            assert ended or len(segment) + len(following) > limit


@pytest.mark.parametrize("end", [["▁!"], ["?!"], ["!!", "'"], ["▁..."]])
def test_other_ends_of_sentences(end: list[str]) -> None:
    pieces = ["a", "b", "c", *end, "▁d", "e", "f", "."]
    assert texts(pieces, split_at_sentences(pieces, 6)) == [["a", "b", "c", *end], ["▁d", "e", "f", "."]]


def test_a_quote_after_the_end_is_said_once() -> None:
    assert texts(list("ab.'cd."), split(list("ab.'cd."), 4)) == [list("ab.'"), list("cd.")]
    assert texts(list("ab.'cd."), split(list("ab.'cd."), 3)) == [list("ab."), list("'cd"), list(".")]


@given(PIECES, st.integers(1, 50), st.integers(0, 60))
def test_no_piece_is_lost_whatever_comes(pieces: list[str], limit: int, quick: int) -> None:
    for cuts in (split(pieces, limit, quick), split_at_sentences(pieces, limit)):
        assert [index for cut in cuts for index in cut] == list(range(len(pieces)))
        assert all(0 < len(cut) <= limit for cut in cuts)


def test_sentences_stay_whole() -> None:
    pieces = "a a a a . b b , b b b ! c c c c c c ? d .".split()
    assert texts(pieces, split_at_sentences(pieces, 12)) == [
        "a a a a . b b , b b b !".split(),
        "c c c c c c ? d .".split(),
    ]
    # The public rule packs across the sentence instead.
    assert texts(pieces, split(pieces, 10))[0] == "a a a a . b b ,".split()
    assert texts(pieces, split_at_sentences(pieces, 10))[0] == "a a a a .".split()


def test_a_long_sentence_is_cut_at_commas_into_even_parts() -> None:
    pieces = "a a a , b b b , c c c , d d d .".split()
    assert texts(pieces, split_at_sentences(pieces, 12)) == ["a a a , b b b ,".split(), "c c c , d d d .".split()]


def test_a_clause_beyond_the_limit_is_cut_between_words() -> None:
    pieces = list("abcdefghij")
    word_starts = [index in (0, 4, 7) for index in range(10)]
    assert texts(pieces, split_at_sentences(pieces, 6, word_starts)) == [list("abcd"), list("efghij")]
    one_word = [index == 0 for index in range(10)]
    assert [len(cut) for cut in split_at_sentences(pieces, 6, one_word)] == [5, 5]


def test_closing_quotes_and_runs_of_marks_stay_with_their_sentence() -> None:
    pieces = ["a", "b", "!", "?", "'", "c", "d", "."]
    assert texts(pieces, split_at_sentences(pieces, 5)) == [["a", "b", "!", "?", "'"], ["c", "d", "."]]


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_below_one_is_refused(limit: int) -> None:
    for cut in (split, split_at_sentences):
        with pytest.raises(InvalidRequest) as caught:
            cut(["a"], limit)
        assert caught.value.reason == "SEGMENT_LIMIT"


@given(PIECES)
def test_quick_start_makes_first_segments_no_longer(pieces: list[str]) -> None:
    plain, quick = split(pieces, 40), split(pieces, 40, 25)
    assert len(quick) >= len(plain)
    assert all(before.stop == after.start for before, after in pairwise(quick))
