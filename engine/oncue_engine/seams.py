"""One segment rendered in three ways, from the same tokens and the same noise: to hear what cutting it does.

    streamed      as the engine does it: chunks that see the mel before them and look ahead, settled samples only
    whole         one S2M call, one vocoder call
    crossfaded    the same cuts, chunks that know nothing of each other, faded into each other

A measuring tool (evaluation, table 6), beside the engine and not part of it. The streamed one is what the engine sends:
a test compares them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .checkpoints.loaded import LoadedModel, load_model
from .decoding.batch import SequenceSpec, TokenBatch, prefix_rows
from .decoding.length import free_bounds
from .errors import InvalidRequest, Unsupported
from .frontend.audio import decode_reference
from .kinds.indextts2 import IndexTTS2
from .kinds.indextts2_prompts import IndexTTS2Voice
from .model.flow import FlowSchedule
from .model.packed_vocoder import inference_form
from .options import EngineOptions, ResolvedOptions
from .rendering.alone import mel_alone, wave_alone
from .rendering.chunks import Chunk, ChunkPlanner, ChunkPolicy, RenderFrames
from .rendering.crossfade import CrossFade, FadeSpan, fade_tokens
from .rendering.flow_batch import FlowBatch, render_mel
from .rendering.mel import SegmentMel, VoicePrompt
from .rendering.wave import SegmentWave, render_wave
from .requests import Sampling
from .timing.frame_map import FrameMap

__all__ = ["Renderings", "ThreeWays", "three_ways"]

Samples = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Renderings:
    """Samples at the model's native rate, all of one length."""

    rate_hz: int
    streamed: Samples
    whole: Samples
    crossfaded: Samples
    joins: tuple[int, ...]
    """Samples at which a flow call or a vocoder call of the stream takes over from the one before."""
    chunk_joins: tuple[int, ...]
    """Middles of the fades."""


