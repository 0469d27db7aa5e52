"""An emotion in words -> weights: the model's weigher at work beside the engine's thread, its answers kept.

One thread of its own asks the model, one text at a time and on one core, so that however many texts come, the audio of
those who are being served goes on. The callers wait for their answer; the engine's thread never does.
"""

from __future__ import annotations

import copy
import threading
import time
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor

import torch

from .errors import EngineError, GenerationFailed, InvalidRequest, Overloaded
from .requests import EMOTION_NAMES, EmotionWeights, EmotionWords
from .words.kept_answers import KeptAnswers
from .words.weigher import WordsWeigher

__all__ = ["MAX_WORDS_CHARS", "WordWeights"]

MAX_WORDS_CHARS = 200
_REMEMBERED = 1024
_MAX_WAITING = 64
"""Texts that may wait for the model. A large one takes seconds for each."""
_FINAL = frozenset({"EMOTION_WORDS_INVALID", "EMOTION_WORDS_UNREADABLE"})
"""Refusals that the same words would get again."""


class WordWeights:
    """Every method may be called from any thread. `close` it in the end."""

    def __init__(self, model: WordsWeigher, kept: KeptAnswers) -> None:
        """`kept`: answers of this model from before. Both belong to it from now on."""
        self._model = model
        self._kept = kept
        self._lock = threading.Lock()
        self._closed = False
        self._answers: OrderedDict[str, Future[EmotionWeights]] = OrderedDict()
        self._waiting = 0
        self._last_answer_s = 0.0
        self._worker = ThreadPoolExecutor(1, "oncue-words", initializer=torch.set_num_threads, initargs=(1,))
        try:
            self._worker.submit(model.warm_up).result()
        except BaseException:
            self.close()
            raise

    def weigh(self, words: EmotionWords) -> EmotionWeights:
        """Weights in the order of EMOTION_NAMES, as the contract carries them. Blocks while the model works.

        Raises InvalidRequest (EMOTION_WORDS_INVALID) for words that say nothing or too much, Overloaded
        (EMOTION_WORDS_BUSY) where too many wait, GenerationFailed (ENGINE_CLOSED, or what WordsWeigher.weigh raises).
        """
        return self.weighing(words).result()

    def weighing(self, words: EmotionWords) -> Future[EmotionWeights]:
        """As `weigh`, without waiting: the result, or the error, of the future, which the caller may cancel.

        It is there at once for words that are known. Raises InvalidRequest, Overloaded and ENGINE_CLOSED itself.
        """
        text = " ".join(words.text.split())
        if not text or len(words.text) > MAX_WORDS_CHARS:
            raise _invalid(f"an emotion in words has 1 to {MAX_WORDS_CHARS} characters, and not only blanks")
        own: Future[EmotionWeights] = Future()
        self._shared(text).add_done_callback(lambda shared: _hand_on(shared, own))
        return own

    def close(self) -> None:
        """End thread and model; who waits for an answer gets none (ENGINE_CLOSED)."""
        with self._lock:
            self._closed = True
        self._worker.shutdown(wait=False, cancel_futures=True)
        self._model.close()
        self._worker.shutdown(wait=True)

    def _shared(self, text: str) -> Future[EmotionWeights]:
        """One future for all who give this text."""
        with self._lock:
            if self._closed:
                raise _closed()
            answer = self._answers.get(text)
            if answer is not None and not self._may_change(answer):
                self._answers.move_to_end(text)
                return answer
            kept = self._kept.find(text)
            if kept is not None:
                answer = Future()
                answer.set_result(kept)
            else:
                if self._waiting >= _MAX_WAITING:
                    raise Overloaded(
                        f"{self._waiting} emotions in words are waiting already",
                        retry_after_s=max(1.0, self._last_answer_s),
                        reason="EMOTION_WORDS_BUSY",
                    )
                self._waiting += 1
                answer = self._worker.submit(self._ask, text)
            self._answers[text] = answer
            self._answers.move_to_end(text)
            while len(self._answers) > _REMEMBERED:
                self._answers.popitem(last=False)
            return answer

    def _may_change(self, answer: Future[EmotionWeights]) -> bool:
        """Whether it is a failure that asking again may mend."""
        if not answer.done() or answer.cancelled():
            return False
        error = answer.exception()
        return error is not None and not (isinstance(error, EngineError) and error.reason in _FINAL)

    def _ask(self, text: str) -> EmotionWeights:
        began_s = time.monotonic()
        try:
            found = self._model.weigh(text)
            weights = EmotionWeights.as_told(found.get(name, 0.0) for name in EMOTION_NAMES)
            self._kept.keep(text, weights)
            return weights
        except ValueError as error:
            raise _invalid(str(error)) from error
        finally:
            with self._lock:
                self._waiting -= 1
                self._last_answer_s = time.monotonic() - began_s


def _hand_on(shared: Future[EmotionWeights], own: Future[EmotionWeights]) -> None:
    if not own.set_running_or_notify_cancel():
        return
    if shared.cancelled():
        own.set_exception(_closed())
        return
    error = shared.exception()
    if error is None:
        own.set_result(shared.result())
    else:
        # Each caller its own: whoever raises it puts the name of its own field in.
        own.set_exception(copy.copy(error))


def _closed() -> GenerationFailed:
    return GenerationFailed("the engine was closed", reason="ENGINE_CLOSED")


def _invalid(message: str) -> InvalidRequest:
    return InvalidRequest(
        message,
        reason="EMOTION_WORDS_INVALID",
        field="emotion.words",
        metadata={"min_chars": "1", "max_chars": str(MAX_WORDS_CHARS)},
    )
