"""Table 2, `emotion_accuracy` and `wer_emotion_delta`: are an emotion and the words heard, however it is given?

An emotion is given as audio (another speaker acts another sentence), by a vector, and by words. The judge compares each
take with neutral takes of the same voice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from oncue.emotions import Words
from oncue_eval.emotion_judge import EmotionJudge
from oncue_eval.figures import Condition, Figure, Goal
from oncue_eval.intelligibility import errors_of, neutral_line
from oncue_eval.manner import AXES, Manner, away_from, measure_manner
from oncue_eval.material import (
    RATE_HZ,
    RecordedClip,
    emotion_clips,
    emotion_words,
    everyday_sentences,
    plain_seconds,
    readings,
)
from oncue_eval.studio import EmotionSource, Line
from oncue_eval.subject import Subject

__all__ = ["FITNESS", "acted_manners", "evaluate_emotions"]

FITNESS = 0.9
"""A judge that knows fewer of the teacher's clips is not used."""
_ACCURACY = 0.75
_CALM = "calm"
_WORSE_BY = 0.05
_TRIALS = 10
"""Of each emotion and source."""
_NEUTRAL_TAKES = 3
_SOURCES = ("audio", "vector", "words")


@dataclass(frozen=True, slots=True)
class _Trial:
    emotion: str
    number: int
    """Of the everyday sentence; it decides the voice as well."""
    source: EmotionSource


async def evaluate_emotions(subject: Subject) -> AsyncIterator[Figure]:
    """The judge's accuracy on teacher clips, then accuracy, likeness to the teacher, and words for each source.

    Raises SpeechError.
    """
    judge = EmotionJudge.shipped()
    acted = acted_manners()
    fit = fmean(float(judge.judge(manner) == clip.emotion) for clip, manner in acted)
    yield Figure(
        "emotion_judge_accuracy",
        fit,
        {"clips": len(acted), "speakers": len({clip.speaker for clip, _ in acted})},
        "2",
        Goal(at_least=FITNESS),
    )
    neutral = await _neutral_manners(subject)
    accuracies: list[float] = []
    goal = Goal(at_least=_ACCURACY)
    for source in _SOURCES:
        trials = _trials(subject, source)
        if not trials:
            why = f"the model takes no emotion by {source}"
            yield subject.figure("emotion_accuracy", None, "2", goal, source=source, why=why)
            continue
        lines = [_line(subject, trial) for trial in trials]
        takes = await subject.studio.all(subject.studio.take, lines, subject.listener.progress, f"emotion by {source}")
        shown = [
            away_from(
                neutral[_speaker(subject, trial)], measure_manner(take.samples, RATE_HZ, plain_seconds(line.text))
            )
            for trial, line, take in zip(trials, lines, takes, strict=True)
        ]
        if fit < FITNESS:
            why = f"the judge knows only {fit:.2f} of the teacher's clips"
            yield subject.figure("emotion_accuracy", None, "2", source=source, why=why)
        else:
            found = [judge.judge(manner) for manner in shown]
            accuracies.append(fmean(float(one == t.emotion) for one, t in zip(found, trials, strict=True)))
            for emotion, confusions in _confusions(trials, found).items():
                subject.listener.detail(f"{source} {emotion} taken for {confusions}")
            yield subject.figure(
                "emotion_accuracy",
                accuracies[-1],
                "2",
                goal,
                source=source,
                trials=len(trials),
                **{f"{emotion}_right": share for emotion, share in _recalls(trials, found).items()},
            )
        for figure in _likeness(subject, judge, source, trials, shown, acted):
            yield figure
        yield await _word_errors(subject, source, trials, lines)
    lowest = min(accuracies) if len(accuracies) == len(_SOURCES) else None
    why_not: dict[str, Condition] = {} if lowest is not None else {"why": "not all three ways could be measured"}
    yield subject.figure("emotion_accuracy", lowest, "2", goal, source="lowest of the three", **why_not)


def acted_manners() -> list[tuple[RecordedClip, Manner]]:
    """Each of the teacher's emotion clips, and what it does away from the same speaker's neutral readings."""
    neutral: dict[str, list[Manner]] = {}
    for clip in readings():
        manner = measure_manner(clip.samples, RATE_HZ, plain_seconds(clip.text))
        neutral.setdefault(clip.speaker, []).append(manner)
    return [
        (clip, away_from(neutral[clip.speaker], measure_manner(clip.samples, RATE_HZ, plain_seconds(clip.text))))
        for clip in emotion_clips()
    ]


