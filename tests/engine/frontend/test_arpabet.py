"""Words to phones: the agreed ids, readings in running text, agreement with the teacher's own phones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from oncue_engine.errors import CheckpointError, InvalidRequest
from oncue_engine.frontend.arpabet import MARKS, PHONES, VOCABULARY, ArpabetTokenizer, phone_id
from oncue_engine.frontend.dictionary import Dictionary, pack_entries, pack_phones, unpack_entries, unpack_phones

SPOKEN = Path(__file__).parent / "flite_phones.json"


@pytest.fixture(scope="module")
def tokenizer() -> ArpabetTokenizer:
    return ArpabetTokenizer()


def phones(tokenizer: ArpabetTokenizer, text: str) -> str:
    return " ".join(piece.text for piece in tokenizer.encode(text))


def test_ids_are_those_the_weights_were_trained_with(tokenizer: ArpabetTokenizer) -> None:
    assert len(PHONES) == 40
    assert VOCABULARY[:7] == ("<s>", "</s>", "<unk>", ",", ".", "?", "!")
    assert tokenizer.vocabulary_size == len(VOCABULARY) == 47
    assert (phone_id(","), phone_id("!"), phone_id("aa"), phone_id("ax"), phone_id("zh")) == (3, 6, 7, 12, 46)
    with pytest.raises(InvalidRequest) as caught:
        phone_id("xx")
    assert caught.value.reason == "PHONE_UNKNOWN"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Hello, world!", "hh ax l ow , w er l d !"),
        ("the pear", "dh ax p eh r"),
        ("the apple", "dh iy ae p ax l"),
        ("Please close the window.", "p l iy z k l ow z dh ax w ih n d ow ."),
        ("They sat close to it", "dh ey s ae t k l ow s t ax ih t"),
        ("I use the use", "ay y uw z dh ax y uw s"),
        ("to record the record", "t ax r ax k ao r d dh ax r eh k er d"),
        ("it's that's let's", "ih t s dh ae t s l eh t s"),
        ("I don't know", "ay d ow n t n ow"),
        ("dogs' cats'", "d aa g z k ae t s"),
        ("...?!,", ""),
        ("No?!.", "n ow ?"),
        ("1 2 3", ""),
    ],
)
def test_running_text(tokenizer: ArpabetTokenizer, text: str, wanted: str) -> None:
    assert phones(tokenizer, text) == wanted


def test_every_phone_carries_its_word(tokenizer: ArpabetTokenizer) -> None:
    text = "Well, the end."
    spans = [(piece.text, text[piece.char_begin : piece.char_end]) for piece in tokenizer.encode(text)]
    assert spans == [
        ("w", "Well"), ("eh", "Well"), ("l", "Well"), (",", ","), ("dh", "the"), ("iy", "the"),
        ("eh", "end"), ("n", "end"), ("d", "end"), (".", "."),
    ]  # fmt: skip


def test_agrees_with_the_teacher(tokenizer: ArpabetTokenizer) -> None:
    """400 sentences of the training kind and 60 everyday ones, with the phones flite printed for them."""
    wrong = total = 0
    for text, spoken in json.loads(SPOKEN.read_text(encoding="utf-8")):
        said = [piece.text for piece in tokenizer.encode(text) if piece.text not in MARKS]
        wrong += edits(said, spoken.split())
        total += len(spoken.split())
    assert total > 10_000
    assert wrong / total < 0.01


def edits(said: list[str], wanted: list[str]) -> int:
    row = list(range(len(wanted) + 1))
    for i, a in enumerate(said, 1):
        diagonal, row[0] = row[0], i
        for j, b in enumerate(wanted, 1):
            diagonal, row[j] = row[j], min(diagonal + (a != b), row[j] + 1, row[j - 1] + 1)
    return row[-1]


def test_dictionary_packs_and_unpacks() -> None:
    entries = {"a": ("f",), "use": (pack_phones(("y", "uw", "s")), pack_phones(("y", "uw", "z"))), "used": ("Xy",)}
    assert unpack_entries(pack_entries(entries)) == entries
    assert unpack_phones(pack_phones(PHONES)) == PHONES
    with pytest.raises(CheckpointError):
        unpack_entries(b"not a dictionary")


def test_dictionary_is_whole() -> None:
    dictionary = Dictionary.load()
    assert len(dictionary.entries) > 120_000
    assert "zebra" in dictionary
    assert "qwrtz" not in dictionary
    assert dictionary.pronounce("qwrtz") is None
    assert dictionary.pronounce("use") == ("y", "uw", "s")
    assert dictionary.pronounce("use", verb=True) == ("y", "uw", "z")
    assert all(packed and unpack_phones(packed) for entry in dictionary.entries.values() for packed in entry)
