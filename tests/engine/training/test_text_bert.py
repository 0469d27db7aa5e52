"""The small BERT of the appendix B variant, and its features laid along the codes."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch

from oncue_engine.frontend.arpabet import ArpabetTokenizer
from oncue_engine.frontend.phones import phone_id
from oncue_engine.training.loop import LoopConfig
from oncue_engine.training.text_bert import TextBert, TextBertConfig, spoken_ranges, train_text_bert, word_rows
from oncue_engine.training.tokens import TokenItem

_LIKES = {
    "Anna": "keys", "Peter": "bread", "Maria": "water", "James": "trains", "Sarah": "the garden", "David": "music",
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A world of six sentences: every name tells what follows, and the other way round."""
    torch.manual_seed(0)
    target = tmp_path_factory.mktemp("bert")
    sentences = [f"{name} likes {thing}." for name, thing in _LIKES.items()] * 40
    loop = LoopConfig(steps=300, peak_lr=1e-2, warmup_steps=20, bf16=False)
    train_text_bert(sentences, sentences[:60], target, loop, TextBertConfig(300, 32, 1, 2, 800))
    return target


@pytest.fixture(scope="module")
def bert(folder: Path) -> TextBert:
    return TextBert.load(folder / "model")


def _item(sentence: str, codes_per_token: int = 2) -> TokenItem:
    """Two codes of silence, then each token for `codes_per_token` codes."""
    text = tuple(piece.id for piece in ArpabetTokenizer().encode(sentence))
    spoken = np.concatenate([[-1, -1], np.repeat(np.arange(len(text)), codes_per_token)]).astype(np.int16)
    n = len(spoken)
    codes, features, mel = np.zeros(n, np.int16), np.zeros((n, 4), np.float16), np.zeros((n * 5 // 2, 80), np.float16)
    return TokenItem(codes, features, mel, text, spoken, 0, 0, sentence)


def test_it_guesses_hidden_words_from_the_others(folder: Path, bert: TextBert) -> None:
    with (folder / "log.csv").open() as file:
        guessed = [float(row["value"]) for row in csv.DictReader(file) if row["name"] == "valid_guessed"][-1]
    assert bert.width == 32
    # a quarter of the hidden pieces is the same in every sentence; the others have six candidates
    assert guessed > 0.8


def test_ranges_follow_the_words_where_the_teacher_says_other_phones() -> None:
    tokenizer = ArpabetTokenizer()
    sentence = "Peter went home."
    pieces = tokenizer.encode(sentence)
    exact = spoken_ranges(tokenizer, sentence, [piece.id for piece in pieces])
    assert [sentence[a:b] for a, b in exact] == [sentence[p.char_begin : p.char_end] for p in pieces]
    # a vowel said differently, one phone left out, a pause between the words
    spoken = [phone_id(name) for name in ("p", "ih", "t", "er", ",", "w", "eh", "t", "hh", "ow", "m", ".")]
    words = [sentence[a:b] for a, b in spoken_ranges(tokenizer, sentence, spoken)]
    assert words == ["Peter"] * 5 + ["went"] * 3 + ["home"] * 3 + ["."]


def test_every_code_has_the_feature_of_the_word_spoken_there(bert: TextBert) -> None:
    sentence = "Anna found the keys."
    item = _item(sentence)
    (rows,) = word_rows(bert, [item])
    assert rows.shape == (len(item.codes), 32) and rows.dtype == np.float16
    assert not rows[:2].any(), "nothing is spoken yet"
    ((features, chars),) = bert.features([sentence])
    for k, (begin, end) in enumerate(spoken_ranges(ArpabetTokenizer(), sentence, item.text)):
        inside = [f for f, (a, b) in zip(features, chars, strict=True) if a < end and b > begin]
        assert inside
        for code in (2 + 2 * k, 3 + 2 * k):
            np.testing.assert_allclose(rows[code], np.mean(inside, axis=0), atol=2e-3)


def test_a_sentences_features_do_not_depend_on_its_neighbours_in_the_batch(bert: TextBert) -> None:
    short, long = "Stop!", "Please bring the old suitcase to the station before the meeting on Monday."
    (alone,) = word_rows(bert, [_item(short)])
    together = word_rows(bert, [_item(short), _item(long)])
    np.testing.assert_allclose(together[0], alone, atol=2e-3)


def test_a_model_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        TextBert.load(tmp_path / "nothing")