async def _neutral_manners(subject: Subject) -> dict[str, list[Manner]]:
    """Of each voice, without an emotion asked for."""
    speakers = sorted(subject.voices)
    used = {trial.number % len(speakers) for source in _SOURCES for trial in _trials(subject, source)}
    every = range(min(len(everyday_sentences()), _NEUTRAL_TAKES * len(speakers)))
    numbers = [number for number in every if number % len(speakers) in used]
    lines = [neutral_line(subject, number) for number in numbers]
    takes = await subject.studio.all(subject.studio.take, lines, subject.listener.progress, "neutral")
    found: dict[str, list[Manner]] = {}
    for number, line, take in zip(numbers, lines, takes, strict=True):
        manner = measure_manner(take.samples, RATE_HZ, plain_seconds(line.text))
        found.setdefault(speakers[number % len(speakers)], []).append(manner)
    return found


def _trials(subject: Subject, source: str) -> list[_Trial]:
    """Each emotion in turn for every voice, the sentence moving along; empty where the model cannot be asked so."""
    if (source == "vector" and not subject.info.emotions) or (
        source == "words" and not subject.info.emotion_from_words
    ):
        return []
    clips, words = emotion_clips(), emotion_words()
    speakers = sorted(subject.voices)
    trials = []
    for place, emotion in enumerate(words):
        for number in range(subject.limit(_TRIALS)):
            voice = speakers[number % len(speakers)]
            given: EmotionSource
            if source == "audio":
                others = [clip for clip in clips if clip.emotion == emotion and clip.speaker != voice]
                given = others[number % len(others)].encoded
            elif source == "vector":
                given = ((emotion, 1.0),)
            else:
                given = Words(words[emotion][number % len(words[emotion])])
            # Another of the voice's sentences for every other emotion.
            sentence = number + len(speakers) * (place % _NEUTRAL_TAKES)
            trials.append(_Trial(emotion, sentence % len(everyday_sentences()), given))
    return trials


def _speaker(subject: Subject, trial: _Trial) -> str:
    speakers = sorted(subject.voices)
    return speakers[trial.number % len(speakers)]


def _line(subject: Subject, trial: _Trial) -> Line:
    neutral = neutral_line(subject, trial.number)
    # Another seed than the neutral take's: nothing may be alike by chance.
    return Line(neutral.text, neutral.voice, emotion=trial.source, seed=2)


def _recalls(trials: Sequence[_Trial], found: Sequence[str]) -> dict[str, float]:
    emotions = dict.fromkeys(trial.emotion for trial in trials)
    return {
        emotion: fmean(float(one == emotion) for one, t in zip(found, trials, strict=True) if t.emotion == emotion)
        for emotion in emotions
    }


def _confusions(trials: Sequence[_Trial], found: Sequence[str]) -> Mapping[str, str]:
    counts: dict[str, Counter[str]] = {}
    for trial, one in zip(trials, found, strict=True):
        counts.setdefault(trial.emotion, Counter())[one] += 1
    return {emotion: ", ".join(f"{one} {n}" for one, n in own.most_common()) for emotion, own in counts.items()}


def _likeness(
    subject: Subject,
    judge: EmotionJudge,
    source: str,
    trials: Sequence[_Trial],
    shown: Sequence[Manner],
    acted: Sequence[tuple[RecordedClip, Manner]],
) -> list[Figure]:
    """`emotion_similarity`: how much the mean change of manner is the teacher's, as the cosine of the two.

    Every axis in units of its spread over the teacher's clips; beside it what was measured, and the teacher's. Calm is
    left out: it has no direction.
    """
    figures = []
    for emotion in dict.fromkeys(trial.emotion for trial in trials if trial.emotion != _CALM):
        ours = np.mean([m for m, t in zip(shown, trials, strict=True) if t.emotion == emotion], axis=0)
        teachers = np.mean([manner for clip, manner in acted if clip.emotion == emotion], axis=0)
        left, right = ours / judge.spread, teachers / judge.spread
        cosine = float(left @ right / max(float(np.linalg.norm(left) * np.linalg.norm(right)), 1e-9))
        measured = {axis: f"{a:+.2f} of {b:+.2f}" for axis, a, b in zip(AXES, ours, teachers, strict=True)}
        figures.append(subject.figure("emotion_similarity", cosine, "2", source=source, emotion=emotion, **measured))
    return figures


async def _word_errors(subject: Subject, source: str, trials: Sequence[_Trial], lines: Sequence[Line]) -> Figure:
    acted = [(trial, line) for trial, line in zip(trials, lines, strict=True) if trial.emotion != _CALM]
    # The same sentences by the same voices, each as often as it is acted.
    plain = await errors_of(subject, [neutral_line(subject, trial.number) for trial, _ in acted], "neutral words")
    errors = await errors_of(subject, [line for _, line in acted], f"words by {source}")
    return subject.figure(
        "wer_emotion_delta",
        errors.rate - plain.rate,
        "2",
        Goal(at_most=_WORSE_BY),
        source=source,
        neutral=plain.rate,
        words=errors.words,
    )
