"""`emotion_direction`: does an emotion's clip move pace, pitch and level of another voice the way it moves its own?

One actor says one sentence in every emotion; the neutral clip is the zero. The subject's voice says the same sentences
under each clip, and each is compared with the same sentence and seed under the neutral clip.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from oncue_eval.figures import Figure
from oncue_eval.material import RATE_HZ, emotion_clips, everyday_sentences
from oncue_eval.prosody import Prosody, measure_prosody
from oncue_eval.subject import Subject

__all__ = ["AXES", "Change", "changes", "evaluate_emotions"]

_NEUTRAL = "calm"
_JUDGED = ("sad", "happy", "angry", "afraid")
_SENTENCES = 24  # Six leave an error of five per cent of the pace, as much as a change that counts.
_SURE = 2.0
"""A mean change counts as measured when it is this many standard errors away from zero..."""
_HEARD = 0.25
"""...and at least this share of what AXES asks of the clip: a sure change that nobody hears is none."""

AXES: Mapping[str, float] = {"seconds": 0.1, "pitch": 1.0, "level": 1.5}
"""Axes and how much a clip must differ from the neutral one to have a direction there: ln of the length of speech
(0.1 is ten per cent), semitones of median F0, dB."""


@dataclass(frozen=True, slots=True)
class Change:
    """Along one axis, in the units of AXES."""

    axis: str
    clip: float
    """The emotion's clip against the neutral one."""
    output: float
    """Mean over the sentences."""
    standard_error: float
    follows: bool | None
    """True: a measured change in the clip's direction. None: the clip has no direction on this axis."""


async def evaluate_emotions(subject: Subject) -> AsyncIterator[Figure]:
    """`emotion_change` for each emotion and axis, `emotion_direction` for each emotion and for all. Raises SpeechError.

    The value of `emotion_direction` is the share of axes with a direction on which the output follows it.
    """
    clips = emotion_clips()
    sentences = everyday_sentences(max(2, subject.sentences or _SENTENCES))  # One has no standard error.
    neutral_clip = measure_prosody(clips[_NEUTRAL].samples, RATE_HZ)
    neutral = await _outputs(subject, sentences, _NEUTRAL, clips[_NEUTRAL].encoded)
    found: list[Change] = []
    for emotion in _JUDGED:
        clip = measure_prosody(clips[emotion].samples, RATE_HZ)
        outputs = await _outputs(subject, sentences, emotion, clips[emotion].encoded)
        here = changes(neutral_clip, clip, neutral, outputs)
        for change in here:
            yield subject.figure(
                "emotion_change",
                change.output,
                emotion=emotion,
                axis=change.axis,
                clip=change.clip,
                standard_error=change.standard_error,
                follows=change.follows,
                sentences=len(sentences),
            )
        yield _direction(subject, emotion, here)
        found += here
    yield _direction(subject, "all", found)


def changes(
    neutral_clip: Prosody, clip: Prosody, neutral: Sequence[Prosody], outputs: Sequence[Prosody]
) -> list[Change]:
    """Per axis; `neutral` and `outputs` are the same sentences. An axis without two measured pairs is left out."""
    result = []
    for axis, least in AXES.items():
        shown = _difference(axis, neutral_clip, clip)
        pairs = [_difference(axis, before, after) for before, after in zip(neutral, outputs, strict=True)]
        measured = [pair for pair in pairs if pair is not None]
        if shown is None or len(measured) < 2:
            continue
        mean, error = fmean(measured), stdev(measured) / math.sqrt(len(measured))
        measured_change = abs(mean) > max(_SURE * error, _HEARD * least)
        follows = None if abs(shown) < least else mean * shown > 0 and measured_change
        result.append(Change(axis, shown, mean, error, follows))
    return result


def _direction(subject: Subject, emotion: str, found: Sequence[Change]) -> Figure:
    judged = [change.follows for change in found if change.follows is not None]
    value = sum(judged) / len(judged) if judged else 0.0
    return subject.figure("emotion_direction", value, emotion=emotion, axes=len(judged))


def _difference(axis: str, before: Prosody, after: Prosody) -> float | None:
    if axis == "seconds":
        return math.log(after.speech_s / before.speech_s)
    if axis == "level":
        return after.level_dbfs - before.level_dbfs
    if before.f0_median_hz is None or after.f0_median_hz is None:
        return None
    return 12.0 * math.log2(after.f0_median_hz / before.f0_median_hz)


async def _outputs(subject: Subject, sentences: Sequence[str], emotion: str, clip: bytes) -> list[Prosody]:
    found = []
    for number, sentence in enumerate(sentences, start=1):
        subject.listener.progress(f"emotion {emotion}: {number} of {len(sentences)}")
        spoken = await subject.client.synthesize(
            sentence, voice=subject.voice, emotion=clip, sample_rate_hz=RATE_HZ, encoding="pcm_f32", seed=number
        )
        found.append(measure_prosody(spoken.samples, RATE_HZ))
        subject.listener.detail(f"{emotion} | {found[-1]} | {sentence}")
    return found
