"""Runs the stages: the networks of one model, their batches, and what goes in and out of each call.

A call works for several utterances where that pays. An error, a NaN or a lack of memory in one row ends that utterance,
and the others in the call go on.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence as Rows

import numpy as np
import numpy.typing as npt
import torch

from .conditioning import Conditioner
from .decoding.batch import Sequence
from .errors import CheckpointError, OutOfMemory
from .flow_steps import FlowSteps
from .model_interface import SpeechModel
from .options import ResolvedOptions
from .prompting import prepare_prompts
from .rendering.chunks import ChunkPolicy
from .rendering.wave import VocoderJob, render_wave
from .stages import Stage
from .utterance import Utterance
from .work import Work

__all__ = ["StageRunner"]

Samples = npt.NDArray[np.float32]

_logger = logging.getLogger(__name__)

_NO_SAMPLES: Samples = np.zeros(0, dtype=np.float32)
_SHARED_FLOW_FRAMES = 320
_SHARED_WAVE_FRAMES = 160
"""Frames that a call takes of several utterances on a CPU, where more frames take as much longer: enough for two first
chunks, and the most urgent one never waits for a long one of somebody else."""


class StageRunner:
    """`run` is called by several lanes at once: never for the same stage of one utterance, and for tokens by one."""

    def __init__(self, model: SpeechModel, conditioner: Conditioner, options: ResolvedOptions) -> None:
        """CheckpointError LOOK_AHEAD_TOO_LONG where the model's rows need more tokens than chunks see."""
        speech = model.speech
        self._conditioner = conditioner
        self._tokens = model.token_stage(options)
        renderer = model.renderer(options)
        self._semantics, self._flow, self._vocoder = renderer.semantics, renderer.flow, renderer.vocoder
        ahead = ChunkPolicy.of(speech).lookahead_tokens(speech.token_rate_hz)
        if self._semantics.look_ahead_tokens > ahead:
            raise CheckpointError(
                f"a token's rows need {self._semantics.look_ahead_tokens} tokens after it, and chunks see {ahead}",
                reason="LOOK_AHEAD_TOO_LONG",
            )
        self._steps = FlowSteps(options.flow_steps or speech.flow_steps, fixed=options.deterministic)
        self._alone = options.deterministic
        self._lanes = options.lanes

    @property
    def free_slots(self) -> int:
        """Segments whose tokens can begin to be drawn."""
        return self._tokens.free_slots

    def release(self, sequence: Sequence) -> None:
        """Give the slot of a sequence back that nobody goes on with. Not while tokens are being drawn."""
        self._tokens.release(sequence)

    def share(self, stage: Stage, utterances: Rows[Utterance]) -> Rows[Utterance]:
        """Those of the candidates, the most urgent first, that one call should serve: at least the first."""
        if stage in (Stage.DECODE, Stage.DELIVER):
            return utterances
        limit = {Stage.FLOW: _SHARED_FLOW_FRAMES, Stage.WAVE: _SHARED_WAVE_FRAMES}.get(stage, 0)
        if self._alone or limit == 0:
            return utterances[:1]
        count, frames = 0, 0
        # What each lane can have for itself is done sooner side by side.
        for utterance in utterances[: max(1, len(utterances) // self._lanes)]:
            frames += utterance.flow_frames if stage is Stage.FLOW else utterance.wave_frames
            if count and frames > limit:
                break
            count += 1
        return utterances[:count]

    def run(self, work: Work) -> list[Utterance]:
        """Do it. Those whose chunk is through the stage (flow, vocoder) come back."""
        if work.task is not None:
            work.task.run()
            return []
        match work.stage:
            case Stage.DECODE:
                self._decode(work.utterances)
            case Stage.FLOW:
                return self._render_flow(work)
            case Stage.WAVE:
                return self._render_wave(work.utterances)
            case Stage.DELIVER:
                now_s = time.monotonic()
                for utterance in work.utterances:
                    utterance.deliver(now_s)
            case Stage.PROMPT | Stage.PREFILL:
                prompting = work.stage is Stage.PROMPT
                for utterance in work.utterances:
                    try:
                        if prompting:
                            prepare_prompts(self._conditioner, utterance)
                        else:
                            self._prefill(utterance)
                    except Exception as error:
                        _fail(utterance, error)
        return []

    def _prefill(self, utterance: Utterance) -> None:
        assert utterance.voice is not None and utterance.emotion is not None
        text_ids, spec = utterance.next_text()
        sequence = self._tokens.start(utterance.voice, utterance.emotion, text_ids, spec)
        utterance.add_segment(sequence, self._semantics.rows_per_token)
        if not sequence.live:
            self._tokens.release(sequence)

    def _decode(self, utterances: Rows[Utterance]) -> None:
        rows = [(utterance, utterance.sequence) for utterance in utterances]
        self._tokens.step([sequence for _, sequence in rows if sequence is not None])
        for utterance, sequence in rows:
            if sequence is None or sequence.live:
                continue
            self._tokens.release(sequence)
            if sequence.error is not None:
                _fail(utterance, sequence.error)

    def _render_flow(self, work: Work) -> list[Utterance]:
        """One step of each one's chunk; a chunk that has no flow call yet gets it first."""
        done, rows = [], []
        for utterance in work.utterances:
            try:
                if utterance.row is None and not self._begin_flow(utterance, work.crowd):
                    done.append(utterance)  # fills no frame
                    continue
            except Exception as error:
                _fail(utterance, error)
                continue
            rows.append((utterance, utterance.row))
        begin_s = time.perf_counter()
        self._flow.step([row for _, row in rows if row is not None])
        self._steps.took(sum(row.frames for _, row in rows if row is not None), time.perf_counter() - begin_s)
        for utterance, row in rows:
            assert row is not None
            try:
                if row.error is not None:
                    raise row.error
                if row.done:
                    utterance.segment.mel.accept(row.mel())
                    done.append(utterance)
            except Exception as error:
                _fail(utterance, error)
        return done

    def _begin_flow(self, utterance: Utterance, crowd: float) -> bool:
        """False where the chunk fills no frame."""
        chunk = utterance.chunk
        assert chunk is not None and utterance.voice is not None
        job = utterance.segment.flow_job(chunk, self._semantics, utterance.voice)
        if job is None:
            return False
        steps = self._steps.full
        if utterance.script.request.flexible_steps and utterance.delivery.first_audio_s is not None:
            steps = self._steps.within(utterance.slack_s(time.monotonic()), job.noise.shape[1], crowd)
        utterance.flow_steps.append(steps)
        utterance.row = self._flow.start(job, steps)
        return True

    def _render_wave(self, utterances: Rows[Utterance]) -> list[Utterance]:
        """The next rendered chunk of each becomes samples, which are sent where the pacing allows."""
        jobs: list[tuple[Utterance, VocoderJob | None]] = []
        for utterance in utterances:
            try:
                jobs.append((utterance, utterance.rendered.vocoder_job()))
            except Exception as error:
                _fail(utterance, error)
        waves = render_wave(self._vocoder, [job for _, job in jobs if job is not None])
        done = []
        for utterance, job in jobs:
            made = _NO_SAMPLES if job is None else waves.pop(0)
            try:
                if isinstance(made, Exception):
                    raise made
                utterance.accept_wave(made)
                utterance.deliver(time.monotonic())
                done.append(utterance)
            except Exception as error:
                _fail(utterance, error)
        return done


def _fail(utterance: Utterance, error: Exception) -> None:
    _logger.error("an utterance of %d segments failed", len(utterance.script.lengths), exc_info=error)
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or "allocate memory" in str(error):
        lacking = OutOfMemory("there was not enough memory for this utterance")
        lacking.__cause__ = error
        error = lacking
    utterance.delivery.fail(error)
