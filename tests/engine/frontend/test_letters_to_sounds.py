"""Words that the dictionary does not list: forms of words that it does, then letters."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oncue_engine.errors import CheckpointError
from oncue_engine.frontend.letters_to_sounds import LettersToSounds, pack_model, unpack_model
from oncue_engine.frontend.phones import PHONES, VOWELS
from oncue_engine.frontend.pronounce import Pronouncer, spell_out

PRONOUNCER = Pronouncer.load()


@pytest.mark.parametrize(
    ("word", "wanted"),
    [
        ("glorbs", "g l ao r b z"),
        ("zelk", "z eh l k"),
        ("fribble", "f r ih b ax l"),
        ("stoving", "s t ow v ih ng"),
        ("phlimp", "f l ih m p"),
        ("chack", "ch ae k"),
        ("thrain", "th r ey n"),
    ],
)
def test_letters_follow_english_spelling(word: str, wanted: str) -> None:
    assert word not in PRONOUNCER.dictionary
    assert " ".join(PRONOUNCER.word(word)) == wanted


@pytest.mark.parametrize(
    ("word", "stem", "ending"),
    [
        ("hobbit's", "hobbit", "s"),
        ("wizardry's", "wizardry", "z"),
        ("church's", "church", "ax z"),
        ("tweezered", None, None),
        ("windowlessness", "windowless", "n ax s"),
        ("griefful", "grief", "f ax l"),
        ("kitten'll", "kitten", "ax l"),
        ("dragons've", "dragons", "ax v"),
    ],
)
def test_forms_of_listed_words(word: str, stem: str | None, ending: str | None) -> None:
    said = " ".join(PRONOUNCER.word(word))
    if stem is not None:
        assert said == " ".join(PRONOUNCER.word(stem)) + f" {ending}"
    assert said


def test_goin_is_going_without_its_g() -> None:
    assert "walkin" not in PRONOUNCER.dictionary
    assert PRONOUNCER.word("walkin") == (*PRONOUNCER.word("walking")[:-1], "n")


@pytest.mark.parametrize(("drawn", "plain"), [("sooo", "so"), ("yessss", "yes"), ("nooooo", "no"), ("cooool", "cool")])
def test_drawn_out_words(drawn: str, plain: str) -> None:
    assert PRONOUNCER.word(drawn) == PRONOUNCER.word(plain)


def test_words_without_vowels_are_spelled() -> None:
    assert PRONOUNCER.word("bcdf") == spell_out("bcdf") == ("b", "iy", "s", "iy", "d", "iy", "eh", "f")


@settings(deadline=None)
@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz'", min_size=1, max_size=60))
def test_every_word_with_a_letter_is_pronounced(word: str) -> None:
    said = PRONOUNCER.word(word)
    assert set(said) <= set(PHONES)
    assert bool(said) == bool(word.strip("'"))
    assert said == PRONOUNCER.word(word)


def test_is_accurate_on_words_it_knows() -> None:
    """The model alone, without the dictionary it learnt from: a damaged or mistrained file falls far below."""
    words = "butterfly mountain yesterday computer adventure beautiful knight question elephant chocolate".split()
    model = LettersToSounds.load()
    exact = sum(model.phones(word) == PRONOUNCER.dictionary.pronounce(word) for word in words)
    assert exact >= 8


def test_a_long_word_takes_linear_time_and_all_its_letters() -> None:
    said = LettersToSounds.load().phones("ba" * 2000)
    assert sum(phone in VOWELS for phone in said) == 2000


def test_model_packs_and_unpacks() -> None:
    units = [("a", ("ey",)), ("b", ()), ("b", ("b",))]
    ngrams = [((1,), -3.0, -0.5), ((1, 3), -0.25, 0.0), ((2,), -1.0, 0.0), ((3,), -0.5, 0.0), ((5,), -0.75, 0.0)]
    model = unpack_model(pack_model(units, ngrams))
    assert model.order == 2
    assert model.log_probabilities == {1: -3.0, 0x103: -0.25, 2: -1.0, 3: -0.5, 5: -0.75}
    assert model.back_offs == {1: -0.5}
    assert model.phones("ab") == ("ey", "b")
    for damaged in (b"", b"junk", pack_model(units, ngrams)[:-8]):
        with pytest.raises(CheckpointError):
            unpack_model(damaged)
