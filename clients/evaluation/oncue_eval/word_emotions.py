"""Table 5, `words_emotion_top1`: the emotion that the server finds in held-out sentences, beside a keyword table."""

from __future__ import annotations

from collections.abc import AsyncIterator
from statistics import fmean

from oncue.emotions import Words
from oncue_eval.figures import Figure, Goal
from oncue_eval.subject import Subject
from oncue_eval.words_baseline import EmotionSentence, emotion_sentences, keyword_table, keyword_top1

__all__ = ["evaluate_word_emotions"]

_TOP1 = 0.8
_ABOVE_KEYWORDS = 0.15
_TEXT = "Hello there."
"""Something to say: a plan tells what the words come down to, and nothing has to be spoken for it."""


async def evaluate_word_emotions(subject: Subject) -> AsyncIterator[Figure]:
    """`words_emotion_top1` of the keyword table and of the server, in all and where no emotion word stands.

    Raises SpeechError.
    """
    sentences = emotion_sentences(subject.sentences)
    table = keyword_table()
    keywords = keyword_top1(sentences, table)
    yield Figure("words_emotion_top1", keywords, {"system": "keyword table", "sentences": len(sentences)}, "5")
    goal = Goal(at_least=max(_TOP1, keywords + _ABOVE_KEYWORDS))
    if not subject.info.emotion_from_words:
        why = "the model takes no emotion in words"
        yield subject.figure("words_emotion_top1", None, "5", goal, system="oncue", why=why)
        return
    right = [await _found(subject, sentence, number) for number, sentence in enumerate(sentences, start=1)]
    yield subject.figure(
        "words_emotion_top1", fmean(right), "5", goal, system="oncue", sentences=len(right), keyword_table=keywords
    )
    for named in (True, False):
        own = [hit for hit, s in zip(right, sentences, strict=True) if bool(s.emotion_words) is named]
        theirs = [s for s in sentences if bool(s.emotion_words) is named]
        if own:
            yield subject.figure(
                "words_emotion_top1",
                fmean(own),
                "5",
                system="oncue",
                emotion_named=named,
                sentences=len(own),
                keyword_table=keyword_top1(theirs, table),
            )


async def _found(subject: Subject, sentence: EmotionSentence, number: int) -> bool:
    subject.listener.progress(f"words: {number}")
    plan = await subject.client.plan(_TEXT, voice=subject.voice, emotion=Words(sentence.text))
    weights = plan.emotion_weights or {}
    strongest = max(weights, key=lambda name: weights[name], default="none")
    subject.listener.detail(f"{sentence.strongest} taken for {strongest} | {sentence.text}")
    return strongest == sentence.strongest
