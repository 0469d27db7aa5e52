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
from .conditioning import Conditioner, VoiceConditioning
from .decoding.batch import SequenceSpec, TokenBatch, prefix_rows
from .decoding.length import free_bounds
from .errors import InvalidRequest
from .frontend.audio import decode_reference
from .model.flow import FlowSchedule
from .rendering.chunks import Chunk, ChunkPlanner, ChunkPolicy, RenderFrames
from .rendering.mel import FlowJob, SegmentMel, VoicePrompt, render_mel
from .rendering.noise import frame_noise
from .rendering.wave import SegmentWave, render_wave
from .requests import Sampling
from .timing.frame_map import FrameMap

__all__ = ["Renderings", "ThreeWays", "three_ways"]

Samples = npt.NDArray[np.float32]

_FADE_S = 0.04
"""What the chunks of the cross-faded variant share, at least; a whole number of tokens."""


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

    def __init__(self, model: LoadedModel, voice: VoiceConditioning) -> None:
        config = model.config
        self._model, self._voice = model, voice
        self._prompt = VoicePrompt(voice.prompt_mel, voice.prompt_condition, voice.style)
        longest = config.speech.max_segment_pieces + config.speech.max_segment_tokens + 3
        self._batch = TokenBatch(model.t2s, 1, config.t2s.conditioning_rows + longest)
        self._flow = FlowSchedule.uniform(model.s2mel.estimator, config.speech.flow_steps)
        self._policy = ChunkPolicy()
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
            whole=self._whole(rows, seed),
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

    def _whole(self, rows: Tensor, seed: int) -> Samples:
        frames = self._map.total_frames(len(rows))
        mel = self._segment_mel(seed, 0, frames, 0)
        mel.extend(rows)
        self._flow_call(mel, Chunk(0, len(rows), len(rows), last=True))
        return np.concatenate(self._vocoder_call(self._segment_wave(), mel.mel, last=True))

    def _crossfaded(self, rows: Tensor, chunks: list[Chunk], seed: int) -> tuple[Samples, tuple[int, ...]]:
        """Chunks of what others do: own prompt, own statistics, no neighbour; linear fades between them."""
        speech, hop = self._model.config.speech, self._model.config.mel.hop_length
        shared = max(1, -(-int(_FADE_S * 1000 * speech.token_rate_hz) // 1000))
        result = np.zeros(self._map.total_frames(len(rows)) * hop, dtype=np.float32)
        middles = []
        faded = 0
        for chunk in chunks:
            end = chunk.end if chunk.last else min(len(rows), chunk.end + shared)
            first = self._map.first_frame(chunk.begin)
            stop = self._map.total_frames(end) if end == len(rows) else self._map.first_frame(end)
            samples = self._alone(rows, first, stop, seed)
            at = first * hop
            gain = np.ones(len(samples), dtype=np.float32)
            gain[: max(0, faded - at)] = np.linspace(0.0, 1.0, max(0, faded - at), dtype=np.float32)
            if not chunk.last:
                begin = self._map.first_frame(chunk.end) * hop
                gain[begin - at :] = np.linspace(1.0, 0.0, len(samples) - (begin - at), dtype=np.float32)
                faded = at + len(samples)
                middles.append((begin + faded) // 2)
            result[at : at + len(samples)] += gain * samples
        return result, tuple(middles)

    def _alone(self, rows: Tensor, first: int, stop: int, seed: int) -> Samples:
        """Frames [first, stop) as if there were no others, from the noise that they always have."""
        model = self._model
        tokens = torch.tensor([self._map.token_of(frame) for frame in range(first, stop)])
        mu = model.s2mel.length_regulator(rows[tokens][None], stop - first)[0]
        fixed, bins = self._prompt.mel.shape[1], self._prompt.mel.shape[0]
        noise = torch.zeros(bins, fixed + stop - first)
        noise[:, fixed:] = frame_noise(seed, 0, first, stop - first, bins)
        job = FlowJob(
            noise=noise,
            prompt_mel=self._prompt.mel,
            mu=torch.cat((self._prompt.condition, mu)),
            style=self._prompt.style,
            keep=stop - first,
        )
        mel = render_mel(model.s2mel, [job], self._flow, model.config.speech.guidance)[0]
        return np.concatenate(self._vocoder_call(self._segment_wave(), mel, last=True))

    def _flow_call(self, mel: SegmentMel, chunk: Chunk) -> None:
        job = mel.job(chunk, self._model.s2mel)
        if job is not None:
            mel.accept(render_mel(self._model.s2mel, [job], self._flow, self._model.config.speech.guidance)[0])

    def _vocoder_call(self, wave: SegmentWave, mel: Tensor, last: bool) -> list[Samples]:
        job = wave.job(mel, last)
        return [] if job is None else render_wave(self._model.vocoder, [job])

    def _segment_mel(self, seed: int, context_frames: int, window_frames: int, again_frames: int) -> SegmentMel:
        return SegmentMel(self._map, self._prompt, seed, 0, context_frames, window_frames, again_frames)

    def _segment_wave(self) -> SegmentWave:
        return SegmentWave(self._model.config.mel.hop_length, self._frames.left, self._frames.right)


def three_ways(folder: Path, voice: Path, scratch: Path, threads: int) -> ThreeWays:
    """Load a model folder and encode a clip; `scratch` is used meanwhile. CheckpointError, ReferenceRejected."""
    torch.set_num_threads(threads)
    model = load_model(folder)
    return ThreeWays(model, Conditioner(model, scratch).encode_voice(decode_reference(voice)))
