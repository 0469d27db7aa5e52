"""Words to weights beside the engine: answers are kept, refusals are precise, ends are clean."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from oncue_engine.errors import GenerationFailed, InvalidRequest
from oncue_engine.requests import EMOTION_NAMES, EmotionWords
from oncue_engine.word_weights import WordWeights
from oncue_engine.words.student import WordsToEmotion


@pytest.fixture(scope="module")
def student(tiny_words_model_dir: Path) -> WordsToEmotion:
    return WordsToEmotion.load(tiny_words_model_dir / "emotion_words")


@pytest.fixture
def words(student: WordsToEmotion) -> Iterator[WordWeights]:
    words = WordWeights(student)
    yield words
    words.close()


def test_weights_come_in_the_public_order(words: WordWeights, student: WordsToEmotion) -> None:
    said = student.weigh("tired, but proud")
    found = words.weigh(EmotionWords("tired, but proud")).weights
    assert found == tuple(said.get(name, 0.0) for name in EMOTION_NAMES)
    assert sum(found) == pytest.approx(1.0) and found[EMOTION_NAMES.index("melancholic")] == 0.0
    assert words.weigh(EmotionWords("angry")).weights != found


def test_an_answer_is_kept_by_text(words: WordWeights) -> None:
    with ThreadPoolExecutor(8) as callers:
        texts = ["happy", " happy ", "happy\n", "sad"] * 10
        answers = list(callers.map(lambda text: words.weigh(EmotionWords(text)), texts))
    assert len({id(answer) for answer in answers}) == 2
    assert answers[0] is answers[2] is not answers[3]
    assert sum(thread.name.startswith("oncue-words") for thread in threading.enumerate()) == 1


def test_old_answers_make_room(words: WordWeights) -> None:
    first = words.weigh(EmotionWords("happy"))
    for number in range(1023):
        words.weigh(EmotionWords(f"{number}"))
    assert words.weigh(EmotionWords("happy")) is first  # and is the youngest again
    for number in range(1023, 2047):
        words.weigh(EmotionWords(f"{number}"))
    again = words.weigh(EmotionWords("happy"))
    assert again is not first and again == first


@pytest.mark.parametrize("text", ["", "  \n", "x" * 201, "\ud800"])
def test_words_that_say_nothing_are_refused(words: WordWeights, text: str) -> None:
    for _ in range(2):  # a refusal is an answer too
        with pytest.raises(InvalidRequest) as caught:
            words.weigh(EmotionWords(text))
        assert (caught.value.reason, caught.value.field) == ("EMOTION_WORDS_INVALID", "emotion.words")
        assert caught.value.metadata["max_chars"] == "200"


def test_nobody_is_answered_after_the_end(student: WordsToEmotion) -> None:
    words = WordWeights(student)
    words.weigh(EmotionWords("happy"))
    words.close()
    words.close()
    for text in ("happy", "new"):
        with pytest.raises(GenerationFailed) as caught:
            words.weigh(EmotionWords(text))
        assert caught.value.reason == "ENGINE_CLOSED"
