"""The quick and the full run: our system in every setting, then the others beside it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace

from oncue.local_server import ServerStartError
from oncue_eval.bench.capacity import gap_free_streams
from oncue_eval.bench.load import drive
from oncue_eval.bench.rows import run_figures
from oncue_eval.bench.sameness import sameness_figures, sameness_unmeasured
from oncue_eval.bench.settings import Setting, Suite
from oncue_eval.bench.speedups import Timing, speedup_figures, timing
from oncue_eval.bench.starts import compare_starts, start_figures
from oncue_eval.bench.systems import Pipeline, System, connected, model_label, started, unmeasured
from oncue_eval.figures import Condition, Figure
from oncue_eval.material import voice_clips
from oncue_eval.seams import evaluate_seams
from oncue_eval.studio import Studio
from oncue_eval.subject import Listener, Subject

__all__ = ["Comparison"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What is compared, and where it is told. `figures` yields them as they become known."""

    suite: Suite
    model: str | None
    """What `--model` of our servers names; None: their default."""
    pipelines: Sequence[Pipeline]
    progress: Callable[[str], None]

    async def figures(self) -> AsyncIterator[Figure]:
        """Everything, on servers of our own. Systems that do not start give figures without a value.

        Raises SpeechError; ServerStartError where our own system does not start as it usually does.
        """
        ours: System | None = None
        our_timings: dict[Setting, Timing | None] = {}
        if Pipeline.ONCUE in self.pipelines:
            self.progress("starting oncue")
            async with started(Pipeline.ONCUE, self.model, self._clips()) as ours:
                async for figure in self.of_one(ours):
                    yield figure
                for setting in self.suite.others:
                    run = await drive(ours, setting, self.progress)
                    our_timings[setting] = timing(run.heard)
                    if setting not in self.suite.throughput:
                        for figure in run_figures(ours, run):
                            yield figure
                async for figure in self._seams(ours):
                    yield figure
            async for figure in self._deterministic():
                yield figure
        for pipeline in (Pipeline.NAIVE, Pipeline.CROSSFADE):
            if pipeline in self.pipelines:
                timings: dict[Setting, Timing | None] = {}
                why = "no utterance ended well"
                try:
                    self.progress(f"starting {pipeline}")
                    async with started(pipeline, self.model, self._clips()) as system:
                        async for figure in self._other(system, timings):
                            yield figure
                except ServerStartError as error:
                    why = str(error)
                    for setting in self.suite.others:
                        conditions: dict[str, Condition] = {"concurrency": 1, "sentences": setting.sentences}
                        yield unmeasured(pipeline, model_label(self.model), "audio_s_per_s", why, conditions)
                if ours is not None and pipeline is Pipeline.NAIVE:
                    for setting in self.suite.others:
                        spoken: dict[str, Condition] = {"concurrency": 1, "sentences": setting.sentences}
                        pair = our_timings.get(setting), timings.get(setting)
                        for figure in speedup_figures(ours, *pair, spoken, why=why):
                            yield figure

    async def of_a_running_server(self, address: str) -> AsyncIterator[Figure]:
        """What a client can see of a server that is there already. Raises SpeechError."""
        self.progress("connecting")
        async with connected(address, self._clips()) as system:
            async for figure in self.of_one(system):
                yield figure

    async def of_one(self, system: System) -> AsyncIterator[Figure]:
        """Every setting of our own system. Raises SpeechError."""
        suite, progress = self.suite, self.progress
        first_s = system.first.first_audio_s
        yield system.figure("ttfa_ms_first", None if first_s is None else 1000.0 * first_s, concurrency=1, sentences=1)
        starts_s = await compare_starts(system, (1, suite.long_sentences), suite.length_pairs, progress)
        if suite.long_sentences > 1:
            yield start_figures(system, starts_s)
        for setting in suite.settings:
            run = await drive(system, setting, progress)
            # One stream at a time is what `compare_starts` had, too.
            more_s = starts_s.get(setting.sentences, []) if setting.concurrency == 1 and not setting.poisson else []
            for figure in run_figures(system, run, more_s):
                yield figure
        rates: list[tuple[Setting, float]] = []
        for setting in suite.throughput:
            for figure in run_figures(system, await drive(system, setting, progress)):
                yield figure
                if figure.name == "audio_s_per_s" and figure.value is not None:
                    rates.append((setting, figure.value))
        for setting, rate in rates[1:]:
            conditions = {"concurrency": setting.concurrency, "sentences": setting.sentences}
            against = rates[0][0].concurrency
            yield system.figure("throughput_ratio", rate / rates[0][1], **conditions, against=against)
        yield await gap_free_streams(system, suite.gap_free_sentences, suite.gap_free_most, progress)
        async for figure in sameness_figures(system, suite.equal_utterances, progress):
            yield figure

    async def _deterministic(self) -> AsyncIterator[Figure]:
        try:
            self.progress("starting oncue, deterministic")
            async with started(Pipeline.ONCUE, self.model, self._clips(), ("--deterministic",)) as system:
                amount = self.suite.equal_utterances
                async for figure in sameness_figures(system, amount, self.progress, deterministic=True):
                    yield figure
        except ServerStartError as error:
            for figure in sameness_unmeasured(model_label(self.model), str(error)):
                yield figure

    async def _other(self, system: System, timings: dict[Setting, Timing | None]) -> AsyncIterator[Figure]:
        """Few utterances of a system that is only there to be compared with; its timings go to `timings`."""
        for setting in self.suite.others:
            run = await drive(system, setting, self.progress)
            timings[setting] = timing(run.heard)
            for figure in run_figures(system, run):
                yield figure

    async def _seams(self, system: System) -> AsyncIterator[Figure]:
        """Table 6 on few texts, of the systems that were asked for."""
        silent: Callable[[str], None] = lambda _: None  # noqa: E731
        subject = Subject(
            client=system.client,
            info=await system.client.info(),
            studio=Studio(system.client),
            voices={},
            voice=None,
            sentences=self.suite.seam_texts,
            listener=Listener(note=silent, detail=silent, progress=self.progress),
            model_option=self.model or "nano",
        )
        compared = [name for name in (Pipeline.ONCUE, Pipeline.CROSSFADE) if name in self.pipelines]
        try:
            async for figure in evaluate_seams(subject):
                if figure.conditions.get("system") in compared:
                    fixed = system.figure(figure.name, figure.value).conditions
                    yield replace(figure, conditions={**fixed, **figure.conditions, "model": system.model})
        except OSError as error:
            # A model whose segments are shorter than the texts, for one.
            for name in compared:
                yield unmeasured(name, system.model, "seam_ratio", str(error))

    def _clips(self) -> list[bytes]:
        return [next(iter(voice_clips().values())).encoded]
