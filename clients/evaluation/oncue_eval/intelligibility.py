"""`wer`: words that a recogniser takes for others, with the teacher's voices on the same sentences beside it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import numpy as np
import numpy.typing as npt

from oncue_eval.figures import Condition, Figure
from oncue_eval.material import RATE_HZ, everyday_sentences
from oncue_eval.recogniser import Recogniser
from oncue_eval.subject import Subject
from oncue_eval.teacher import TEACHERS, teacher_available, teacher_reads
from oncue_eval.words import normal_words, word_edits

__all__ = ["evaluate_words"]

_SEED = 1

_Reader = Callable[[str], Awaitable[npt.NDArray[np.float32]]]


async def evaluate_words(subject: Subject) -> AsyncIterator[Figure]:
    """`wer` of the subject's voice, then `wer_teacher` for each of the teacher's. Raises SpeechError."""
    sentences = everyday_sentences(subject.sentences)
    recogniser = Recogniser()

    async def ours(sentence: str) -> npt.NDArray[np.float32]:
        clip = await subject.client.synthesize(
            sentence, voice=subject.voice, sample_rate_hz=RATE_HZ, encoding="pcm_f32", seed=_SEED
        )
        return clip.samples

    yield await _word_error_rate(subject, recogniser, sentences, ours, "wer", subject.voice or "default")
    if not teacher_available():
        subject.listener.note("flite is not installed: no wer_teacher")
        return
    for voice in TEACHERS:

        async def teachers(sentence: str, voice: str = voice) -> npt.NDArray[np.float32]:
            return await asyncio.to_thread(teacher_reads, sentence, voice)

        yield await _word_error_rate(subject, recogniser, sentences, teachers, "wer_teacher", f"flite {voice}")


async def _word_error_rate(
    subject: Subject, recogniser: Recogniser, sentences: list[str], read: _Reader, name: str, voice: str
) -> Figure:
    """All edits over all words: a long sentence counts more than a short one."""
    edits = words = whole = 0
    for number, sentence in enumerate(sentences, start=1):
        subject.listener.progress(f"{name} {voice}: {number} of {len(sentences)}")
        expected = normal_words(sentence)
        heard = await asyncio.to_thread(recogniser.hear, await read(sentence))
        wrong = word_edits(expected, heard)
        edits, words, whole = edits + wrong, words + len(expected), whole + (wrong == 0)
        subject.listener.detail(f"{voice} {wrong}/{len(expected)} | {' '.join(expected)} | {' '.join(heard)}")
    conditions: dict[str, Condition] = {
        "voice": voice,
        "sentences": len(sentences),
        "words": words,
        "without_error": whole,
    }
    if name == "wer_teacher":
        return Figure(name, edits / words, conditions)
    return subject.figure(name, edits / words, **conditions, seed=_SEED)
