"""How long pieces of bytes are taken to be, by their script."""

from __future__ import annotations

from pathlib import Path

import pytest

from oncue_engine.checkpoints.guessed_pace import guessed_pace
from oncue_engine.checkpoints.random_ranks import make_ranks
from oncue_engine.frontend.multilingual_text import MultilingualText
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