class ThreeWays:
    """Renders segments of one model in one voice."""

    def __init__(self, model: LoadedModel, voice: IndexTTS2Voice, options: ResolvedOptions) -> None:
        """`options`: those of the engine, for what is streamed; the others are float32."""
        config = model.config
        self._model, self._voice = model, voice
        self._prompt = VoicePrompt(voice.prompt_mel, voice.prompt_condition, voice.style)
        longest = config.speech.max_segment_pieces + config.speech.max_segment_tokens + 3
        self._batch = TokenBatch(model.t2s, 1, config.t2s.conditioning_rows + longest, precision=options.weights)
        self._flow = FlowBatch(model.s2mel.estimator, config.speech.guidance, options.dtype)
        self._vocoder = inference_form(model.vocoder, options.dtype)
        self._schedule = FlowSchedule.uniform(model.s2mel.estimator, config.speech.flow_steps)
        self._policy = ChunkPolicy.of(config.speech)
        self._frames = RenderFrames.of(self._policy, config.speech, model.vocoder.context_frames)
        self._map = FrameMap.free(config.speech.frames_per_token)

    @torch.inference_mode()
    def render(self, text: str, seed: int) -> Renderings:
        """InvalidRequest for a text that is not one segment; GenerationFailed as in speech."""
        rows = self._rows(text, seed)
        chunks = self._cuts(len(rows))
        streamed, joins = self._streamed(rows, chunks, seed)
        crossfaded, middles = self._crossfaded(rows, chunks, seed)
        return Renderings(
            rate_hz=self._model.config.speech.sample_rate_hz,
            streamed=streamed,
            whole=self._alone(rows, 0, self._map.total_frames(len(rows)), seed),
            crossfaded=crossfaded,
            joins=joins,
            chunk_joins=middles,
        )

    def _rows(self, text: str, seed: int) -> Tensor:
        """Semantic rows [n,D] of the text's tokens."""
        model, voice = self._model, self._voice
        segments = model.text.segments(text)
        if len(segments) != 1:
            raise InvalidRequest(f"{len(segments)} segments, not one", reason="TEXT_NOT_ONE_SEGMENT", field="text")
        ids = tuple(piece.id for piece in segments[0].pieces)
        bounds = free_bounds(model.pace.natural_tokens(ids), model.config.speech.max_segment_tokens)
        spec = SequenceSpec(seed, 0, Sampling(), None, *bounds)
        sequence = self._batch.start(prefix_rows(model.t2s, voice.latents, voice.own_emotion, None, ids), spec)
        while sequence.live:
            self._batch.step([sequence])
        self._batch.release(sequence)
        if sequence.error is not None:
            raise sequence.error
        codes = torch.tensor(sequence.codes, dtype=torch.int64)
        latents = sequence.latents_between(0, len(codes))
        rows: Tensor = model.s2mel.semantic(latents[None], model.codec.embed(codes[None]))[0]
        return rows

    def _cuts(self, tokens: int) -> list[Chunk]:
        frames, speech = self._frames, self._model.config.speech
        planner = ChunkPlanner(self._policy, speech.token_rate_hz, frames.right / frames.rate_hz)
        chunks: list[Chunk] = []
        while not chunks or not chunks[-1].last:
            chunk = planner.next(tokens, finished=True)
            assert chunk is not None  # all tokens are there
            chunks.append(chunk)
            planner.advance(chunk)
        return chunks

    def _streamed(self, rows: Tensor, chunks: list[Chunk], seed: int) -> tuple[Samples, tuple[int, ...]]:
        frames = self._frames
        mel = self._segment_mel(seed, frames.context, frames.window, frames.again)
        wave, hop = self._segment_wave(), self._model.config.mel.hop_length
        parts: list[Samples] = []
        joins: set[int] = set()
        for chunk in chunks:
            mel.extend(rows[mel.num_rows : chunk.seen])
            self._flow_call(mel, chunk)
            parts += self._vocoder_call(wave, mel.mel, chunk.last)
            if not chunk.last:
                joins |= {mel.mel.shape[1] * hop, wave.done_frames * hop}
        return np.concatenate(parts), tuple(sorted(joins))

    def _crossfaded(self, rows: Tensor, chunks: list[Chunk], seed: int) -> tuple[Samples, tuple[int, ...]]:
        """Chunks of what others do: own prompt, own statistics, no neighbour; linear fades between them."""
        speech, hop = self._model.config.speech, self._model.config.mel.hop_length
        shared = fade_tokens(speech.token_rate_hz)
        fade = CrossFade()
        parts: list[Samples] = []
        middles = []
        for chunk in chunks:
            span = FadeSpan.of(chunk, self._map, shared)
            samples = self._alone(rows, span.first, span.stop, seed)
            parts.append(fade.join(samples, (span.stop - span.settled) * hop))
            if not chunk.last:
                middles.append((span.settled + span.stop) * hop // 2)
        return np.concatenate(parts), tuple(middles)

    def _alone(self, rows: Tensor, first: int, stop: int, seed: int) -> Samples:
        """Frames [first, stop) as if there were no others, from the noise that they always have."""
        model = self._model
        tokens = torch.tensor([self._map.token_of(frame) for frame in range(first, stop)])
        mel = mel_alone(
            model.s2mel,
            self._prompt,
            rows[tokens],
            self._schedule,
            model.config.speech.guidance,
            seed=seed,
            segment=0,
            first_frame=first,
        )
        return wave_alone(model.vocoder, mel)

    def _flow_call(self, mel: SegmentMel, chunk: Chunk) -> None:
        job = mel.job(chunk, self._model.s2mel)
        if job is not None:
            mel.accept(render_mel(self._flow, [job], self._model.config.speech.flow_steps)[0])

    def _vocoder_call(self, wave: SegmentWave, mel: Tensor, last: bool) -> list[Samples]:
        job = wave.job(mel, last)
        if job is None:
            return []
        made = render_wave(self._vocoder, [job])[0]
        if isinstance(made, Exception):
            raise made
        return [made]

    def _segment_mel(self, seed: int, context_frames: int, window_frames: int, again_frames: int) -> SegmentMel:
        return SegmentMel(self._map, self._prompt, seed, 0, context_frames, window_frames, again_frames)

    def _segment_wave(self) -> SegmentWave:
        return SegmentWave(self._model.config.mel.hop_length, self._frames.left, self._frames.right)


def three_ways(folder: Path, voice: Path, options: EngineOptions) -> ThreeWays:
    """Load a model folder and encode a clip. CheckpointError, ReferenceRejected; Unsupported for IndexTTS-2.5.

    Of `options`, precision and weights count.
    """
    model = load_model(folder)
    if model.config.decodes_codes:
        raise Unsupported("seams are rendered of IndexTTS-2 only", reason="SEAMS_UNSUPPORTED")
    resolved = options.resolved(model.parameters)
    torch.set_num_threads(1)
    voice_tensors = IndexTTS2(model).prompts.encode_voice(decode_reference(voice))
    return ThreeWays(model, voice_tensors, resolved)
