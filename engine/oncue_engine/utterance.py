"""One live utterance: what it has to say, how far each stage is, and what it needs next.

tokens of its segments -> chunks -> mel -> native samples -> delivery.py
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .checkpoints.config import ModelConfig
from .conditioning import VoiceConditioning
from .decoding.batch import Sequence, SequenceSpec
from .decoding.length import SegmentLength
from .delivery import Delivery
from .errors import GenerationFailed
from .frontend.audio import Waveform
from .rendering.chunks import Chunk, ChunkPlanner, ChunkPolicy, RenderFrames
from .rendering.mel import SegmentMel, VoicePrompt
from .rendering.wave import SegmentWave, VocoderJob, ease_out
from .requests import Event, PacingMode, UtteranceRequest

__all__ = ["Script", "Stage", "Utterance", "UtteranceHandle"]

Samples = npt.NDArray[np.float32]

_PREFETCH_S = 1.0
"""Tokens that may be decoded beyond what the next chunk needs, while others decode anyway."""
_START_ALLOWANCE_S = 0.15
"""A new listener is as urgent as one who runs dry so soon; waiting makes it more urgent still."""
_ENCODE_ALLOWANCE_S = 1.0
"""Prompt encoders take long: they queue behind audio that is due sooner."""


class Stage(enum.Enum):
    """What an utterance needs next."""

    PROMPT = "prompt"
    PREFILL = "prefill"
    DECODE = "decode"
    FLOW = "flow"
    WAVE = "wave"


@dataclass(frozen=True, slots=True, eq=False)
class Script:
    """A checked request, ready to be spoken."""

    request: UtteranceRequest
    text_ids: tuple[tuple[int, ...], ...]
    """Text piece ids of each segment."""
    lengths: tuple[SegmentLength, ...]
    total_samples: int | None
    """Output samples, where a length was asked for in samples."""
    voice_clip: Waveform | None
    """The voice's clip, where its tensors were not kept when the request came."""
    emotion_clip: Waveform | None


class UtteranceHandle:
    """What the caller of Engine.speak holds. Any thread may call it, the event callback included."""

    def __init__(self, utterance: Utterance, wake: Callable[[], None]) -> None:
        self._utterance = utterance
        self._wake = wake

    def cancel(self) -> None:
        """No event follows once this returns; the slot is free after the step that is running now."""
        self._utterance.delivery.cancel()
        self._wake()

    def report_playhead(self, played_samples: int) -> None:
        """The listener has played up to this sample of the utterance (output rate)."""
        self._utterance.delivery.report_playhead(played_samples)
        self._wake()


@dataclass(slots=True, eq=False)
class _Segment:
    """One segment on its way from tokens to samples."""

    length: SegmentLength
    sequence: Sequence
    mel: SegmentMel
    wave: SegmentWave
    kept_samples: int = 0


