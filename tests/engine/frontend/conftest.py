"""A public model's text side, with a small vocabulary of pieces made here."""

from __future__ import annotations

from pathlib import Path

import pytest
import sentencepiece

from oncue_engine.frontend.normalize import PublicNormaliser
from oncue_engine.frontend.sentencepiece_tokenizer import SentencePieceTokenizer
from oncue_engine.frontend.text import TextFrontend

LINES = (
    "HELLO WORLD", "THE QUICK BROWN FOX , JUMPS OVER THE LAZY DOG .", "你 好 , 世 界 !", "今 天 重 庆 有 人 读 字 ?",
    "A B C D E F G H I J K L M N O P Q R S T U V W X Y Z", "A", "' - … @ _ 0 1 2 3 4 5 6 7 8 9",
    "一 二 三 四 五 六 七 八 九 十 百 千 万 点 大 小 于 等 正 负",
)  # fmt: skip
SYLLABLES = ("CHONG2", "QING4", "XVAN4", "LV4", "MA1", "JV4", "ER2")


@pytest.fixture(scope="session")
def bpe_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pieces") / "bpe.model"
    with path.open("wb") as file:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(LINES * 20), model_writer=file, vocab_size=160, model_type="bpe", unk_id=2,
            bos_id=0, eos_id=1, character_coverage=1.0, hard_vocab_limit=False, minloglevel=2,
            user_defined_symbols=list(SYLLABLES),
        )  # fmt: skip
    return path


@pytest.fixture(scope="session")
def public(bpe_model: Path) -> TextFrontend:
    """As `checkpoints.loaded` makes it for a public model."""
    return TextFrontend(SentencePieceTokenizer(bpe_model), PublicNormaliser(), max_pieces=120, whole_sentences=True)
