"""Tables 3 and 3b: tokens and samples that came against those asked for, and the words at those lengths.

`token_error` with the end not forced is the paper's table 3: the model is told a number and ends by itself. The true
length is that of the teacher's reading of the sentence by the same speaker.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from statistics import fmean

from oncue.errors import LengthInfeasible
from oncue.speech import Pacing
from oncue_eval.figures import Condition, Figure, Goal
from oncue_eval.intelligibility import errors_of, neutral_lines
from oncue_eval.material import RATE_HZ, everyday_sentences, readings
from oncue_eval.studio import Line
from oncue_eval.subject import Subject
from oncue_eval.teacher import TEACHERS, teacher_available, teacher_reads
from oncue_eval.words import normal_words, word_edits

__all__ = ["FACTORS", "evaluate_lengths"]

FACTORS = (0.75, 0.875, 1.0, 1.125, 1.25)
_SEED = 1
_RATES_HZ = (16000, 22050, 24000, 44100, 48000)
_LENGTH_FACTORS = (0.8, 1.25)
_EXACT_S = 2.345
_EXACT_RATE_HZ = 48000
_FREE_ENDS = 12
"""Sentences of `token_error` with the end not forced."""
_FORCED_ENDS = 20
"""Sentences of `wer_duration_delta`."""
_TOKEN_ERROR = 0.02
_WORSE_BY = 0.05


async def evaluate_lengths(subject: Subject) -> AsyncIterator[Figure]:
    """`token_error` and `wer_duration_delta` for each factor of the true length, then `sample_error`.

    `token_error` is the mean of |tokens - asked| / asked. `sample_error` is in samples, the larger of streamed and
    unary; `streamed_equals_unary` compares their bytes. Raises SpeechError.
    """
    for factor in FACTORS:
        yield await _token_error(subject, factor, forced=False)
    for factor in FACTORS:
        yield await _token_error(subject, factor, forced=True)
        yield await _word_errors(subject, factor)
    async for figure in _sample_errors(subject):
        yield figure


def _asked(subject: Subject, factor: float, forced: bool) -> list[Line]:
    """Lines that ask for `factor` of the true length, in tokens."""
    count = subject.limit(_FORCED_ENDS if forced else _FREE_ENDS)
    lines = neutral_lines(subject)[:count]
    rate_hz = subject.info.token_rate_hz
    true = [len(clip.samples) / RATE_HZ * rate_hz for clip in readings()[:count]]
    return [
        replace(line, tokens=round(factor * tokens), advised=not forced)
        for line, tokens in zip(lines, true, strict=True)
    ]


async def _token_error(subject: Subject, factor: float, forced: bool) -> Figure:
    lines = _asked(subject, factor, forced)
    about = f"tokens, {factor} of the true length, end {'forced' if forced else 'free'}"
    conditions: dict[str, Condition] = {"factor": factor, "end_forced": forced, "sentences": len(lines)}
    goal = Goal(at_most=0.0 if forced else _TOKEN_ERROR, at_least=0.0 if forced else None)
    try:
        takes = await subject.studio.all(subject.studio.take, lines, subject.listener.progress, about)
    except LengthInfeasible as error:
        why = f"the server finds a length infeasible: {error}"
        return subject.figure("token_error", None, "3", goal, **conditions, why=why)
    errors, signed = [], []
    for line, take in zip(lines, takes, strict=True):
        asked = line.tokens or 1
        errors.append(abs(take.tokens - asked) / asked)
        signed.append((take.tokens - asked) / asked)
        subject.listener.detail(f"{about} | asked {asked}, came {take.tokens} | {line.text}")
    return subject.figure("token_error", fmean(errors), "3", goal, **conditions, bias=fmean(signed))


async def _word_errors(subject: Subject, factor: float) -> Figure:
    """Against free length; where the teacher's own words suffer more from the pace, against the teacher's."""
    lines = _asked(subject, factor, forced=True)
    free = await errors_of(subject, neutral_lines(subject)[: len(lines)], "words, free length")
    try:
        timed = await errors_of(subject, lines, f"words, {factor} of the true length")
    except LengthInfeasible as error:
        why = f"the server finds a length infeasible: {error}"
        return subject.figure("wer_duration_delta", None, "3b", factor=factor, why=why)
    allowed, conditions = _WORSE_BY, dict[str, Condition](factor=factor, wer=timed.rate, wer_free=free.rate)
    if teacher_available():
        stretched = await _stretched_teacher(subject, [line.text for line in lines], factor)
        conditions["wer_teacher_stretched"] = stretched
        allowed = max(allowed, stretched + _WORSE_BY - free.rate)
    return subject.figure(
        "wer_duration_delta",
        timed.rate - free.rate,
        "3b",
        Goal(at_most=allowed),
        **conditions,
        words=timed.words,
    )


async def _stretched_teacher(subject: Subject, texts: list[str], factor: float) -> float:
    """Word error rate of flite's plain voices in turn."""
    edits = words = 0
    for number, text in enumerate(texts):
        subject.listener.progress(f"teacher at {factor}: {number + 1} of {len(texts)}")
        samples = await asyncio.to_thread(teacher_reads, text, TEACHERS[number % len(TEACHERS)], factor)
        expected = normal_words(text)
        edits += word_edits(expected, await subject.studio.hear(samples))
        words += len(expected)
    return edits / words


