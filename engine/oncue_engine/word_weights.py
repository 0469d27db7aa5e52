"""An emotion in words -> weights: the model's student at work beside the engine's thread, its answers kept.

One thread of its own asks the student, one text at a time and on one core, so that however many texts come, the audio
of those who are being served goes on. The callers wait for their answer; the engine's thread never does.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor

import torch

from .errors import GenerationFailed, InvalidRequest
from .requests import EMOTION_NAMES, EmotionWeights, EmotionWords
from .words.student import WordsToEmotion

__all__ = ["MAX_WORDS_CHARS", "WordWeights"]

MAX_WORDS_CHARS = 200
_KEPT_ANSWERS = 1024
_WARM_UP = "calm and even"


class WordWeights:
    """Every method may be called from any thread. `close` it in the end."""

    def __init__(self, student: WordsToEmotion) -> None:
        """Asks the student once: its first answer takes longer than the others."""
        self._student = student
        self._lock = threading.Lock()
        self._closed = False
        self._answers: OrderedDict[str, Future[EmotionWeights]] = OrderedDict()
        self._worker = ThreadPoolExecutor(1, "oncue-words", initializer=torch.set_num_threads, initargs=(1,))
        try:
            self._worker.submit(student.weigh, _WARM_UP).result()
        except BaseException:
            self.close()
            raise

    def weigh(self, words: EmotionWords) -> EmotionWeights:
        """Weights in the order of EMOTION_NAMES, whose sum is 1. Blocks for some milliseconds at a new text.

        Raises InvalidRequest (EMOTION_WORDS_INVALID) for words that say nothing or too much, GenerationFailed
        (ENGINE_CLOSED).
        """
        text = " ".join(words.text.split())
        if not text or len(words.text) > MAX_WORDS_CHARS:
            raise _invalid(f"an emotion in words has 1 to {MAX_WORDS_CHARS} characters, and not only blanks")
        with self._lock:
            if self._closed:
                raise GenerationFailed("the engine was closed", reason="ENGINE_CLOSED")
            answer = self._answers.get(text)
            if answer is None:
                answer = self._answers[text] = self._worker.submit(self._ask, text)
            self._answers.move_to_end(text)
            while len(self._answers) > _KEPT_ANSWERS:
                self._answers.popitem(last=False)
        try:
            return answer.result()
        except ValueError as error:
            raise _invalid(str(error)) from error
        except CancelledError:
            raise GenerationFailed("the engine was closed", reason="ENGINE_CLOSED") from None

    def close(self) -> None:
        """End the thread; who waits for an answer gets none (ENGINE_CLOSED)."""
        with self._lock:
            self._closed = True
        self._worker.shutdown(wait=True, cancel_futures=True)

    def _ask(self, text: str) -> EmotionWeights:
        found = self._student.weigh(text)
        return EmotionWeights(tuple(found.get(name, 0.0) for name in EMOTION_NAMES))


def _invalid(message: str) -> InvalidRequest:
    return InvalidRequest(
        message,
        reason="EMOTION_WORDS_INVALID",
        field="emotion.words",
        metadata={"min_chars": "1", "max_chars": str(MAX_WORDS_CHARS)},
    )
