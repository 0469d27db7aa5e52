"""The byte-pair tokenizer: its vocabulary, where pieces lie in the text, what a damaged file is refused for."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oncue_engine.checkpoints.random_ranks import make_ranks
from oncue_engine.errors import CheckpointError
from oncue_engine.frontend.tiktoken_tokenizer import (
    COMMON_LANGUAGE,
    LANGUAGE_CODES,
    PRONUNCIATION_MARKS,
    TiktokenTokenizer,
    special_tokens,
)

ENGLISH = frozenset(("<|en|>",))


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> TiktokenTokenizer:
    path = tmp_path_factory.mktemp("ranks") / "small.tiktoken"
    path.write_bytes(make_ranks(1024))
    return TiktokenTokenizer(path)


def test_special_tokens_are_as_many_as_the_public_vocabulary_has() -> None:
    names = special_tokens()
    assert len(names) == len(set(names)) == 1673
    assert 58_836 + len(names) == 60_509
    assert names[:3] == ["<|endoftext|>", "<|startoftranscript|>", "<|en|>"]
    assert names[-1] == "<|30.00|>"
    assert set(PRONUNCIATION_MARKS) < set(names)


def test_rows_of_the_language_table() -> None:
    rows = {code: LANGUAGE_CODES.index(code) for code in ("en", "zh", "es", "ja", "ar", "common")}
    assert rows == {"en": 0, "zh": 1, "es": 3, "ja": 7, "ar": 13, "common": 105}
    assert COMMON_LANGUAGE == 105 and len(LANGUAGE_CODES) == 106


def test_pieces_are_merged_and_special_ids_follow_the_ranks(tokenizer: TiktokenTokenizer) -> None:
    pieces = tokenizer.encode("<|en|> the window", ENGLISH)
    assert [piece.text for piece in pieces] == ["<|en|>", " the", " window"]
    assert pieces[0].id == tokenizer.num_ranks + 2 == tokenizer.special_id("<|en|>")
    assert [(piece.char_begin, piece.char_end) for piece in pieces] == [(0, 6), (6, 10), (10, 17)]
    assert tokenizer.vocabulary_size == tokenizer.num_ranks + 1673


def test_only_allowed_special_tokens_are_obeyed(tokenizer: TiktokenTokenizer) -> None:
    pieces = tokenizer.encode("<|en|><|ja|>", ENGLISH)
    assert pieces[0].text == "<|en|>" and len(pieces) > 2
    assert all(piece.id < tokenizer.num_ranks for piece in pieces[1:])


def test_start_and_stop_vanish_but_count(tokenizer: TiktokenTokenizer) -> None:
    assert tokenizer.encode('!"') == []
    assert tokenizer.count('!"') == 2
    assert [piece.text for piece in tokenizer.encode("a!")] == ["a"]


def test_a_character_of_several_pieces_is_in_the_range_of_each(tokenizer: TiktokenTokenizer) -> None:
    pieces = tokenizer.encode("a🙂b")
    assert [(piece.char_begin, piece.char_end) for piece in pieces] == [(0, 1), *[(1, 2)] * 4, (2, 3)]


@given(st.text(max_size=60).filter(lambda text: not any("\ud800" <= character <= "\udfff" for character in text)))
def test_every_text_is_read_in_order_and_whole(tokenizer: TiktokenTokenizer, text: str) -> None:
    pieces = tokenizer.encode(text)
    assert all(1 < piece.id < tokenizer.num_ranks for piece in pieces)
    begins = [piece.char_begin for piece in pieces]
    assert begins == sorted(begins)
    covered = {place for piece in pieces for place in range(piece.char_begin, piece.char_end)}
    assert {place for place, character in enumerate(text) if character not in '!"'} <= covered


def lines() -> list[str]:
    return make_ranks(1024).decode().splitlines()


def encoded(piece: bytes) -> str:
    return base64.b64encode(piece).decode()


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda these: these[:100], "lacks 156 of the single bytes"),
        (lambda these: [*these, f"{encoded(b'zzz')} 9999"], "ranks are not 0 to"),
        (lambda these: [*these, f"{encoded(b'zzz')} 5"], "ranks are not 0 to"),
        (lambda these: [*these, f"{encoded(b'a')} {len(these)}"], "twice"),
        (lambda these: [*these, f"{encoded(b'zzz')} -1"], "no rank"),
        (lambda these: [*these, "no-base-64 1"], "line"),
        (lambda these: [*these, "eg== 1 2"], "line"),
        (lambda these: [], "single bytes"),
    ],
)
def test_damaged_files_are_refused(tmp_path: Path, damage: object, says: str) -> None:
    path = tmp_path / "bad.tiktoken"
    path.write_text("\n".join(damage(lines())))  # type: ignore[operator]
    with pytest.raises(CheckpointError, match=says):
        TiktokenTokenizer(path)


def test_a_file_that_is_missing_or_binary_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        TiktokenTokenizer(tmp_path / "none.tiktoken")
    assert caught.value.reason == "CHECKPOINT_FILE_MISSING"
    (tmp_path / "binary.tiktoken").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CheckpointError, match="cannot be read"):
        TiktokenTokenizer(tmp_path / "binary.tiktoken")
