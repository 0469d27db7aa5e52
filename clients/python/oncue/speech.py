"""Speaking: a stream of chunks, a whole clip, or a plan."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import grpc.aio

from oncue.audio import AudioChunk, Clip, Encoding, SpeechStats
from oncue.emotions import weights_of
from oncue.errors import NotFound, Unavailable, typed_errors
from oncue.info import UtterancePlan, utterance_plan
from oncue.scheduling import Priority, Scheduling, priority_of, scheduling_message
from oncue.utterance import Utterance, utterance_message
from oncue.v1 import audio_pb2, speech_service_pb2, speech_service_pb2_grpc

__all__ = ["Pacing", "Speech", "SpeechStart", "SpeechStream"]


@dataclass(frozen=True, slots=True)
class SpeechStart:
    """The settings that an utterance uses, with the server's defaults filled in."""

    voice: str
    sample_rate_hz: int
    encoding: Encoding
    seed: int
    start_sample: int
    planned_samples: int | None
    """Known when a length was asked for."""
    num_segments: int
    fingerprint: str
    emotion_weights: Mapping[str, float] | None
    """What an emotion by weights or in words comes down to, strength not applied; None for a clip or no emotion."""
    priority: Priority
    start_deadline_s: float | None
    """The shorter of the start deadline and the call's timeout; None when there is neither."""
    utterance_id: str
    """The stream's name while it runs; empty for a clip in one answer."""


@dataclass(frozen=True, slots=True)
class Pacing:
    """How far ahead of playback the server works."""

    realtime: bool = True
    """False: as fast as it goes."""
    max_lead_samples: int | None = None
    """At the output rate, only with `realtime`; None: 2 s."""


class SpeechStream(AsyncIterator[AudioChunk]):
    """The chunks of one utterance, in order and without gaps. Iterate it once.

    `started` is set from the first chunk on, `stats` once the iteration has ended. Leave early through `cancel()`, or
    use it as an async context manager, and the server stops its work. Iterating raises SpeechError, and what
    `oncue.utterance.utterance_message` and `oncue.scheduling.scheduling_message` raise.
    """

    def __init__(
        self,
        stub: speech_service_pb2_grpc.SpeechServiceStub,
        utterance: Utterance,
        pacing: Pacing,
        scheduling: Scheduling,
        start_sample: int,
        timeout_s: float | None,
    ) -> None:
        self.started: SpeechStart | None = None
        self.stats: SpeechStats | None = None
        self._stub = stub
        self._utterance = utterance
        self._pacing = pacing
        self._scheduling = scheduling
        self._start_sample = start_sample
        self._timeout_s = timeout_s
        self._call: _Call | None = None
        self._ended = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> AudioChunk:
        if self._ended:
            raise StopAsyncIteration
        try:
            with typed_errors():
                call = self._call or await self._begin()
                async for event in call:
                    if event.HasField("audio"):
                        return self._chunk(event.audio)
                    if event.HasField("started"):
                        self.started = _start(event.started)
                    elif event.HasField("finished"):
                        self.stats = _stats(event.finished)
        except asyncio.CancelledError:
            # Either our own cancel() ended the call, or somebody cancels the task that iterates.
            ended_here, task = self._ended, asyncio.current_task()
            self.cancel()
            if ended_here and task is not None and not task.cancelling():
                raise StopAsyncIteration from None
            raise
        except BaseException:
            self.cancel()
            raise
        self._ended = True
        raise StopAsyncIteration

    def cancel(self) -> None:
        """Ends the utterance; the iteration ends too. Does nothing once it is over."""
        self._ended = True
        if self._call is not None:
            self._call.cancel()

    async def report_playhead(self, played_samples: int) -> None:
        """Tells the server that the listener has played up to this sample, and plays on from there.

        Without reports the server goes by the clock. A listener that stands still says so again while it does, such as
        every 250 ms. Does nothing before the first chunk, and once the server has sent all. A report that does not get
        through, as while the server drains, is dropped. Raises SpeechError otherwise.
        """
        if self.started is None or self._ended:
            return
        request = speech_service_pb2.ReportPlayheadRequest(
            utterance_id=self.started.utterance_id, played_samples=played_samples
        )
        try:
            with typed_errors():
                await self._stub.ReportPlayhead(request)
        except (NotFound, Unavailable):
            # The server has sent all, though it may be on its way yet; or it takes no new calls, and goes by the clock.
            return

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.cancel()

    async def _begin(self) -> _Call:
        mode = (
            speech_service_pb2.PACING_MODE_REALTIME if self._pacing.realtime else speech_service_pb2.PACING_MODE_UNPACED
        )
        request = speech_service_pb2.StreamSynthesizeRequest(
            utterance=await utterance_message(self._utterance),
            pacing=speech_service_pb2.Pacing(mode=mode, max_lead_samples=self._pacing.max_lead_samples),
            start_sample=self._start_sample,
            scheduling=scheduling_message(self._scheduling),
        )
        self._call = self._stub.StreamSynthesize(request, timeout=self._timeout_s)
        return self._call

    def _chunk(self, audio: speech_service_pb2.SynthesisAudio) -> AudioChunk:
        if self.started is None:
            raise RuntimeError("the server sent audio before it told the format")
        return AudioChunk(
            sequence=audio.sequence,
            first_sample=audio.first_sample,
            num_samples=audio.num_samples,
            sample_rate_hz=self.started.sample_rate_hz,
            payload=audio.payload,
            encoding=self.started.encoding,
            codes_generated=audio.codes_generated,
        )


