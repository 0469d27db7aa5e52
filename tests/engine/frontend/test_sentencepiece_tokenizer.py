"""CJK spacing against the reference, and a small SentencePiece model made here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import sentencepiece

from oncue_engine.errors import CheckpointError
from oncue_engine.frontend.pieces import Piece
from oncue_engine.frontend.sentencepiece_tokenizer import SentencePieceTokenizer, space_cjk

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "text_frontend.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pieces") / "bpe.model"
    lines = ["HELLO WORLD", "THE QUICK BROWN FOX , JUMPS .", "你 好 , 世 界 !", "XUAN4 字 ?", "A", "。"]
    with path.open("wb") as file:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(lines * 20), model_writer=file, vocab_size=70, model_type="bpe", unk_id=2,
            bos_id=0, eos_id=1, character_coverage=1.0, hard_vocab_limit=False, minloglevel=2,
        )  # fmt: skip
    return path


@pytest.mark.parametrize("item", GOLDEN["items"], ids=lambda item: item["text"][:24])
def test_spacing_is_the_references(item: dict[str, str]) -> None:
    if not item["skips_normalizer"]:
        assert space_cjk(item["normalized"]).text == item["spaced_upper"]


def test_pieces_are_the_models_own_with_their_ranges(model: Path) -> None:
    tokenizer = SentencePieceTokenizer(model)
    text = "hello 你好  world"
    pieces = tokenizer.encode(text)
    own = sentencepiece.SentencePieceProcessor(model_file=str(model))
    assert [piece.id for piece in pieces] == own.encode("HELLO 你 好 WORLD")
    assert all(0 <= piece.char_begin <= piece.char_end <= len(text) for piece in pieces)
    ranges = {text[piece.char_begin : piece.char_end]: piece.text for piece in pieces}
    assert "你" in ranges
    assert "".join(text[p.char_begin : p.char_end] for p in pieces if p.text.strip("▁")).upper() == "HELLO你好WORLD"
    assert tokenizer.vocabulary_size == own.get_piece_size()


def test_one_character_goes_as_it_is_and_none_is_nothing(model: Path) -> None:
    tokenizer = SentencePieceTokenizer(model)
    assert tokenizer.encode("") == []
    assert tokenizer.encode("  ") == []
    assert [piece.text for piece in tokenizer.encode(" A ")][-1].endswith("A")
    # Not upper-cased by the public pipeline, which would make it unknown: the letter is read all the same.
    assert tokenizer.encode("a")[-1] == Piece("▁A", tokenizer.encode("A")[-1].id, 0, 1)
    assert tokenizer.encode("aA")[-1].id != tokenizer.unknown_id


def test_unknown_characters_have_the_unknown_id(model: Path) -> None:
    tokenizer = SentencePieceTokenizer(model)
    assert tokenizer.encode("ЖЖЖ")[-1].id == tokenizer.unknown_id


def test_a_file_that_is_no_model(tmp_path: Path) -> None:
    junk = tmp_path / "bpe.model"
    with pytest.raises(CheckpointError, match=r"bpe\.model"):
        SentencePieceTokenizer(junk)
    junk.write_bytes(b"not a model")
    with pytest.raises(CheckpointError, match=r"bpe\.model"):
        SentencePieceTokenizer(junk)
