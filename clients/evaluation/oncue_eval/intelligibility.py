"""Table 1, `wer`: words that a recogniser takes for others, beside the teacher's own clips of the same speakers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from oncue_eval.figures import Condition, Figure, Goal
from oncue_eval.material import everyday_sentences, readings
from oncue_eval.studio import Line
from oncue_eval.subject import Subject
from oncue_eval.words import normal_words, word_edits

__all__ = ["WordErrors", "errors_of", "evaluate_words", "neutral_line", "neutral_lines"]

_ABOVE_TEACHER = 0.08


@dataclass(frozen=True, slots=True)
class WordErrors:
    """Of several sentences together: a long one counts more than a short one."""

    edits: int
    words: int
    without_error: int
    """Sentences."""

    @property
    def rate(self) -> float:
        return self.edits / self.words


def neutral_line(subject: Subject, number: int) -> Line:
    """Everyday sentence `number`, in the voice of the speaker that reads it in the teacher's clips."""
    speakers = sorted(subject.voices)
    return Line(everyday_sentences()[number], subject.voices[speakers[number % len(speakers)]])


def neutral_lines(subject: Subject) -> list[Line]:
    """One for each of the subject's sentences: what several evaluations compare with."""
    return [neutral_line(subject, number) for number in range(subject.limit(len(everyday_sentences())))]


async def errors_of(subject: Subject, lines: Sequence[Line], about: str) -> WordErrors:
    """What the recogniser hears in the server's takes. Raises SpeechError."""
    heard = await subject.studio.all(subject.studio.heard, lines, subject.listener.progress, about)
    return _count(subject, [line.text for line in lines], heard, about)


async def evaluate_words(subject: Subject) -> AsyncIterator[Figure]:
    """`wer_teacher`, `wer` of the held-out voices, and `wer` of the server's default voice. Raises SpeechError."""
    lines = neutral_lines(subject)
    clips = readings()[: len(lines)]
    heard = [await subject.studio.hear(clip.samples) for clip in clips]
    teacher = _count(subject, [clip.text for clip in clips], heard, "teacher")
    yield Figure("wer_teacher", teacher.rate, {"voices": "held-out speakers", **_conditions(teacher, lines)}, "1")
    ours = await errors_of(subject, lines, "wer")
    goal = Goal(at_most=teacher.rate + _ABOVE_TEACHER)
    yield subject.figure("wer", ours.rate, "1", goal, voices="held-out speakers", **_conditions(ours, lines))
    own = [Line(line.text, subject.voice) for line in lines]
    default = await errors_of(subject, own, "wer, one voice")
    yield subject.figure("wer", default.rate, "1", goal, voices=subject.voice or "default", **_conditions(default, own))


def _conditions(errors: WordErrors, lines: Sequence[Line]) -> dict[str, Condition]:
    return {"sentences": len(lines), "words": errors.words, "without_error": errors.without_error}


def _count(subject: Subject, texts: Sequence[str], heard: Sequence[Sequence[str]], about: str) -> WordErrors:
    edits = words = whole = 0
    for text, found in zip(texts, heard, strict=True):
        expected = normal_words(text)
        wrong = word_edits(expected, found)
        edits, words, whole = edits + wrong, words + len(expected), whole + (wrong == 0)
        subject.listener.detail(f"{about} {wrong}/{len(expected)} | {' '.join(expected)} | {' '.join(found)}")
    return WordErrors(edits, words, whole)
