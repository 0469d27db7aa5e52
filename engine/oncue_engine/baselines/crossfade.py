"""What streaming ports do: the engine's own cuts, but every chunk on its own, and linear fades over the joins.

A chunk's S2M call sees the voice prompt and the chunk's tokens, its vocoder call the chunk's mel: nothing of what was
emitted, and nothing that comes but the tokens that are needed to fade.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from ..checkpoints.loaded import LoadedModel
from ..decoding.batch import Sequence
from ..decoding.length import SegmentLength
from ..model.flow import FlowSchedule
from ..rendering.alone import mel_alone, wave_alone
from ..rendering.chunks import Chunk, ChunkPlanner, ChunkPolicy, RenderFrames
from ..rendering.crossfade import CrossFade, FadeSpan, fade_tokens
from ..rendering.mel import VoicePrompt
from ..rendering.wave import ease_out
from .serial import Speech
from .tokens import SegmentTokens

__all__ = ["CrossFadeWay"]

Samples = npt.NDArray[np.float32]


class CrossFadeWay:
    """`serial.Way` of chunks without context, with the model's own number of flow steps."""

    def __init__(self, model: LoadedModel) -> None:
        speech = model.config.speech
        self.flow_steps = speech.flow_steps
        self._model = model
        self._tokens = SegmentTokens(model)
        self._flow = FlowSchedule.uniform(model.s2mel.estimator, speech.flow_steps)
        self._shared = fade_tokens(speech.token_rate_hz)
        # Nothing is looked at but what is faded.
        self._policy = replace(ChunkPolicy.of(speech), lookahead_s=self._shared / speech.token_rate_hz)
        frames = RenderFrames.of(self._policy, speech, model.vocoder.context_frames)
        self._context_s = frames.right / frames.rate_hz

    def speak(self, speech: Speech) -> Generator[Samples | None, None, None]:
        planner = ChunkPlanner(self._policy, self._model.config.speech.token_rate_hz, self._context_s)
        for number, length in enumerate(speech.script.lengths):
            sequence = self._tokens.start(speech, number)
            try:
                yield from self._segment(speech, number, length, sequence, planner)
            finally:
                self._tokens.release(sequence)
            yield np.zeros(length.pause_samples, dtype=np.float32)

    def _segment(
        self, speech: Speech, number: int, length: SegmentLength, sequence: Sequence, planner: ChunkPlanner
    ) -> Generator[Samples | None, None, None]:
        """Chunk after chunk, each as soon as its tokens are there."""
        config, fade, kept, last = self._model.config, CrossFade(), 0, False
        while not last:
            chunk = planner.next(len(sequence.codes), sequence.finished)
            if chunk is None:
                self._tokens.step(speech, sequence)
                yield None
                continue
            span = FadeSpan.of(chunk, length.frame_map, self._shared)
            samples = yield from self._alone(speech, number, sequence, chunk, span, length)
            samples = fade.join(samples, (span.stop - span.settled) * config.mel.hop_length)
            if length.native_samples is not None:
                samples = samples[: length.native_samples - kept]
            kept += len(samples)
            planner.advance(chunk)
            last = chunk.last
            yield ease_out(samples, config.speech.sample_rate_hz, config.mel.hop_length) if last else samples

    def _alone(
        self, speech: Speech, number: int, sequence: Sequence, chunk: Chunk, span: FadeSpan, length: SegmentLength
    ) -> Generator[None, None, Samples]:
        """Samples of the frames [first, stop) of a chunk, from its own tokens."""
        if span.stop == span.first:
            return np.zeros(0, dtype=np.float32)
        model, voice = self._model, speech.voice
        seen = slice(chunk.begin, chunk.end if chunk.last else chunk.end + self._shared)
        with speech.clock.measure("flow"):
            codes = torch.tensor(sequence.codes[seen], dtype=torch.int64)  # [n]
            latents = sequence.latents_between(seen.start, seen.stop)  # [n,M]
            rows = model.s2mel.semantic(latents[None], model.codec.embed(codes[None]))[0]  # [n,D]
            frames = range(span.first, span.stop)
            tokens = torch.tensor([length.frame_map.token_of(frame) - chunk.begin for frame in frames])
            mel = mel_alone(
                model.s2mel,
                VoicePrompt(voice.prompt_mel, voice.prompt_condition, voice.style),
                rows[tokens],
                self._flow,
                model.config.speech.guidance,
                seed=speech.script.request.seed,
                segment=number,
                first_frame=span.first,
            )
        yield None
        with speech.clock.measure("wave"):
            return wave_alone(model.vocoder, mel)
