"""Does it start at once, keep pace, register once, and say the same twice?"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from statistics import median

from oncue.audio import SpeechStats
from oncue.client import Client
from oncue.speech import Pacing
from oncue.voices import Voice
from oncue_eval.figures import Condition, Figure
from oncue_eval.machine import cpu_name
from oncue_eval.material import voice_clips
from oncue_eval.subject import Fresh, Subject, registered_voices

__all__ = ["evaluate_streaming"]

_SEED = 1
_ROUNDS = 5
_LONG = (
    "When the rain finally stopped, we packed our bags, locked the little house by the lake, "
    "and drove slowly back to the city along the old coast road."
)
_SENTENCES = (
    "The shop on the corner opens at nine in the morning.",
    "They sell fresh bread, fruit, and very good coffee.",
    "If you come early, there is usually a table by the window.",
)


@dataclass(frozen=True, slots=True, eq=False)
class _Heard:
    """A stream as a client saw it."""

    pcm16: bytes
    sample_rate_hz: int
    first_audio_s: float
    """From the call to its first chunk, on the client's clock."""
    first_codes: int
    """Tokens that existed when the first chunk was sent."""
    stats: SpeechStats


async def evaluate_streaming(subject: Subject) -> AsyncIterator[Figure]:
    """All figures of one listener at a time. Raises SpeechError; ServerStartError from the restart."""
    yield await _first_chunk(subject)
    async for figure in _start(subject):
        yield figure
    async for figure in _prompts(subject):
        yield figure


async def _first_chunk(subject: Subject) -> Figure:
    subject.listener.progress("a long sentence")
    heard = await _hear(subject.client, _LONG, subject.voice)
    total = heard.stats.total_codes
    return subject.figure("first_chunk_codes", heard.first_codes / total, first=heard.first_codes, total=total)


async def _start(subject: Subject) -> AsyncIterator[Figure]:
    """Time to first audio of one sentence and of three, in turns, so that a change of load hits both alike."""
    texts = {1: _SENTENCES[0], len(_SENTENCES): " ".join(_SENTENCES)}
    await _hear(subject.client, texts[1], subject.voice)  # The first one may prepare the voice.
    heard: dict[int, list[_Heard]] = {count: [] for count in texts}
    load = os.getloadavg()[0]
    for round_ in range(_ROUNDS):
        for count, text in texts.items():
            subject.listener.progress(f"time to first audio: round {round_ + 1} of {_ROUNDS}")
            heard[count].append(await _hear(subject.client, text, subject.voice))
            last = heard[count][-1]
            subject.listener.detail(f"{count} sentences: {last.first_audio_s * 1000:.0f} ms, {last.stats}")
    machine: dict[str, Condition] = {
        "concurrency": 1,
        "rounds": _ROUNDS,
        "load": load,
        "cores": os.cpu_count(),
        "cpu": cpu_name(),
    }
    first_s = {count: median(one.first_audio_s for one in runs) for count, runs in heard.items()}
    for count, runs in heard.items():
        yield subject.figure("ttfa_ms_p50", first_s[count] * 1000.0, sentences=count, **machine)
        yield subject.figure("rtf", median(_real_time_factor(one) for one in runs), sentences=count, **machine)
    yield subject.figure("ttfa_length_ratio", first_s[len(_SENTENCES)] / first_s[1], sentences=len(_SENTENCES))
    every = [runs[0].pcm16 for runs in heard.values()]
    same = all(one.pcm16 == first for runs, first in zip(heard.values(), every, strict=True) for one in runs)
    yield subject.figure("same_seed_same_samples", int(same), utterances=_ROUNDS * len(texts))


async def _prompts(subject: Subject) -> AsyncIterator[Figure]:
    """Prompt encoder passes by utterance of a voice that was just registered, and after a restart."""
    clip = next(iter(voice_clips().values())).encoded
    async with registered_voices(subject.client, {"prompts": clip}) as voices:
        for utterance in (1, 2):
            heard = await _hear(subject.client, _SENTENCES[0], voices["prompts"])
            yield subject.figure("prompt_encodes", heard.stats.prompt_encodes, utterance=utterance, restarted=False)
    if subject.fresh is None:
        subject.listener.note("the server is not ours to restart: no prompt_encodes after a restart")
        return
    yield await _restarted(subject, subject.fresh, clip)


async def _restarted(subject: Subject, fresh: Fresh, clip: bytes) -> Figure:
    subject.listener.progress("restarting a server")
    async with fresh() as client:
        voice = await client.voices.create("eval-restart", clip)
        await _hear(client, _SENTENCES[0], voice)
    async with fresh() as client:
        heard = await _hear(client, _SENTENCES[0], voice.name)
        await client.voices.delete(voice.name)
    return subject.figure("prompt_encodes", heard.stats.prompt_encodes, utterance=2, restarted=True)


async def _hear(client: Client, text: str, voice: Voice | str | None) -> _Heard:
    begin_s = time.perf_counter()
    first_audio_s = None
    stream = client.stream(text, voice=voice, seed=_SEED, pacing=Pacing(realtime=False))
    chunks = []
    async for chunk in stream:
        first_audio_s = first_audio_s or time.perf_counter() - begin_s
        chunks.append(chunk)
    if first_audio_s is None or stream.stats is None:
        raise ValueError("the server sent no audio")
    return _Heard(
        pcm16=b"".join(chunk.pcm16 for chunk in chunks),
        sample_rate_hz=chunks[0].sample_rate_hz,
        first_audio_s=first_audio_s,
        first_codes=chunks[0].codes_generated,
        stats=stream.stats,
    )


def _real_time_factor(heard: _Heard) -> float:
    return heard.stats.generation_s * heard.sample_rate_hz / heard.stats.total_samples
