"""What the public language model says, read: every tolerance of spec 4.4, and whatever else it may say."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from oncue_engine.errors import GenerationFailed
from oncue_engine.requests import EMOTION_NAMES
from oncue_engine.words.qwen_answer import after_thought, read_answer

CHINESE = ("高兴", "愤怒", "悲伤", "恐惧", "反感", "低落", "惊讶", "自然")
WORDS = "tired, but proud"


def named(**weights: float) -> dict[str, float]:
    return {name: weights.get(name, 0.0) for name in EMOTION_NAMES}


@pytest.mark.parametrize(
    ("answer", "wanted"),
    [
        ('{"高兴": 0.8, "愤怒": 0.0, "悲伤": 0.1, "自然": 0.1}', named(happy=0.8, sad=0.1, calm=0.1)),
        ('{"愤怒": 1, "惊讶": 0.25}', named(angry=1.0, surprised=0.25)),
        ('{"Happy": 0.5, "melancholic": 0.25}', named(happy=0.5, melancholic=0.25)),
        ('{"高兴": 7, "悲伤": -3}', named(happy=1.2)),
        ('{"高兴": "0.75"}', named(happy=0.75)),
        ('{"高兴": "happy"}', named(happy=1.0)),
        ('{"高兴": "惊讶", "悲伤": 0.5}', named(happy=1.0, sad=0.5)),
        ('{"高兴": 0.5, "无关": 9}', named(happy=0.5)),
        ('{"高兴": 0.1, "高兴": 0.5}', named(happy=0.5)),
        ('{"高兴": 0, "自然": 0.0}', named(calm=1.0)),
        ('{"高兴": -1}', named(calm=1.0)),
        ("{}", named(calm=1.0)),
        ('"恐惧"', named(afraid=1.0)),
        ("恐惧", named(afraid=1.0)),
        ("Disgusted.", named(disgusted=1.0)),
        ('{"emotion": "高兴"}', named(happy=1.0)),
        ('{"emotion_label": "angry"}', named(angry=1.0)),
        ('{"label": "低落"}', named(melancholic=1.0)),
        ('{"情感": "Surprised"}', named(surprised=1.0)),
        ('{"情绪": "自然"}', named(calm=1.0)),
        ('```json\n{"高兴": 0.8, "悲伤": 0.2}\n```', named(happy=0.8, sad=0.2)),
        ("高兴: 0.8, 悲伤 : .25", named(happy=0.8, sad=0.25)),
        ("{高兴：0.8，'sad': 1e-1}", named(happy=0.8, sad=0.1)),
        ('{"高兴": 0.8, "愤怒": 0.1, "悲', named(happy=0.8, angry=0.1)),
        ('{"高兴": 0.8} {"悲伤": 0.2}', named(happy=0.8, sad=0.2)),
        ('{"高兴": ' + "9" * 400 + "}", named(happy=1.2)),
        ('{"高兴": -' + "9" * 400 + ', "悲伤": 1}', named(sad=1.0)),
    ],
)
def test_answers_that_can_be_read(answer: str, wanted: dict[str, float]) -> None:
    found = read_answer(answer, WORDS)
    assert found == wanted
    assert tuple(found) == EMOTION_NAMES


@pytest.mark.parametrize(
    "answer",
    [
        *("", "  \n", "no", "[]", "[1]", "null", "true", "0.5", "[" * 100_000, '{"a":' * 100_000, '"\\ud800"'),
        *('{"高兴": NaN}', '{"高兴": Infinity}', '{"高兴": 1e999}', '{"高兴": null}', '{"高兴": true}'),
        *('{"高兴": "much"}', '{"高兴": "nan"}', '{"高兴": "０.５"}', '{"高兴": [0.5]}', '{"emotion": {"高兴": 0.5}}'),
        *('{"emotion": "hungry"}', '{"emotion": 0.5}', '{"someone": "happy"}', '{"高兴" 0.5', "happy or sad"),
        *("高兴: " + "9" * 400, "happily: 1"),
    ],
)
def test_answers_that_cannot_be_read(answer: str) -> None:
    with pytest.raises(GenerationFailed) as caught:
        read_answer(answer, WORDS)
    assert (caught.value.reason, caught.value.field) == ("EMOTION_WORDS_UNREADABLE", "emotion.words")
    assert len(str(caught.value).encode("utf-8")) < 1000


@pytest.mark.parametrize("word", ["低落", "Melancholy", "melancholic", "depression", "Depressed", "so GLOOMY today"])
def test_low_spirits_and_sadness_change_places_where_words_name_them(word: str) -> None:
    answer = '{"悲伤": 0.75, "低落": 0.25, "自然": 0.125}'
    assert read_answer(answer, word) == named(sad=0.25, melancholic=0.75, calm=0.125)
    assert read_answer('{"悲伤": 0.75}', word) == named(melancholic=0.75)
    assert read_answer('悲伤: 0.75, "低落": 0.25', word) == named(sad=0.25, melancholic=0.75)
    assert read_answer('{"emotion": "低落"}', word) == named(melancholic=1.0)  # a label is no score
    assert read_answer(answer, "sad") == named(sad=0.75, melancholic=0.25, calm=0.125)


def test_thoughts_are_left_out() -> None:
    assert after_thought([5, 9, 6, 9, 7, 8], 9) == [7, 8]
    assert after_thought([5, 6], 9) == [5, 6]
    assert after_thought([5, 9], 9) == after_thought([], 9) == []


LABELS = st.sampled_from([*CHINESE, *EMOTION_NAMES, "emotion", "label", "情绪", "Ｈappy", "", " 高兴 ", "x"])
NUMBERS = st.one_of(
    st.floats(),
    st.integers(),
    st.integers(-(10**330), 10**330),
    st.sampled_from(["0.5", "1e400", "-0", "nan", "高兴", "١", "1_0", ""]),
)
VALUES = st.recursive(
    NUMBERS | st.none() | st.booleans() | LABELS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(LABELS | st.text(max_size=3), inner, max_size=4),
    max_leaves=8,
)
WHOLE = VALUES.map(lambda value: json.dumps(value, ensure_ascii=False))
LOOSE = st.lists(
    st.one_of(LABELS, NUMBERS.map(str), st.sampled_from([*":：,.{}[]\"“”'\n", "```", "</think>", "NaN"]), st.text()),
    max_size=24,
).map("".join)
TWICE = st.lists(st.tuples(LABELS, NUMBERS), max_size=6).map(
    lambda pairs: "{" + ", ".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in pairs) + "}"
)


@settings(max_examples=400, deadline=None)
@given(
    st.one_of(WHOLE, LOOSE, TWICE, st.builds(lambda text, end: text[:end], WHOLE | TWICE, st.integers(0, 60))),
    st.sampled_from([WORDS, "gloomy", ""]) | st.text(max_size=20),
)
@example("\ud800: 1", "")
@example('{"sad": -0.0}', "gloomy")
def test_whatever_is_said_becomes_weights_or_one_precise_refusal(answer: str, words: str) -> None:
    try:
        found = read_answer(answer, words)
    except GenerationFailed as error:
        assert error.reason == "EMOTION_WORDS_UNREADABLE"
        str(error).encode("utf-8")  # it can be told to a caller
        return
    assert tuple(found) == EMOTION_NAMES
    assert all(math.isfinite(weight) and 0.0 <= weight <= 1.2 for weight in found.values())
    assert any(found.values())


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from(CHINESE), st.floats(0.0, 1.2), min_size=1))
def test_a_clean_answer_is_taken_as_it_is(scores: dict[str, float]) -> None:
    found = read_answer(json.dumps(scores, ensure_ascii=False), WORDS)
    if any(scores.values()):
        assert [found[name] for name in EMOTION_NAMES] == [scores.get(label, 0.0) for label in CHINESE]
    else:
        assert found == named(calm=1.0)
