"""The text side as the engine uses it: refusals, ranges in the user's text, limits, long texts."""

from __future__ import annotations

import time
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oncue_engine.errors import InvalidRequest
from oncue_engine.frontend.arpabet import MARKS
from oncue_engine.frontend.marks import NO_PRONUNCIATIONS, Pronounced
from oncue_engine.frontend.pieces import Piece
from oncue_engine.frontend.text import MAX_CHARS, TextFrontend
from oncue_engine.frontend.tracked_text import TrackedText

FRONTEND = TextFrontend.english(max_pieces=120)


@pytest.mark.parametrize(
    ("text", "reason", "metadata"),
    [
        ("", "TEXT_EMPTY", {}),
        (" \n\t ", "TEXT_EMPTY", {}),
        ("\u200b\u00a0", "TEXT_EMPTY", {}),
        ("...", "TEXT_UNPRONOUNCEABLE", {}),
        ("?! — (…)", "TEXT_UNPRONOUNCEABLE", {}),
        ("😀🎉", "TEXT_UNPRONOUNCEABLE", {}),
        ("你好", "TEXT_UNPRONOUNCEABLE", {"characters": "你好"}),
        ("a" * (MAX_CHARS + 1), "TEXT_TOO_LONG", {"max_chars": str(MAX_CHARS), "chars": str(MAX_CHARS + 1)}),
        ("ring the \x07 bell", "TEXT_CONTROL_CHARACTER", {"position": "9", "code_point": "U+0007"}),
        ("null\x00", "TEXT_CONTROL_CHARACTER", {"position": "4", "code_point": "U+0000"}),
        ("half \ud83d pair", "TEXT_SURROGATE", {"position": "5", "code_point": "U+D83D"}),
    ],
)
def test_refused(text: str, reason: str, metadata: dict[str, str]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        FRONTEND.segments(text)
    assert (caught.value.reason, caught.value.field, caught.value.metadata) == (reason, "text", metadata)


def test_segments_and_pieces_point_into_the_users_text() -> None:
    text = "  Dr. Lee paid $5. Then he left, smiling!  "
    (segment,) = FRONTEND.segments(text)
    assert segment.text == "Doctor Lee paid five dollars. Then he left, smiling!"
    assert text[segment.char_begin : segment.char_end] == text.strip()
    spoken = {text[piece.char_begin : piece.char_end] for piece in segment.pieces if piece.text not in MARKS}
    assert spoken == {"Dr.", "Lee", "paid", "$5", "Then", "he", "left", "smiling"}
    assert [piece.text for piece in segment.pieces if piece.text in MARKS] == [".", ",", "!"]


def test_a_text_without_an_end_gets_one() -> None:
    (segment,) = FRONTEND.segments("hello")
    assert segment.pieces[-1].text == "."
    assert (segment.char_begin, segment.char_end) == (0, 5)


def test_long_texts_are_cut_after_sentences_and_fast() -> None:
    sentence = "The old lighthouse keeper climbed the stairs every night, and lit the lamp for the ships."
    text = " ".join([sentence] * (MAX_CHARS // (len(sentence) + 1)))
    begin = time.process_time()
    segments = FRONTEND.segments(text)
    assert time.process_time() - begin < 1.5
    assert all(len(segment.pieces) <= 120 and segment.pieces[-1].text == "." for segment in segments)
    assert " ".join(segment.text for segment in segments) == text
    assert all(text[segment.char_begin : segment.char_end].startswith("The") for segment in segments)


def test_words_beyond_a_segment_are_cut_between_words() -> None:
    frontend = TextFrontend.english(max_pieces=20)
    segments = frontend.segments("wonderful " * 12)
    assert len(segments) > 3
    assert all(len(segment.pieces) <= 20 for segment in segments)
    assert all(set(segment.text.replace(".", "").split()) == {"wonderful"} for segment in segments)


class Letters:
    """A tokenizer of one piece per character, to see what the frontend does by itself."""

    vocabulary_size = 1_200_000
    unknown_id = 2

    def pronounce(self, word: str, pronunciation: str) -> tuple[str, ...]:
        return tuple(pronunciation)

    def encode(self, text: str, pronounced: Mapping[str, Pronounced] = NO_PRONUNCIATIONS) -> list[Piece]:
        return [
            Piece(letter, 2 if letter in "жш" else ord(letter) + 3, at, at + 1)
            for at, letter in enumerate(text)
            if letter != " "
        ]


class AsWritten:
    languages = ("en",)

    def language(self, text: str) -> str:
        return "en"

    def read(self, text: TrackedText, language: str) -> TrackedText:
        return text


def test_segments_with_nothing_to_say_are_left_out() -> None:
    frontend = TextFrontend(Letters(), AsWritten(), max_pieces=4)
    assert [segment.text for segment in frontend.segments("abc. ... def.")] == ["abc.", "def."]
    with pytest.raises(InvalidRequest) as caught:
        frontend.segments("ab жшж!")  # unknown to the model, which would make noise of it
    assert caught.value.reason == "TEXT_UNPRONOUNCEABLE"
    assert caught.value.metadata == {"characters": "ж", "position": "3"}


def test_segments_of_a_model_without_words() -> None:
    with pytest.raises(InvalidRequest) as caught:
        TextFrontend(Letters(), AsWritten(), max_pieces=4).segments("!?")
    assert caught.value.reason == "TEXT_UNPRONOUNCEABLE"


@settings(deadline=None, max_examples=200)
@given(st.text(max_size=120), st.integers(5, 60))
def test_any_text_is_spoken_or_refused(text: str, max_pieces: int) -> None:
    frontend = TextFrontend(FRONTEND.tokenizer, FRONTEND.normaliser, max_pieces, whole_sentences=True)
    try:
        segments = frontend.segments(text)
    except InvalidRequest as error:
        assert error.field == "text"
        assert error.reason.startswith("TEXT_")
        return
    assert segments
    last = 0
    for segment in segments:
        assert segment.text
        assert 0 < len(segment.pieces) <= max_pieces
        assert any(piece.text not in MARKS for piece in segment.pieces)
        assert 0 <= segment.char_begin <= segment.char_end <= len(text)
        assert segment.char_begin >= last
        last = segment.char_begin
        assert all(3 <= piece.id < 47 for piece in segment.pieces)
