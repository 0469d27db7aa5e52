"""One live utterance: what it has to say, how far each stage is, and what it needs next.

tokens of its segments -> chunks -> mel -> native samples -> delivery.py

Its stages run side by side: while the vocoder works on one chunk, the flow may be at the next one and the tokens of the
one after that be drawn. A stage that runs is in `busy`; what belongs to it is touched by nobody else meanwhile.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
from torch import Tensor

from .answers import Event
from .conditioning import VoiceConditioning
from .decoding.batch import Sequence, SequenceSpec
from .delivery import Delivery
from .model_interface import SpeechModel
from .rendering.chunks import Chunk, ChunkPlanner, ChunkPolicy, RenderFrames
from .rendering.flow_batch import FlowRow
from .rendering.mel import SegmentMel, VoicePrompt
from .rendering.wave import SegmentWave
from .requests import PacingMode
from .script import Script
from .speech_segment import RenderedChunk, SpeechSegment
from .stages import Need, Stage

__all__ = ["Utterance"]

Samples = npt.NDArray[np.float32]

_PREFETCH_S = 1.0
"""Tokens that may be decoded beyond what the next chunk needs."""
_STARTING_PREFETCH_S = 0.4
"""The same before the first audio, which nothing should hold up."""
_START_SLACK_S = 0.25
"""A newcomer is as urgent as a listener who runs dry so soon. Waiting makes it more urgent, but not without end: who
has begun to listen must not run dry for those who come after, and a chunk takes its time."""
_WAITING_WEIGHT, _LONGEST_WAIT_S = 0.2, 0.5
_PREFILL_BONUS_S = 0.05
"""A prefix goes before steps that are not more urgent by more than that: it takes as long as a few of them, and then
the newcomer's tokens are drawn in the same steps instead of in steps of their own."""
_ENCODE_SLACK_S = 1.0
"""Prompt encoders take long: they queue behind audio that is due sooner."""
_DUE_S = 0.5
"""Who runs dry so soon comes before everybody who does not, whatever the priorities."""
_SETTLED_S = 0.5
"""Of audio: more than the first chunk, less than the first two."""
_STILL_S = 5.0
"""A stream that took no work for so long is paused."""
_MAX_RENDERED = 2
"""Chunks of mel that may wait for the vocoder."""


