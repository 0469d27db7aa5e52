"""`speaker_top1`: voices registered from speakers that no training item uses, told apart in what comes out."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from statistics import median

from oncue_eval.figures import Figure
from oncue_eval.material import RATE_HZ, everyday_sentences, speaker_clips
from oncue_eval.prosody import measure_prosody
from oncue_eval.speaker_judge import calibrate, distance, nearest, voice_print
from oncue_eval.subject import Subject, registered_voices

__all__ = ["evaluate_speakers"]

_FITNESS = 0.9
_SENTENCES = 3
_REFERENCE = "a"


async def evaluate_speakers(subject: Subject) -> AsyncIterator[Figure]:
    """`speaker_judge_accuracy` on true clips, then `speaker_top1` if it is at least 0.9, and `speaker_pitch_error`.

    The last is the median of |semitones| between the median F0 of output and reference, over outputs that have an F0:
    a vocoder that hums at its own frame rate shows there first. Raises SpeechError.
    """
    speakers = speaker_clips()
    prints = {
        name: {letter: voice_print(clip.samples, RATE_HZ) for letter, clip in clips.items()}
        for name, clips in speakers.items()
    }
    accuracy = calibrate({name: list(own.values()) for name, own in prints.items()})
    yield Figure(
        "speaker_judge_accuracy", accuracy, {"speakers": len(speakers), "clips_each": len(next(iter(prints.values())))}
    )
    if accuracy < _FITNESS:
        subject.listener.note(f"the judge knows only {accuracy:.2f} of the true clips: no speaker_top1")
        return

    references = {name: own[_REFERENCE] for name, own in prints.items()}
    sentences = everyday_sentences(subject.sentences or _SENTENCES)
    own_f0_hz = {name: measure_prosody(own[_REFERENCE].samples, RATE_HZ).f0_median_hz for name, own in speakers.items()}
    right = trials = 0
    semitones: list[float] = []
    clips = {name: own[_REFERENCE].encoded for name, own in speakers.items()}
    async with registered_voices(subject.client, clips) as voices:
        for name, voice in voices.items():
            for seed, sentence in enumerate(sentences, start=1):
                subject.listener.progress(f"speaker_top1: {trials + 1} of {len(voices) * len(sentences)}")
                clip = await subject.client.synthesize(
                    sentence, voice=voice, sample_rate_hz=RATE_HZ, encoding="pcm_f32", seed=seed
                )
                output = voice_print(clip.samples, RATE_HZ)
                f0_hz, expected_hz = measure_prosody(clip.samples, RATE_HZ).f0_median_hz, own_f0_hz[name]
                if f0_hz is not None and expected_hz is not None:
                    semitones.append(abs(12.0 * math.log2(f0_hz / expected_hz)))
                found = nearest(output, references)
                trials, right = trials + 1, right + (found == name)
                distances = ", ".join(f"{other} {distance(output, mark):.1f}" for other, mark in references.items())
                subject.listener.detail(f"{name} taken for {found} | {distances} | F0 {f0_hz} Hz | {sentence}")
    yield subject.figure("speaker_top1", right / trials, trials=trials, speakers=len(references))
    if semitones:
        yield subject.figure("speaker_pitch_error", median(semitones), trials=len(semitones), unit="semitones")