class Utterance:
    """State of one utterance, for the engine's thread; `delivery` takes calls from others."""

    def __init__(
        self, script: Script, config: ModelConfig, vocoder_reach: int, on_event: Callable[[Event], None]
    ) -> None:
        """`vocoder_reach`: mel frames on each side that settle a sample."""
        request, speech = script.request, config.speech
        self.script = script
        self.delivery = Delivery(request, speech.sample_rate_hz, script.total_samples, on_event)
        self.voice: VoiceConditioning | None = None
        self.emotion: Tensor | None = None
        """Emotion vector [M], merged."""
        self.prompt_encodes = 0
        self._config = config
        policy = ChunkPolicy()
        self._frames = frames = RenderFrames.of(policy, speech, vocoder_reach)
        self._planner = ChunkPlanner(policy, speech.token_rate_hz, frames.right / frames.rate_hz)
        self._prefetch_tokens = round(_PREFETCH_S * speech.token_rate_hz)
        self._segments: list[_Segment] = []
        self._rendering = 0
        """Index of the segment whose chunks are rendered now."""
        self._chunk: Chunk | None = None
        """The chunk between its flow and its vocoder call."""
        self._rendered_tokens = 0

    # What to do next

    @property
    def closed(self) -> bool:
        """Cancelled, finished or failed: nothing is left to do for it."""
        return self.delivery.closed

    @property
    def sequence(self) -> Sequence | None:
        """The tokens being drawn now."""
        return self._segments[-1].sequence if self._segments and self._segments[-1].sequence.live else None

    @property
    def codes_generated(self) -> int:
        return sum(len(segment.sequence.codes) for segment in self._segments)

    def next_stage(self, now_s: float) -> Stage | None:
        """The stage that its next audio waits for; None while it is ahead, or has only to deliver."""
        if self.voice is None or self.emotion is None:
            return Stage.PROMPT
        if self.delivery.ended or self.delivery.is_ahead(now_s, self._planner.next_seconds()):
            return None
        if self._chunk is not None:
            return Stage.WAVE
        if self._next_chunk() is not None:
            return Stage.FLOW
        return Stage.DECODE if self.sequence is not None else Stage.PREFILL

    def may_decode(self, now_s: float) -> bool:
        """Whether its tokens may go along in a step that somebody else needs."""
        ahead = self.codes_generated - self._rendered_tokens
        wanted = self._planner.chunk_tokens + self._prefetch_tokens
        is_ahead = self.delivery.is_ahead(now_s, self._planner.next_seconds())
        return self.sequence is not None and ahead < wanted and not is_ahead

    def urgency(self, now_s: float) -> tuple[bool, float]:
        """Sort key: first those in real time, and among them who runs dry first."""
        delivery = self.delivery
        if self.script.request.pacing.mode is PacingMode.UNPACED:
            return True, delivery.produced / self.script.request.sample_rate_hz
        if delivery.first_audio_s is not None:
            return False, delivery.lead_s(now_s)
        encoded = self.voice is not None and self.emotion is not None
        return False, (_START_ALLOWANCE_S if encoded else _ENCODE_ALLOWANCE_S) - (now_s - delivery.born_s)

    def wake_in_s(self, now_s: float) -> float | None:
        """When to look again at an utterance that has nothing to do now; None: not before something happens."""
        return self.delivery.wake_in_s(now_s, self._planner.next_seconds())

    # Tokens

    def next_text(self) -> tuple[tuple[int, ...], SequenceSpec]:
        """Text ids of the segment that comes next, and how its tokens are drawn."""
        number, request = len(self._segments), self.script.request
        length = self.script.lengths[number]
        spec = SequenceSpec(
            seed=request.seed,
            segment=number,
            sampling=request.sampling,
            exact_tokens=length.tokens,
            min_tokens=length.min_tokens,
            max_tokens=length.max_tokens,
            advised_tokens=length.advised_tokens,
        )
        return self.script.text_ids[number], spec

    def add_segment(self, sequence: Sequence) -> None:
        """The next segment has begun with `sequence`."""
        voice, number = self.voice, len(self._segments)
        assert voice is not None
        length = self.script.lengths[number]
        prompt = VoicePrompt(voice.prompt_mel, voice.prompt_condition, voice.style)
        seed = self.script.request.seed
        frames = self._frames
        mel = SegmentMel(length.frame_map, prompt, seed, number, frames.context, frames.window, frames.again)
        wave = SegmentWave(self._config.mel.hop_length, frames.left, frames.right)
        self._segments.append(_Segment(length, sequence, mel, wave))

    # Rendering: flow call, then vocoder call, of one chunk after the other

    def tokens_to_condition(self) -> tuple[Tensor, Tensor]:
        """Codes [n] and latents [n,M] that the next chunk sees and that S2M has not had yet."""
        segment, chunk = self._current(), self._next_chunk()
        assert chunk is not None
        begin = segment.mel.num_rows
        codes = torch.tensor(segment.sequence.codes[begin : chunk.seen], dtype=torch.int64)
        return codes, segment.sequence.latents_between(begin, chunk.seen)

    def begin_chunk(self, rows: Tensor) -> tuple[SegmentMel, Chunk]:
        """Take the semantic rows [n,D] of those tokens; the chunk is on its way from here."""
        segment, chunk = self._current(), self._next_chunk()
        assert chunk is not None
        segment.mel.extend(rows)
        self._chunk = chunk
        return segment.mel, chunk

    def vocoder_job(self) -> VocoderJob | None:
        """The vocoder call for what the chunk's mel has settled."""
        segment, chunk = self._current(), self._chunk
        assert chunk is not None
        return segment.wave.job(segment.mel.mel, chunk.last)

    def accept_wave(self, samples: Samples) -> None:
        """Native samples of the chunk. GenerationFailed NOT_FINITE."""
        segment, chunk = self._current(), self._chunk
        assert chunk is not None
        if not np.isfinite(samples).all():
            raise GenerationFailed("the waveform is not finite", reason="NOT_FINITE")
        if segment.length.native_samples is not None:
            samples = samples[: segment.length.native_samples - segment.kept_samples]
        segment.kept_samples += len(samples)
        if chunk.last:
            samples = ease_out(samples, self._config.speech.sample_rate_hz, self._config.mel.hop_length)
        self.delivery.push(samples)
        self._planner.advance(chunk)
        self._rendered_tokens += chunk.end - chunk.begin
        self._chunk = None
        if chunk.last:
            self._end_segment(segment)

    def deliver(self, now_s: float) -> None:
        """Send what may be sent, and Finished after the last of it."""
        self.delivery.send(now_s, self.codes_generated)
        if self.delivery.ended:
            limit = any(segment.sequence.hit_limit for segment in self._segments)
            reason = "token_limit" if limit else "complete"
            self.delivery.finish(self.codes_generated, self.prompt_encodes, self._config.speech.flow_steps, reason)

    def _end_segment(self, segment: _Segment) -> None:
        self.delivery.push(np.zeros(segment.length.pause_samples, dtype=np.float32))
        self._rendering += 1
        if self._rendering == len(self.script.lengths):
            self.delivery.end()

    def _current(self) -> _Segment:
        return self._segments[self._rendering]

    def _next_chunk(self) -> Chunk | None:
        if self._rendering >= len(self._segments):
            return None
        sequence = self._current().sequence
        return self._planner.next(len(sequence.codes), sequence.finished)
