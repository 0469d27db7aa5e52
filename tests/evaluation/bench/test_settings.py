"""What is spoken, and how a run is made smaller."""

from __future__ import annotations

from oncue_eval.bench.settings import FULL, QUICK, Setting, text
from oncue_eval.bench.soak import drift, soak_clips
from oncue_eval.bench.systems import model_label


def test_texts_of_a_number_begin_alike_and_count_their_sentences() -> None:
    for number in (0, 7, 29, 31):
        short, long = text(number, 1), text(number, 10)
        assert long.startswith(short + " ")
        assert sum(long.count(mark) for mark in ".?!") == 10
    assert text(0, 1) != text(1, 1)


def test_the_quick_run_has_what_is_read_from_it() -> None:
    assert {(s.concurrency, s.sentences) for s in QUICK.settings} == {(1, 1), (4, 1), (1, 10), (4, 10)}
    assert {s.concurrency for s in QUICK.throughput} == {1, 8}
    assert next(s for s in QUICK.settings if (s.concurrency, s.sentences) == (1, 1)).utterances >= 20


def test_every_stream_of_the_full_run_has_something_to_say() -> None:
    assert {s.concurrency for s in FULL.settings} == {1, 2, 4, 6, 8, 12, 16}
    assert {s.sentences for s in FULL.settings} == {1, 3, 10}
    assert any(s.poisson for s in FULL.settings) and all(s.utterances >= s.concurrency for s in FULL.settings)


def test_a_limited_run_has_one_number_of_streams_and_repeats_nothing() -> None:
    small = QUICK.limited(concurrency=2, utterances=3, sentences=2)
    assert small.settings == (Setting(2, 1, 3), Setting(2, 2, 2))
    assert small.throughput == (Setting(2, 2, 2, paced=False),)
    assert (small.length_pairs, small.equal_utterances, small.gap_free_most, small.long_sentences) == (3, 3, 2, 2)
    assert QUICK.limited(None, None, None) == QUICK


def test_models_by_the_names_that_figures_use() -> None:
    names = [model_label(name) for name in (None, "nano", "random:indextts2", "hub:a/b", "/models/mine/")]
    assert names == ["nano", "nano", "full", "full", "mine"]


def test_drift_compares_the_last_quarter_with_the_second() -> None:
    assert drift([900.0, 900.0, 100.0, 100.0, 500.0, 1.0, 102.0, 102.0]) == 102.0 / 100.0 - 1.0
    assert drift([1.0, 1.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0]) == 0.0


def test_a_soak_has_twenty_voices() -> None:
    assert len(set(soak_clips())) == 20
