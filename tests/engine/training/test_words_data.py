"""The labelled sentences: what held-out ones must not share with training, templates, and a teacher's answers."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from oncue_engine.training.words.augment import Augment, related_substitutes
from oncue_engine.training.words.labelled import (
    DATA_FOLDER,
    LabelledText,
    emotion_words,
    held_out_stems,
    read_labelled,
    write_labelled,
)
from oncue_engine.training.words.situations import situation_texts
from oncue_engine.training.words.teacher_answers import harvest_answers
from oncue_engine.training.words.templates import templated_texts
from oncue_engine.words.student import EMOTIONS
from oncue_eval.words_baseline import emotion_sentences, keyword_table, keyword_top1

_STEMS = json.loads((DATA_FOLDER / "held_out_stems.json").read_text(encoding="utf-8"))
_DEV = [json.loads(line) for line in (DATA_FOLDER / "dev.jsonl").read_text(encoding="utf-8").splitlines()]
_TEST = emotion_sentences()


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z']+", text.lower())


def _runs(text: str, length: int) -> Iterator[tuple[str, ...]]:
    words = _words(text)
    return (tuple(words[i : i + length]) for i in range(len(words) - length + 1))


@pytest.fixture(scope="module")
def training() -> list[LabelledText]:
    return read_labelled(DATA_FOLDER / "train.jsonl") + templated_texts(14000, seed=1) + situation_texts(14000, seed=1)


def test_the_sets_are_large_and_even(training: list[LabelledText]) -> None:
    written = read_labelled(DATA_FOLDER / "train.jsonl")
    assert len(written) >= 1500
    assert len(_TEST) >= 150
    for items, least in (([i.strongest for i in written], 190), ([i.strongest for i in training], 1500)):
        assert min(Counter(items).values()) >= least
    assert set(Counter(s.strongest for s in _TEST).values()) == {30}
    assert set(Counter(s.strongest for s in emotion_sentences(14)).values()) == {2}


def test_held_out_emotion_words_stand_in_no_training_sentence(training: list[LabelledText]) -> None:
    stems = tuple(held_out_stems())
    clashes = {word for item in training for word in _words(item.text) if word.startswith(stems)}
    assert clashes == set()


@pytest.mark.parametrize("name", ["dev", "test"])
def test_every_emotion_word_of_a_held_out_sentence_is_on_the_list_of_stems(name: str) -> None:
    items = _TEST if name == "test" else [(item["text"], item["emotion_words"]) for item in _DEV]
    for item in items:
        text, words = (item.text, item.emotion_words) if name == "test" else item
        for phrase in words:
            assert phrase in text.lower()
            # "no way" has no word of its own to keep; its two words together are looked for below.
            assert phrase == "no way" or phrase.startswith(tuple(_STEMS[name]))


def test_the_phrase_no_way_is_held_out(training: list[LabelledText]) -> None:
    assert not [item.text for item in training if "no way" in item.text.lower()]


def test_the_words_of_templates_stand_in_no_held_out_sentence() -> None:
    listed = {word for parts in emotion_words().values() for words in parts.values() for word in words}
    forms = {word + ending for word in listed for ending in ("", "s", "ed", "ly", "ness")}
    found = {(word, s.text) for s in _TEST for word in _words(s.text) if word in forms}
    assert found == set()


def test_held_out_sentences_share_no_run_of_four_words_with_training(training: list[LabelledText]) -> None:
    held = {run: s.text for s in _TEST for run in _runs(s.text, 4)}
    held |= {run: item["text"] for item in _DEV for run in _runs(item["text"], 4)}
    shared = {run for item in training for run in _runs(item.text, 4) if run in held}
    assert shared == set()


def test_the_keyword_table_is_a_baseline_worth_beating() -> None:
    top1 = keyword_top1(_TEST, keyword_table())
    assert 2 / 7 < top1 < 0.75  # chance is 1/7; above 0.75 the sentences would be solved by their words


def test_templates_repeat_for_a_seed_and_are_labelled_by_their_words() -> None:
    assert templated_texts(50, seed=3) == templated_texts(50, seed=3)
    words = emotion_words()
    plain = [item for item in templated_texts(700, seed=3) if max(item.weights) > 0.85]
    for item in plain:
        own = [w for part in words[EMOTIONS[item.strongest]].values() for w in part]
        assert any(word in item.text.lower() for word in own), item.text
    assert all(sum(item.weights) == pytest.approx(1) and min(item.weights) >= 0 for item in plain)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{", "needed"),
        ('{"text": "", "weights": {"sad": 1}}', "empty"),
        ('{"text": "a", "weights": {"hungry": 1}}', "hungry"),
        ('{"text": "a", "weights": {"sad": -1, "calm": 2}}', "negative"),
        ('{"text": "a", "weights": {"sad": 0}}', "zero"),
        ('{"text": "a", "weights": {"sad": NaN}}', "finite"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, why: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"text": "fine", "weights": {"calm": 1}}\n' + line + "\n")
    with pytest.raises(ValueError, match=rf"x\.jsonl:2: .*{why}"):
        read_labelled(path)


def test_labelled_lines_survive_writing(tmp_path: Path) -> None:
    items = [LabelledText("a “b” é", (0.5, 0, 0.25, 0, 0, 0, 0.25))]
    write_labelled(items, tmp_path / "x.jsonl")
    assert read_labelled(tmp_path / "x.jsonl") == items


def test_a_teachers_answers_become_labelled_lines() -> None:
    answers = """Sure, here they are:
```json
{"line": 1, "points": {"sad": 80, "angry": 20}},
{"line": 3, "points": {"joyful": 100}}
{"line": 9, "points": {"sad": 100}}
{"line": 2, "points": {}}
{"line": 4, "points": {"calm": 100}}
```"""
    harvest = harvest_answers(["one", "two", "three", "four"], answers)
    assert harvest.items == [
        LabelledText("one", (0, 0.2, 0.8, 0, 0, 0, 0)),
        LabelledText("four", (0, 0, 0, 0, 0, 0, 1)),
    ]
    assert harvest.unanswered == [2, 3]
    assert len(harvest.refused) == 3


def test_augmenting_keeps_the_label_and_never_brings_a_held_out_word() -> None:
    import random

    relations = [("sad", "sorrowful", 1.0), ("sad", "gloomy", 1.0), ("sad", "low", 1.0), ("dog", "hound", 0.3)]
    substitutes = related_substitutes(relations, {"sad", "dog"}, held_out_stems())
    assert substitutes == {"sad": ("low",)}
    item = LabelledText("I am so sad today.", (0, 0, 1, 0, 0, 0, 0))
    augment = Augment(substitutes, ["It is Monday."], swap_share=1.0, drop_share=0, neighbour_share=0.5)
    read = [augment(item, random.Random(i)) for i in range(40)]
    assert {r.weights for r in read} == {item.weights}
    assert all("low" in r.text and "sad" not in r.text for r in read)
    assert any("Monday" in r.text for r in read) and any("Monday" not in r.text for r in read)
    assert augment(item, random.Random(5)) == augment(item, random.Random(5))
