"""A model of the public size against the naive pipeline: one long utterance, at equal flow steps and at the fewest."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

import numpy as np
import soundfile  # type: ignore[import-untyped]

from oncue.local_server import ServerStartError
from oncue_eval.bench.listening import Heard, Line, listen
from oncue_eval.bench.load import Run, idle, measured
from oncue_eval.bench.rows import run_figures
from oncue_eval.bench.settings import Setting, text
from oncue_eval.bench.speedups import Timing, speedup_figures, timing
from oncue_eval.bench.systems import Pipeline, System, model_label, started, unmeasured
from oncue_eval.figures import Condition, Figure, Goal
from oncue_eval.material import RATE_HZ, voice_clips

__all__ = ["FEWEST_STEPS", "UTTERANCES", "FullSize", "full_size_figures", "prompt_clip"]

UTTERANCES = 2
FEWEST_STEPS = 8
_NAIVE_STEPS = 25
"""Those of the public pipeline."""
_SEED = 9
_FIRST_S = 1.0
"""Of the utterance before those that count."""
_MOST_SENTENCES = 12
_FIRST = Goal(at_least=10.0)
_WHOLE = {"equal": Goal(at_least=2.5), "fewest": Goal(at_least=4.0)}


@dataclass(frozen=True, slots=True)
class FullSize:
    """What is spoken, and how often."""

    audio_s: float = 10.0
    """Exact length of the utterance."""
    prompt_s: float = 5.0
    """Exact length of the voice's clip."""
    utterances: int = UTTERANCES
    """Of ours at each number of steps. The naive pipeline speaks once: nothing in it varies but the machine."""
    fewest_steps: int = FEWEST_STEPS
    """Flow steps at which words are still as well understood (`oncue eval wer`)."""


async def full_size_figures(
    model: str, pipelines: Sequence[Pipeline], job: FullSize, progress: Callable[[str], None]
) -> AsyncIterator[Figure]:
    """Figures of each system, then the ratios; a server that does not start gives figures without a value.

    Raises SpeechError.
    """
    clips = [prompt_clip(job.prompt_s)]
    naive: Timing | None = None
    why = "the naive pipeline was not asked for"
    if Pipeline.NAIVE in pipelines:
        why = "the naive pipeline was not measured"
        conditions: dict[str, Condition] = {"flow_steps": _NAIVE_STEPS}
        try:
            progress("starting naive")
            async with started(Pipeline.NAIVE, model, clips, (), conditions, _FIRST_S) as system:
                run = await _speak(system, job, 1, progress)
                naive = timing(run.heard)
                for figure in _own_figures(system, run, job):
                    yield figure
        except ServerStartError as error:
            yield unmeasured(Pipeline.NAIVE, model_label(model), "audio_s_per_s", str(error), conditions)
    if Pipeline.ONCUE not in pipelines:
        return
    for name, steps in (("equal", _NAIVE_STEPS), ("fewest", job.fewest_steps)):
        conditions = {"steps": name, "flow_steps": steps}
        try:
            progress(f"starting oncue, {steps} flow steps")
            options = ("--flow-steps", str(steps))
            async with started(Pipeline.ONCUE, model, clips, options, conditions, _FIRST_S) as system:
                run = await _speak(system, job, job.utterances, progress)
                for figure in _own_figures(system, run, job):
                    yield figure
                spoken: dict[str, Condition] = {"concurrency": 1, "audio_s": job.audio_s, "prompt_s": job.prompt_s}
                goals = (_WHOLE[name], _FIRST)
                for figure in speedup_figures(system, timing(run.heard), naive, spoken, goals, why):
                    yield figure
        except ServerStartError as error:
            for name_, goal in (("speedup_whole", _WHOLE[name]), ("speedup_first_audio", _FIRST)):
                yield unmeasured(Pipeline.ONCUE, model_label(model), name_, str(error), conditions, goal)


def prompt_clip(seconds: float) -> bytes:
    """A held-out voice, repeated and cut to `seconds`, as a WAV."""
    samples = next(iter(voice_clips().values())).samples
    wanted = round(seconds * RATE_HZ)
    buffer = io.BytesIO()
    soundfile.write(buffer, np.resize(samples, wanted), RATE_HZ, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


async def _speak(system: System, job: FullSize, utterances: int, progress: Callable[[str], None]) -> Run:
    rate_hz = (await system.client.info()).native_rate_hz
    sentences = await _sentences(system, job.audio_s)
    line = Line(
        text=text(0, sentences),
        voice=system.voices[0],
        seed=_SEED,
        paced=False,
        duration_samples=round(job.audio_s * rate_hz),
    )

    async def utterance_by_utterance() -> AsyncIterator[Heard]:
        for number in range(utterances):
            progress(f"{system.pipeline}: utterance {number + 1} of {utterances} of {job.audio_s:g} s")
            yield await listen(system.client, line)
            await idle(system)

    return await measured(system, Setting(1, sentences, utterances, paced=False), utterance_by_utterance())


async def _sentences(system: System, audio_s: float) -> int:
    """How many sentences come nearest to the length by nature."""
    distances = {}
    for sentences in range(1, _MOST_SENTENCES + 1):
        plan = await system.client.plan(text(0, sentences))
        distances[sentences] = abs(plan.natural_samples / plan.sample_rate_hz - audio_s)
    return min(distances, key=lambda sentences: distances[sentences])


def _own_figures(system: System, run: Run, job: FullSize) -> list[Figure]:
    found = list(run_figures(system, run))
    own = timing(run.heard)
    conditions: dict[str, Condition] = {"concurrency": 1, "sentences": run.setting.sentences, "pacing": "unpaced"}
    if own is not None:
        lengths: dict[str, Condition] = {"audio_s": job.audio_s, "prompt_s": job.prompt_s}
        found.append(system.figure("ttfa_ms_p50", 1000.0 * own.first_s, None, **conditions, **lengths))
        found.append(system.figure("whole_ms_p50", 1000.0 * own.whole_s, None, **conditions, **lengths))
    return found
