"""Byte-level pieces: everything is read, every piece knows its stretch of text, and nobody can spell a special one."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from oncue_engine.errors import CheckpointError
from oncue_engine.frontend.bpe_tokenizer import BytePairTokenizer
from oncue_engine.frontend.normalize import PublicNormaliser
from oncue_engine.frontend.text import TextFrontend


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        min_frequency=1,
        special_tokens=["<|end|>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["the door and the other door", "你好你好"] * 3, trainer)
    path = tmp_path_factory.mktemp("pieces") / "tokenizer.json"
    tokenizer.save(str(path))
    return path


@pytest.fixture(scope="module")
def tokenizer(path: Path) -> BytePairTokenizer:
    return BytePairTokenizer(path)


def test_pieces_are_the_files_own_with_their_ranges(tokenizer: BytePairTokenizer, path: Path) -> None:
    text = "the door, 你好."
    pieces = tokenizer.encode(text)
    own = Tokenizer.from_file(str(path))
    assert [piece.id for piece in pieces] == own.encode(text).ids
    assert [piece.text for piece in pieces] == ["the", "door", ",", "", "你好", "."]
    assert all(text[piece.char_begin : piece.char_end].strip() == piece.text for piece in pieces)
    assert tokenizer.vocabulary_size == own.get_vocab_size()


def test_a_character_without_a_piece_is_read_by_its_bytes(tokenizer: BytePairTokenizer) -> None:
    pieces = tokenizer.encode("鬱")
    assert [(piece.text, piece.char_begin, piece.char_end) for piece in pieces] == [("鬱", 0, 1)] * 3
    assert tokenizer.unknown_id not in {piece.id for piece in pieces}


def test_a_special_piece_cannot_be_spelt(tokenizer: BytePairTokenizer) -> None:
    pieces = tokenizer.encode("<|end|>")
    assert len(pieces) > 1 and 0 not in {piece.id for piece in pieces}


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
@settings(deadline=None)
def test_nothing_is_lost(tokenizer: BytePairTokenizer, text: str) -> None:
    pieces = tokenizer.encode(text)
    assert "".join(text.split()) == "" or pieces
    covered = {at for piece in pieces for at in range(piece.char_begin, piece.char_end)}
    assert all(at in covered for at, character in enumerate(text) if not character.isspace())


def test_files_that_are_none_are_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        BytePairTokenizer(tmp_path / "tokenizer.json")
    assert caught.value.reason == "CHECKPOINT_FILE_MISSING"
    (tmp_path / "tokenizer.json").write_text("no such thing")
    with pytest.raises(CheckpointError, match=r"tokenizer\.json"):
        BytePairTokenizer(tmp_path / "tokenizer.json")


@pytest.mark.parametrize("text", ["鬱" * 50, ("the 鬱 " * 20).strip(), "鬱鬱, " * 20 + "鬱" * 30])
def test_no_character_is_cut_in_two(tokenizer: BytePairTokenizer, text: str) -> None:
    frontend = TextFrontend(tokenizer, PublicNormaliser(), 10, whole_sentences=True)
    segments = frontend.segments(text)
    assert len(segments) > 5 and all(len(segment.pieces) <= 10 for segment in segments)
    for before, after in pairwise(segments):
        assert before.char_end <= after.char_begin
    assert sum(len(segment.pieces) for segment in segments) == len(tokenizer.encode(text))
