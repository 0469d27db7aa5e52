"""The pieces that random public models read with."""

from __future__ import annotations

import pytest
import sentencepiece

from oncue_engine.checkpoints.random_pieces import train_pieces


@pytest.mark.parametrize(("pieces", "words", "characters"), [(12_000, 120_000, 3_755), (600, 400, 100)])
def test_every_character_that_was_asked_for_is_a_piece(pieces: int, words: int, characters: int) -> None:
    model = sentencepiece.SentencePieceProcessor(model_proto=train_pieces(pieces, words=words, characters=characters))
    names = [model.id_to_piece(index) for index in range(model.get_piece_size())]
    assert len(names) == pieces
    assert names[:2] == ["<s>", "</s>"] and model.unk_id() == 2
    assert len([name for name in names if "\u4e00" <= name <= "\u9fff" and len(name) == 1]) == characters
    assert model.unk_id() not in model.encode("你 好 世 界 HELLO WORLD , 25 !")
