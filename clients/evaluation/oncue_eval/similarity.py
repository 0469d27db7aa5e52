"""Table 1, `speaker_top1` and `speaker_similarity`: voices of speakers that no training item uses, told apart."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from statistics import fmean, median

from oncue_eval.figures import Figure, Goal
from oncue_eval.intelligibility import neutral_lines
from oncue_eval.material import RATE_HZ, readings, voice_clips
from oncue_eval.prosody import measure_prosody
from oncue_eval.speaker_judge import Embedding, SpeakerJudge, calibrate, cosine, nearest
from oncue_eval.subject import Subject

__all__ = ["FITNESS", "evaluate_speakers", "speaker_fitness"]

FITNESS = 0.9
"""A judge that knows fewer of the teacher's clips is not used."""
_TOP1 = 0.95


def speaker_fitness(judge: SpeakerJudge) -> tuple[float, dict[str, Embedding]]:
    """(share of the teacher's readings that the judge knows, the embedding of each held-out speaker's voice clip)."""
    references = {name: judge.embed(clip.samples, RATE_HZ) for name, clip in voice_clips().items()}
    probes: dict[str, list[Embedding]] = {name: [] for name in references}
    for clip in readings():
        probes[clip.speaker].append(judge.embed(clip.samples, RATE_HZ))
    return calibrate(references, probes), references


async def evaluate_speakers(subject: Subject) -> AsyncIterator[Figure]:
    """`speaker_judge_accuracy` on the teacher's clips, then `speaker_top1`, `speaker_similarity` and the pitch error.

    `speaker_similarity` has that of the teacher's reading of the same sentences as `ground_truth`.
    `speaker_pitch_error` is the median of |semitones| between the median F0 of the output and of the teacher's reading
    of the same sentence. Raises SpeechError.
    """
    judge = SpeakerJudge.shipped()
    accuracy, references = speaker_fitness(judge)
    yield Figure(
        "speaker_judge_accuracy",
        accuracy,
        {"speakers": len(references), "clips": len(readings())},
        "1",
        Goal(at_least=FITNESS),
    )
    lines = neutral_lines(subject)
    clips = readings()[: len(lines)]
    takes = await subject.studio.all(subject.studio.take, lines, subject.listener.progress, "speakers")
    if accuracy < FITNESS:
        why = f"the judge knows only {accuracy:.2f} of the teacher's clips"
        for name in ("speaker_top1", "speaker_similarity"):
            yield subject.figure(name, None, "1", why=why)
    else:
        right, ours, true = 0, [], []
        for clip, take in zip(clips, takes, strict=True):
            output = judge.embed(take.samples, RATE_HZ)
            found = nearest(output, references)
            right += found == clip.speaker
            ours.append(cosine(output, references[clip.speaker]))
            true.append(cosine(judge.embed(clip.samples, RATE_HZ), references[clip.speaker]))
            subject.listener.detail(f"{clip.speaker} taken for {found} | {ours[-1]:.3f}, true {true[-1]:.3f}")
        yield subject.figure(
            "speaker_top1",
            right / len(takes),
            "1",
            Goal(at_least=_TOP1),
            trials=len(takes),
            speakers=len(references),
        )
        yield subject.figure(
            "speaker_similarity", fmean(ours), "1", ground_truth=fmean(true), trials=len(takes), unit="cosine"
        )
    off = []
    for clip, take in zip(clips, takes, strict=True):
        f0_hz = measure_prosody(take.samples, RATE_HZ).f0_median_hz
        true_hz = measure_prosody(clip.samples, RATE_HZ).f0_median_hz
        if f0_hz is not None and true_hz is not None:
            off.append(abs(12.0 * math.log2(f0_hz / true_hz)))
    if off:
        yield subject.figure("speaker_pitch_error", median(off), "1", trials=len(off), unit="semitones")
