"""Words to weights beside the engine: answers are kept, refusals are precise, ends are clean."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from oncue_engine.errors import GenerationFailed, InvalidRequest, Overloaded
from oncue_engine.requests import EMOTION_NAMES, EmotionWeights, EmotionWords
from oncue_engine.word_weights import WordWeights
from oncue_engine.words.kept_answers import KeptAnswers
from oncue_engine.words.student import WordsToEmotion


@pytest.fixture(scope="module")
def student(tiny_words_model_dir: Path) -> WordsToEmotion:
    return WordsToEmotion.load(tiny_words_model_dir / "emotion_words")


@pytest.fixture
def words(student: WordsToEmotion, tmp_path: Path) -> Iterator[WordWeights]:
    words = WordWeights(student, KeptAnswers(tmp_path, "student"))
    yield words
    words.close()


class Gated:
    """A model of one emotion that answers when it is let to, and fails as often as it is told to."""

    emotions = ("happy",)

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.failures = 0
        self.asked: list[str] = []
        self._closed = False

    def weigh(self, text: str) -> dict[str, float]:
        self.gate.wait(60)
        if self._closed:
            raise GenerationFailed("closed", reason="ENGINE_CLOSED")
        self.asked.append(text)
        if self.failures > 0:
            self.failures -= 1
            reason = "EMOTION_WORDS_UNREADABLE" if text == "unreadable" else "EMOTION_WORDS_TIMEOUT"
            raise GenerationFailed("no answer", reason=reason)
        return {"happy": len(text) / 200}

    def warm_up(self) -> None:
        pass

    def close(self) -> None:
        self._closed = True
        self.gate.set()


@pytest.fixture
def gated() -> Gated:
    return Gated()


@pytest.fixture
def slow(gated: Gated, tmp_path: Path) -> Iterator[WordWeights]:
    words = WordWeights(gated, KeptAnswers(tmp_path, "gated"))
    yield words
    words.close()


def test_weights_come_in_the_public_order(words: WordWeights, student: WordsToEmotion) -> None:
    said = student.weigh("tired, but proud")
    found = words.weigh(EmotionWords("tired, but proud")).weights
    assert found == pytest.approx([said.get(name, 0.0) for name in EMOTION_NAMES], rel=1e-6)
    assert sum(found) == pytest.approx(1.0) and found[EMOTION_NAMES.index("melancholic")] == 0.0
    assert EmotionWeights.as_told(found).weights == found  # nothing is lost when they are told and come back
    assert words.weigh(EmotionWords("angry")).weights != found


def test_an_answer_is_kept_by_text(words: WordWeights) -> None:
    with ThreadPoolExecutor(8) as callers:
        texts = ["happy", " happy ", "happy\n", "sad"] * 10
        answers = list(callers.map(lambda text: words.weigh(EmotionWords(text)), texts))
    assert len({id(answer) for answer in answers}) == 2
    assert answers[0] is answers[2] is not answers[3]
    assert sum(thread.name.startswith("oncue-words") for thread in threading.enumerate()) == 1


def test_a_restart_asks_nobody_again(gated: Gated, slow: WordWeights, tmp_path: Path) -> None:
    gated.gate.set()
    found = slow.weigh(EmotionWords("happy"))
    slow.close()
    other = Gated()
    again = WordWeights(other, KeptAnswers(tmp_path, "gated"))
    try:
        assert again.weigh(EmotionWords(" happy")) == found
        assert other.asked == []
    finally:
        again.close()


def test_more_texts_than_are_remembered(gated: Gated, slow: WordWeights) -> None:
    gated.gate.set()
    first = slow.weigh(EmotionWords("happy"))
    for number in range(1100):
        slow.weigh(EmotionWords(f"{number}"))
    assert slow.weigh(EmotionWords("happy")) == first
    assert gated.asked.count("happy") == 1


@pytest.mark.parametrize("text", ["", "  \n", "x" * 201, "\ud800"])
def test_words_that_say_nothing_are_refused(words: WordWeights, text: str) -> None:
    for _ in range(2):  # a refusal is an answer too
        with pytest.raises(InvalidRequest) as caught:
            words.weigh(EmotionWords(text))
        assert (caught.value.reason, caught.value.field) == ("EMOTION_WORDS_INVALID", "emotion.words")
        assert caught.value.metadata["max_chars"] == "200"
        caught.value.field = "what a caller makes of it is its own"


def test_what_asking_again_may_mend_is_asked_again(gated: Gated, slow: WordWeights) -> None:
    gated.gate.set()
    gated.failures = 1
    with pytest.raises(GenerationFailed) as caught:
        slow.weigh(EmotionWords("late"))
    assert caught.value.reason == "EMOTION_WORDS_TIMEOUT"
    assert slow.weigh(EmotionWords("late")).weights[0] == 0.02
    gated.failures = 1
    for _ in range(2):
        with pytest.raises(GenerationFailed) as caught:
            slow.weigh(EmotionWords("unreadable"))
        assert caught.value.reason == "EMOTION_WORDS_UNREADABLE"
    assert gated.asked == ["late", "late", "unreadable"]


def test_a_caller_who_leaves_takes_the_answer_from_nobody(gated: Gated, slow: WordWeights) -> None:
    one, other = (slow.weighing(EmotionWords("happy")) for _ in range(2))
    assert one.cancel()
    gated.gate.set()
    assert other.result(60).weights[0] == 0.025


def test_a_crowd_of_new_texts_is_refused(gated: Gated, slow: WordWeights) -> None:
    waiting = [slow.weighing(EmotionWords(f"{number}")) for number in range(64)]
    with pytest.raises(Overloaded) as caught:
        slow.weighing(EmotionWords("one more"))
    assert caught.value.reason == "EMOTION_WORDS_BUSY" and caught.value.retry_after_s >= 1.0
    same = slow.weighing(EmotionWords("63"))  # nobody has to be asked for it
    gated.gate.set()
    assert same.result(60) == waiting[63].result(60)
    assert slow.weigh(EmotionWords("one more")).weights[0] == 0.04


def test_nobody_is_answered_after_the_end(gated: Gated, slow: WordWeights) -> None:
    waiting = [slow.weighing(EmotionWords(text)) for text in ("working", "waiting")]
    slow.close()
    slow.close()
    for future in waiting:
        error = future.exception(60)
        assert isinstance(error, GenerationFailed) and error.reason == "ENGINE_CLOSED"
    for text in ("working", "new"):
        with pytest.raises(GenerationFailed) as caught:
            slow.weigh(EmotionWords(text))
        assert caught.value.reason == "ENGINE_CLOSED"