_Call = grpc.aio.UnaryStreamCall[
    speech_service_pb2.StreamSynthesizeRequest, speech_service_pb2.StreamSynthesizeResponse
]


class Speech:
    """The calls of SpeechService, on values. `Client` is the door to it."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = speech_service_pb2_grpc.SpeechServiceStub(channel)

    def stream(
        self,
        utterance: Utterance,
        pacing: Pacing,
        scheduling: Scheduling,
        start_sample: int = 0,
        timeout_s: float | None = None,
    ) -> SpeechStream:
        """The call begins with the first iteration."""
        return SpeechStream(self._stub, utterance, pacing, scheduling, start_sample, timeout_s)

    async def synthesize(self, utterance: Utterance, scheduling: Scheduling, timeout_s: float | None = None) -> Clip:
        """The whole clip in one answer of at most 4 MiB. Raises as a SpeechStream does."""
        request = speech_service_pb2.SynthesizeRequest(
            utterance=await utterance_message(utterance), scheduling=scheduling_message(scheduling)
        )
        with typed_errors():
            response = await self._stub.Synthesize(request, timeout=timeout_s)
        start = _start(response.started)
        return Clip(
            sample_rate_hz=start.sample_rate_hz,
            payload=response.audio,
            encoding=start.encoding,
            stats=_stats(response.finished),
        )

    async def plan(self, utterance: Utterance, timeout_s: float | None = None) -> UtterancePlan:
        """How the text will be read and how long it can be. Raises as a SpeechStream does."""
        request = speech_service_pb2.PlanUtteranceRequest(utterance=await utterance_message(utterance))
        with typed_errors():
            return utterance_plan(await self._stub.PlanUtterance(request, timeout=timeout_s))


def _start(message: speech_service_pb2.SynthesisStarted) -> SpeechStart:
    return SpeechStart(
        voice=message.voice,
        sample_rate_hz=message.format.sample_rate_hz,
        encoding="pcm_f32" if message.format.encoding == audio_pb2.AUDIO_ENCODING_PCM_F32 else "pcm_s16",
        seed=message.seed,
        start_sample=message.start_sample,
        planned_samples=message.planned_samples if message.HasField("planned_samples") else None,
        num_segments=message.num_segments,
        fingerprint=message.fingerprint,
        emotion_weights=weights_of(message.emotion_weights) if message.HasField("emotion_weights") else None,
        priority=priority_of(message.scheduling),
        start_deadline_s=message.scheduling.start_deadline.ToNanoseconds() / 1e9
        if message.scheduling.HasField("start_deadline")
        else None,
        utterance_id=message.utterance_id,
    )


def _stats(message: speech_service_pb2.SynthesisFinished) -> SpeechStats:
    return SpeechStats(
        total_samples=message.total_samples,
        total_codes=message.total_codes,
        seed=message.seed,
        time_to_first_audio_s=message.time_to_first_audio.ToNanoseconds() / 1e9,
        generation_s=message.generation_time.ToNanoseconds() / 1e9,
        prompt_encodes=message.prompt_encodes,
        complete=message.reason == speech_service_pb2.FINISH_REASON_COMPLETE,
        fewest_flow_steps=message.fewest_flow_steps,
    )