async def _sample_errors(subject: Subject) -> AsyncIterator[Figure]:
    text = everyday_sentences(1)[0]
    asked = round(_EXACT_S * _EXACT_RATE_HZ)
    yield await _sample_error(subject, text, _EXACT_RATE_HZ, asked, seconds=_EXACT_S)
    basis, length_s = await _free_length(subject, text)
    for rate_hz in _RATES_HZ:
        for factor in _LENGTH_FACTORS:
            yield await _sample_error(
                subject, text, rate_hz, round(factor * length_s * rate_hz), factor=factor, of=basis
            )


async def _free_length(subject: Subject, text: str) -> tuple[str, float]:
    """("free", its length in seconds), or ("planned", ...) when a model rambles so far that STRICT would refuse it."""
    free = await subject.client.synthesize(text, voice=subject.voice, seed=_SEED)
    plan = await subject.client.plan(text, voice=subject.voice)
    asked = [round(factor * free.stats.total_samples) for factor in _LENGTH_FACTORS]
    if all(plan.min_samples <= samples <= plan.max_samples for samples in asked):
        return "free", free.stats.total_samples / free.sample_rate_hz
    subject.listener.note(f"free length {free.stats.total_samples} is far from the planned {plan.natural_samples}")
    return "planned", plan.natural_samples / plan.sample_rate_hz


async def _sample_error(subject: Subject, text: str, rate_hz: int, asked: int, **condition: Condition) -> Figure:
    subject.listener.progress(f"sample_error: {asked} samples at {rate_hz} Hz")
    unary = await subject.client.synthesize(
        text, voice=subject.voice, duration_samples=asked, sample_rate_hz=rate_hz, seed=_SEED
    )
    stream = subject.client.stream(
        text,
        voice=subject.voice,
        duration_samples=asked,
        sample_rate_hz=rate_hz,
        seed=_SEED,
        pacing=Pacing(realtime=False),
    )
    streamed = b"".join([chunk.pcm16 async for chunk in stream])
    errors = [len(pcm16) // 2 - asked for pcm16 in (unary.pcm16, streamed)]
    subject.listener.detail(f"{rate_hz} Hz, {asked} asked: unary {errors[0]:+d}, streamed {errors[1]:+d}")
    return subject.figure(
        "sample_error",
        max(errors, key=abs),
        "3",
        Goal(at_most=0, at_least=0),
        sample_rate_hz=rate_hz,
        asked_samples=asked,
        streamed_equals_unary=unary.pcm16 == streamed,
        **condition,
    )