class Utterance:
    """State of one utterance. The scheduler's lock guards `ready`, `begin_*` and `end_*`; `delivery` has its own."""

    def __init__(self, script: Script, model: SpeechModel, on_event: Callable[[Event], None]) -> None:
        request, speech = script.request, model.speech
        self.script = script
        self.delivery = Delivery(request, speech.sample_rate_hz, script.total_samples, on_event)
        self.busy: set[Stage] = set()
        self.begun = False
        """Let in: before, its prompts may be prepared, and nothing else."""
        self.work_s = 0.0
        """Time that its share of all calls took so far."""
        self.worked_at_s = self.delivery.born_s
        """When the last of them ended."""
        self.voice: VoiceConditioning | None = None
        self.emotion: Tensor | None = None
        """Emotion vector [M], merged."""
        self.prompt_encodes = 0
        self.flow_steps: list[int] = []
        """Of each flow call so far."""
        self.chunk: Chunk | None = None
        """The chunk that the flow is at."""
        self.row: FlowRow | None = None
        """Its flow call, once begun."""
        self._speech, self._hop_samples = speech, model.hop_samples
        policy = ChunkPolicy.of(speech)
        self._frames = frames = RenderFrames.of(policy, speech, model.vocoder_reach_frames)
        self._planner = ChunkPlanner(policy, speech.token_rate_hz, frames.right / frames.rate_hz)
        self._segments: list[SpeechSegment] = []
        self._rendering = 0
        """Index of the segment that the flow is at."""
        self._rendered: deque[RenderedChunk] = deque()
        self._rendered_tokens = 0
        self.unpaced = request.pacing.mode is PacingMode.UNPACED
        self.counted_s = 0.0
        """Audio that was made of it when it was last counted."""
        deadline_s = request.start_deadline_s
        self._start_slack_s = _START_SLACK_S if deadline_s is None else min(_START_SLACK_S, deadline_s)

    # What to do next

    @property
    def closed(self) -> bool:
        """Cancelled, finished or failed: nothing is left to do for it."""
        return self.delivery.closed

    @property
    def starting(self) -> bool:
        """No audio of it has been made yet."""
        return self.delivery.produced == 0 and not self.closed

    def streaming(self, now_s: float) -> bool:
        """Let in, in real time, and with audio left to make: it needs its share of the device until it ends.

        A listener who stands still for long needs none meanwhile.
        """
        if not self.begun or self.unpaced or self.closed or self.delivery.ended:
            return False
        return self.starting or now_s - self.worked_at_s < _STILL_S

    def settling(self, now_s: float) -> bool:
        """Streaming, and still without its second chunk."""
        return self.streaming(now_s) and self.delivery.produced < _SETTLED_S * self.script.request.sample_rate_hz

    @property
    def sequence(self) -> Sequence | None:
        """The tokens being drawn now."""
        return self._segments[-1].sequence if self._segments and self._segments[-1].sequence.live else None

    @property
    def codes_generated(self) -> int:
        return sum(len(segment.sequence.codes) for segment in self._segments)

    @property
    def clips_to_encode(self) -> int:
        """Its prompts that were not kept when the request came."""
        return (self.script.voice_clip is not None) + (self.script.emotion_clip is not None)

    @property
    def flow_frames(self) -> int:
        """Frames of its next flow step, about."""
        if self.row is not None:
            return self.row.frames
        assert self.voice is not None
        frames = self._frames
        context = frames.context if self._rendered_tokens else 0
        new = round(self._planner.next_seconds() * frames.rate_hz)
        return int(self.voice.prompt_mel.shape[1]) + context + new

    @property
    def wave_frames(self) -> int:
        """Frames of its next vocoder call, about."""
        rendered = self.rendered
        return rendered.end_frame - rendered.segment.wave.done_frames + self._frames.left

    def count_made(self) -> float:
        """Seconds of audio that were made since it was last asked."""
        made_s = self.delivery.produced / self.script.request.sample_rate_hz
        before_s, self.counted_s = self.counted_s, made_s
        return made_s - before_s

    def remaining_s(self) -> float:
        """Seconds of audio that are still to be made, about."""
        return max(0.0, self.script.expected_s - self.delivery.produced / self.script.request.sample_rate_hz)

    def slack_s(self, now_s: float) -> float:
        """How long the listener can wait for the next sample; a newcomer is taken for one who can wait a little."""
        if self.delivery.first_audio_s is not None:
            return self.delivery.lead_s(now_s)
        encoded = self.voice is not None and self.emotion is not None
        waited_s = min(now_s - self.delivery.born_s, _LONGEST_WAIT_S)
        return (self._start_slack_s if encoded else _ENCODE_SLACK_S) - _WAITING_WEIGHT * waited_s

    def ready(self, now_s: float) -> Iterator[Need]:
        """The stages that may run now, what they would make being wanted at all."""
        if self.closed:
            return
        if Stage.DELIVER not in self.busy and self.delivery.can_send(now_s):
            yield Need((False, False, 0, -1.0), Stage.DELIVER)
        if self.voice is None or self.emotion is None:
            if Stage.PROMPT not in self.busy:
                yield self._need(Stage.PROMPT, now_s, 0.0)
            return
        if not self.begun or self.delivery.ended:
            return
        coming_s = self._waiting_s()
        if self._rendered and Stage.WAVE not in self.busy:
            yield self._need(Stage.WAVE, now_s, 0.0)
        ahead = self.delivery.is_ahead(now_s, self._planner.next_seconds(), coming_s)
        chunk = None if ahead else self.chunk or self._next_chunk()
        if chunk is not None and Stage.FLOW not in self.busy and len(self._rendered) < _MAX_RENDERED:
            yield self._need(Stage.FLOW, now_s, coming_s)
        wants_tokens = self._searches_ahead() or (not ahead and self._wants_tokens())
        if wants_tokens and not self.busy & {Stage.PREFILL, Stage.DECODE}:
            next_s = 0.0 if chunk is None else self._planner.next_seconds()
            if self.sequence is not None:
                yield self._need(Stage.DECODE, now_s, coming_s + next_s)
            else:
                yield self._need(Stage.PREFILL, now_s, coming_s + next_s - _PREFILL_BONUS_S)

    def wake_in_s(self, now_s: float) -> float | None:
        """When to look again at an utterance that has nothing to do now; None: not before something happens."""
        return self.delivery.wake_in_s(now_s, self._planner.next_seconds(), self._waiting_s())

    def _need(self, stage: Stage, now_s: float, coming_s: float) -> Need:
        """`coming_s`: audio that will be there without it."""
        request = self.script.request
        if self.unpaced:
            # Nobody runs dry: whoever has least comes first.
            return Need((True, False, -request.priority, self.delivery.produced / request.sample_rate_hz), stage)
        slack_s = self.slack_s(now_s) + coming_s
        return Need((False, slack_s >= _DUE_S, -request.priority, slack_s), stage)

    def _waiting_s(self) -> float:
        """Audio on its way through the vocoder."""
        frames = sum(item.end_frame - item.segment.wave.done_frames for item in list(self._rendered)[-1:])
        return frames / self._frames.rate_hz

    def _wants_tokens(self) -> bool:
        if self.sequence is None and len(self._segments) == len(self.script.lengths):
            return False
        if self.starting and self._rendered:
            return False  # the first audio is all but there
        ahead = self.codes_generated - self._rendered_tokens
        prefetch_s = _STARTING_PREFETCH_S if self.starting else _PREFETCH_S
        return ahead < self._planner.chunk_tokens + round(prefetch_s * self._speech.token_rate_hz)

    def _searches_ahead(self) -> bool:
        """Whether a segment whose tokens all come at once is wanted while the one before it is heard.

        Until its end there is nothing to render, and that may take longer than any listener is ahead.
        """
        if self.starting or not self._segments or not self._segments[-1].sequence.at_once:
            return False
        drawn = len(self._segments)
        return self.sequence is not None or (self._rendering >= drawn - 1 and drawn < len(self.script.lengths))

    # Tokens

    def next_text(self) -> tuple[tuple[int, ...], SequenceSpec]:
        """Text ids of the segment that comes next, and how its tokens are drawn."""
        number = len(self._segments)
        return self.script.text_ids[number], self.script.spec(number)

    def add_segment(self, sequence: Sequence, rows_per_token: int) -> None:
        """The next segment has begun with `sequence`; so many semantic rows stand for each of its tokens."""
        voice, number = self.voice, len(self._segments)
        assert voice is not None
        length, frames = self.script.lengths[number], self._frames
        prompt = VoicePrompt(voice.prompt_mel, voice.prompt_condition, voice.style)
        seed = self.script.request.seed
        sizes = (frames.context, frames.window, frames.again, rows_per_token)
        mel = SegmentMel(length.frame_map, prompt, seed, number, *sizes)
        wave = SegmentWave(self._hop_samples, frames.left, frames.right)
        self._segments.append(SpeechSegment(length, sequence, mel, wave))

    # Flow

    def begin_chunk(self) -> None:
        """Fix the chunk that the flow works at from here on, if it has none."""
        self.chunk = self.chunk or self._next_chunk()
        assert self.chunk is not None

    @property
    def segment(self) -> SpeechSegment:
        """The segment that the flow is at."""
        return self._segments[self._rendering]

    def end_chunk(self) -> None:
        """The chunk's mel is there: the vocoder may have it, and the flow goes on to the next."""
        chunk = self.chunk
        assert chunk is not None
        self._rendered.append(self.segment.rendered(chunk))
        self._planner.advance(chunk)
        self._rendered_tokens += chunk.end - chunk.begin
        self._rendering += chunk.last
        self.chunk = self.row = None

    def _next_chunk(self) -> Chunk | None:
        if self._rendering >= len(self._segments):
            return None
        sequence = self.segment.sequence
        return self._planner.next(len(sequence.codes), sequence.finished)

    # Vocoder

    @property
    def rendered(self) -> RenderedChunk:
        """The chunk whose samples come next."""
        return self._rendered[0]

    def accept_wave(self, samples: Samples) -> None:
        """Native samples of `rendered`. GenerationFailed NOT_FINITE."""
        rendered, speech = self.rendered, self._speech
        self.delivery.push(rendered.cut(samples, speech.sample_rate_hz, self._hop_samples))
        if rendered.chunk.last:
            self.delivery.push(np.zeros(rendered.segment.length.pause_samples, dtype=np.float32))
            if rendered.segment is self._segments[-1] and len(self._segments) == len(self.script.lengths):
                self.delivery.end()

    def end_wave(self) -> None:
        """The samples of `rendered` were accepted."""
        self._rendered.popleft()

    def deliver(self, now_s: float) -> None:
        """Send what may be sent, and Finished after the last of it."""
        self.delivery.send(now_s, self.codes_generated)
        if self.delivery.ended:
            limit = any(segment.sequence.hit_limit for segment in self._segments)
            reason = "token_limit" if limit else "complete"
            fewest = min(self.flow_steps, default=self._speech.flow_steps)
            self.delivery.finish(self.codes_generated, self.prompt_encodes, fewest, reason)
