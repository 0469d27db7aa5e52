"""How the pronouncing data is made: alignment, n-grams, the letter-to-sound model on a small dictionary."""

from __future__ import annotations

import math
import shutil

import pytest

from oncue_engine.frontend.dictionary import Dictionary
from oncue_engine.frontend.letters_to_sounds import WORD_BEGIN, WORD_END
from oncue_engine.training.flite_lexicon import FliteLexicon, spoken_phones
from oncue_engine.training.letter_alignment import align, learn_units
from oncue_engine.training.letter_ngrams import estimate
from oncue_engine.training.letters import phone_distance, train_letters


def small_dictionary() -> list[tuple[str, tuple[str, ...]]]:
    dictionary = Dictionary.load()
    listed = sorted(word for word in dictionary.entries if 3 <= len(word) <= 7 and word.isalpha())[::25]
    return [(word, phones) for word in listed if (phones := dictionary.pronounce(word))]


def test_alignment_finds_silent_and_double_letters() -> None:
    words = [
        ("mat", ("m", "ae", "t")),
        ("mate", ("m", "ey", "t")),
        ("six", ("s", "ih", "k", "s")),
        ("sit", ("s", "ih", "t")),
    ]
    scores = learn_units(words * 5, rounds=3)
    aligned = align("mate", ("m", "ey", "t"), scores)
    assert aligned is not None
    assert aligned[0] == [("m", ("m",)), ("a", ("ey",)), ("t", ("t",)), ("e", ())]
    aligned = align("six", ("s", "ih", "k", "s"), scores)
    assert aligned is not None
    assert aligned[0][-1] == ("x", ("k", "s"))
    assert align("a", ("ey", "b", "s"), scores) is None  # one letter never takes three phones


def test_ngrams_are_probabilities() -> None:
    sequences = [(WORD_BEGIN, *word, WORD_END) for word in ((3, 4, 5), (3, 4, 4), (3, 5), (4, 5, 5), (3, 4, 5))]
    ngrams = {
        ids: (probability, back_off) for ids, probability, back_off in estimate(sequences, order=3, units=4, min_gain=0)
    }
    assert all(ids[:-1] in ngrams or len(ids) == 1 for ids in ngrams)

    def probability(ids: tuple[int, ...]) -> float:
        if ids in ngrams:
            return math.exp(ngrams[ids][0])
        back_off = math.exp(ngrams[ids[:-1]][1]) if ids[:-1] in ngrams else 1.0
        return back_off * probability(ids[1:])

    for history in ((), (3,), (4,), (3, 4), (WORD_BEGIN, 3)):
        assert sum(probability((*history, unit)) for unit in (WORD_END, 3, 4, 5)) == pytest.approx(1, abs=0.02)
    assert probability((3, 4)) > probability((3, 3))
    pruned = estimate(sequences, order=3, units=4, min_gain=1.0)
    assert 4 < len(pruned) < len(ngrams)


def test_a_small_dictionary_teaches_spelling() -> None:
    model, figures = train_letters(small_dictionary(), held_out=200)
    assert len(model) > 1_000
    assert figures["held_out_words"] == 200
    assert 0.7 < figures["phone_accuracy"] < 1
    assert figures["word_accuracy"] > 0.15


def test_phone_distance() -> None:
    assert phone_distance(("k", "ae", "t"), ("k", "ae", "t")) == 0
    assert phone_distance(("k", "ae", "t"), ("k", "aa", "t", "s")) == 2
    assert phone_distance((), ("k",)) == 1


@pytest.mark.skipif(shutil.which("flite") is None, reason="flite is not installed; only training needs it")
def test_flite_is_asked_and_answers() -> None:
    assert FliteLexicon().phones("use", "v") == ("y", "uw", "z")
    assert FliteLexicon().phones("use", "n") == ("y", "uw", "s")
    assert spoken_phones("the apple") == ("dh", "iy", "ae", "p", "ax", "l")
