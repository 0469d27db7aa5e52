"""`sample_error` and `token_error`: what came against what was asked for. Both are exact or wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator

from oncue.speech import Pacing
from oncue_eval.figures import Condition, Figure
from oncue_eval.material import everyday_sentences
from oncue_eval.subject import Subject

__all__ = ["evaluate_lengths"]

_SEED = 1
_RATES_HZ = (16000, 22050, 24000, 44100, 48000)
_LENGTH_FACTORS = (0.8, 1.25)
_TOKEN_FACTORS = (0.75, 0.875, 1.0, 1.125, 1.25)
_EXACT_S = 2.345
_EXACT_RATE_HZ = 48000


async def evaluate_lengths(subject: Subject) -> AsyncIterator[Figure]:
    """`sample_error` per rate and factor of the length that comes unasked, then `token_error` per factor.

    `sample_error` is in samples, the larger of streamed and unary; `streamed_equals_unary` compares their bytes.
    `token_error` is the mean of |tokens - asked| / asked with the end forced. Raises SpeechError.
    """
    sentences = everyday_sentences(subject.sentences or 1)
    text = sentences[0]
    asked = round(_EXACT_S * _EXACT_RATE_HZ)
    yield await _sample_error(subject, text, _EXACT_RATE_HZ, asked, seconds=_EXACT_S)
    basis, length_s = await _free_length(subject, text)
    for rate_hz in _RATES_HZ:
        for factor in _LENGTH_FACTORS:
            yield await _sample_error(
                subject, text, rate_hz, round(factor * length_s * rate_hz), factor=factor, of=basis
            )
    for factor in _TOKEN_FACTORS:
        yield await _token_error(subject, sentences, factor)


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
        sample_rate_hz=rate_hz,
        asked_samples=asked,
        streamed_equals_unary=unary.pcm16 == streamed,
        **condition,
    )


async def _token_error(subject: Subject, sentences: list[str], factor: float) -> Figure:
    errors = []
    for number, sentence in enumerate(sentences, start=1):
        subject.listener.progress(f"token_error {factor}: {number} of {len(sentences)}")
        plan = await subject.client.plan(sentence, voice=subject.voice)
        asked = round(factor * plan.natural_tokens)
        clip = await subject.client.synthesize(sentence, voice=subject.voice, tokens=asked, seed=_SEED)
        errors.append(abs(clip.stats.total_codes - asked) / asked)
        subject.listener.detail(f"{factor} | asked {asked}, came {clip.stats.total_codes} | {sentence}")
    return subject.figure(
        "token_error", sum(errors) / len(errors), factor=factor, end_forced=True, sentences=len(sentences)
    )
