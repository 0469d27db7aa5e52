"""Table 2b, `timbre_drop`: does the voice stay who it is when somebody else acts the emotion?"""

from __future__ import annotations

from collections.abc import AsyncIterator
from statistics import fmean

from oncue_eval.figures import Figure, Goal
from oncue_eval.intelligibility import neutral_line
from oncue_eval.material import RATE_HZ, RecordedClip, emotion_clips
from oncue_eval.similarity import FITNESS, speaker_fitness
from oncue_eval.speaker_judge import SpeakerJudge, cosine
from oncue_eval.studio import Line
from oncue_eval.subject import Subject

__all__ = ["evaluate_timbre"]

_DROP = 0.02


async def evaluate_timbre(subject: Subject) -> AsyncIterator[Figure]:
    """`timbre_drop`: similarity to the voice with its own speaker's emotion clip, less that with another's.

    Raises SpeechError.
    """
    judge = SpeakerJudge.shipped()
    accuracy, references = speaker_fitness(judge)
    if accuracy < FITNESS:
        why = f"the judge knows only {accuracy:.2f} of the teacher's clips"
        yield subject.figure("timbre_drop", None, "2b", Goal(at_most=_DROP), why=why)
        return
    pairs = _pairs(subject)
    lines = [_line(subject, voice, clip) for voice, own, other in pairs for clip in (own, other)]
    takes = await subject.studio.all(subject.studio.take, lines, subject.listener.progress, "timbre")
    alike = [judge.embed(take.samples, RATE_HZ) for take in takes]
    own = [cosine(alike[2 * n], references[voice]) for n, (voice, _, _) in enumerate(pairs)]
    other = [cosine(alike[2 * n + 1], references[voice]) for n, (voice, _, _) in enumerate(pairs)]
    for (voice, mine, theirs), left, right in zip(pairs, own, other, strict=True):
        subject.listener.detail(f"{voice} {mine.emotion}: own {left:.3f}, with {theirs.speaker} {right:.3f}")
    yield subject.figure(
        "timbre_drop",
        fmean(own) - fmean(other),
        "2b",
        Goal(at_most=_DROP),
        own_emotion_clip=fmean(own),
        swapped_emotion_clip=fmean(other),
        trials=len(pairs),
    )


def _pairs(subject: Subject) -> list[tuple[str, RecordedClip, RecordedClip]]:
    """(voice, its speaker's clip of an emotion, another speaker's of the same emotion and sentence)."""
    clips = [clip for clip in emotion_clips() if clip.emotion != "calm"]
    pairs = []
    for number, own in enumerate(clips):
        others = [c for c in clips if (c.emotion, c.text) == (own.emotion, own.text) and c.speaker != own.speaker]
        pairs.append((own.speaker, own, others[number % len(others)]))
    # One sentence of each emotion and speaker.
    texts = sorted({clip.text for clip in clips})
    chosen = [pair for pair in pairs if pair[1].text == texts[0]]
    return chosen[: subject.limit(len(chosen))]


def _line(subject: Subject, voice: str, clip: RecordedClip) -> Line:
    number = sorted(subject.voices).index(voice)
    return Line(neutral_line(subject, number).text, subject.voices[voice], emotion=clip.encoded, seed=2)
