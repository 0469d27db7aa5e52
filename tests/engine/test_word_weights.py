"""Words to weights beside the engine: answers are kept, callers do not wait for each other's model, ends are clean."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from oncue_engine.errors import CheckpointError, InvalidRequest
from oncue_engine.requests import EMOTION_NAMES, EmotionWords
from oncue_engine.word_weights import WordWeights

NAMES = tuple(name for name in EMOTION_NAMES if name != "melancholic")


class Keywords:
    """A student that looks for emotion names in the text."""

    def __init__(self, names: tuple[str, ...] = NAMES) -> None:
        self.names = names
        self.asked: list[str] = []
        self.threads: set[str] = set()

    def weigh(self, text: str) -> dict[str, float]:
        self.asked.append(text)
        self.threads.add(threading.current_thread().name)
        found = [name for name in self.names if name in text]
        if not found:
            raise ValueError(f"nothing in {text!r}")
        return {name: (name in found) / len(found) for name in self.names}


@pytest.fixture
def student() -> Keywords:
    return Keywords()


@pytest.fixture
def words(student: Keywords) -> Iterator[WordWeights]:
    words = WordWeights(student, NAMES)
    yield words
    words.close()


def test_weights_come_in_the_public_order(words: WordWeights) -> None:
    found = words.weigh(EmotionWords("sad, but happy")).weights
    assert dict(zip(EMOTION_NAMES, found, strict=True)) == {
        **dict.fromkeys(EMOTION_NAMES, 0.0),
        "sad": 0.5,
        "happy": 0.5,
    }


def test_an_answer_is_kept_by_text(words: WordWeights, student: Keywords) -> None:
    student.asked.clear()
    with ThreadPoolExecutor(8) as callers:
        texts = ["happy", " happy ", "happy\n", "sad"] * 10
        answers = list(callers.map(lambda text: words.weigh(EmotionWords(text)), texts))
    assert sorted(student.asked) == ["happy", "sad"]
    assert answers[0] == answers[1] == answers[2] != answers[3]
    assert student.threads == {"oncue-words_0"}


@pytest.mark.parametrize("text", ["", "  \n", "x" * 201, "no such mood"])
def test_words_that_say_nothing_are_refused(words: WordWeights, text: str) -> None:
    for _ in range(2):  # a refusal is an answer too
        with pytest.raises(InvalidRequest) as caught:
            words.weigh(EmotionWords(text))
        assert (caught.value.reason, caught.value.field) == ("EMOTION_WORDS_INVALID", "emotion.words")
        assert caught.value.metadata["max_chars"] == "200"


def test_old_answers_make_room(words: WordWeights, student: Keywords) -> None:
    words.weigh(EmotionWords("happy"))
    for number in range(1024):
        words.weigh(EmotionWords(f"sad {number}"))
    asked = len(student.asked)
    words.weigh(EmotionWords("sad 1023"))
    assert len(student.asked) == asked
    words.weigh(EmotionWords("happy"))
    assert len(student.asked) == asked + 1


def test_a_student_that_knows_more_than_the_bank_is_refused() -> None:
    with pytest.raises(CheckpointError, match="melancholic"):
        WordWeights(Keywords(EMOTION_NAMES), NAMES)
