"""How long pieces are taken to be, by their script."""

from __future__ import annotations

from pathlib import Path

import pytest

from oncue_engine.checkpoints.guessed_pace import guessed_pace
from oncue_engine.checkpoints.random_pieces import train_pieces
from oncue_engine.checkpoints.random_ranks import make_ranks
from oncue_engine.frontend.multilingual_text import MultilingualText
from oncue_engine.frontend.normalize import PublicNormaliser
from oncue_engine.frontend.sentencepiece_tokenizer import SentencePieceTokenizer
from oncue_engine.frontend.text import TextFrontend
from oncue_engine.frontend.tiktoken_tokenizer import TiktokenTokenizer


@pytest.mark.parametrize(
    ("language", "text", "least_s", "most_s"),
    [
        ("en", "Please close the window before you leave.", 2.0, 3.2),
        ("zh", "请把窗户关上，然后再出门。", 2.2, 3.4),
        ("ja", "窓を閉めてから出かけてください。", 2.0, 3.2),
        ("es", "Por favor, cierra la ventana antes de salir.", 2.2, 3.4),
        ("ar", "أغلق النافذة قبل أن تغادر من فضلك.", 2.0, 3.2),
    ],
)
def test_a_sentence_takes_about_as_long_in_every_language(
    tmp_path: Path, language: str, text: str, least_s: float, most_s: float
) -> None:
    (tmp_path / "small.tiktoken").write_bytes(make_ranks(1024))
    tokenizer = TiktokenTokenizer(tmp_path / "small.tiktoken")
    pace = guessed_pace(tokenizer, 25.0)
    assert len(pace.codes_per_piece) == tokenizer.vocabulary_size
    (segment,) = MultilingualText(tokenizer, 120, 1000).segments(text, language=language)
    assert least_s <= pace.natural_tokens([piece.id for piece in segment.pieces]) / 25.0 <= most_s
    # A character in parts takes as long as a whole one, about.
    parts = [piece.id for piece in tokenizer.encode("鬱")]
    assert len(parts) > 1 and 4 <= pace.natural_tokens(parts) <= 7


@pytest.mark.parametrize(
    ("text", "least_s", "most_s"),
    [
        ("Please close the window before you leave.", 2.0, 3.2),
        ("请把窗户关上，然后再出门。", 2.2, 3.4),
        ("qing3 ba3 chuang1 hu5 guan1 shang4, ran2 hou4 zai4 chu1 men2.", 2.2, 3.4),
    ],
)
def test_pieces_of_letters_characters_and_syllables_too(
    tmp_path: Path, text: str, least_s: float, most_s: float
) -> None:
    path = tmp_path / "bpe.model"
    path.write_bytes(train_pieces(12_000, words=120_000, characters=3_755))
    tokenizer = SentencePieceTokenizer(path)
    pace = guessed_pace(tokenizer, 50.0)
    (segment,) = TextFrontend(tokenizer, PublicNormaliser(), 120).segments(text)
    assert least_s <= pace.natural_tokens([piece.id for piece in segment.pieces]) / 50.0 <= most_s
