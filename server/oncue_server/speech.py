"""oncue.v1.SpeechService: the engine's events, from its thread into gRPC streams."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing
from typing import Any

import grpc.aio
import numpy as np
import numpy.typing as npt
from oncue_engine.engine import Engine, UtteranceHandle

from oncue.v1 import audio_pb2, speech_service_pb2_grpc
from oncue.v1 import speech_service_pb2 as pb
from oncue_engine.errors import EngineError
from oncue_engine.requests import (
    AudioChunk,
    Event,
    Failed,
    Finished,
    Started,
    TargetSamples,
    TargetTokens,
    UtteranceRequest,
)
from oncue_server import audio, speech_limits
from oncue_server.messages import seconds
from oncue_server.utterances import Resolved, Resolver

__all__ = ["SpeechService"]

_MAX_PAYLOAD_BYTES = 256 * 1024
"""Longer chunks are sent as several messages, far below what a client receives by default."""

_REASONS = {
    "complete": pb.FINISH_REASON_COMPLETE,
    "token_limit": pb.FINISH_REASON_TOKEN_LIMIT,
}

_Told = Started | AudioChunk | Finished
_Context = grpc.aio.ServicerContext[Any, Any]


class SpeechService(speech_service_pb2_grpc.SpeechServiceServicer):
    """oncue.v1.SpeechService."""

    def __init__(self, engine: Engine, resolver: Resolver) -> None:
        self._engine = engine
        self._resolver = resolver

    async def StreamSynthesize(
        self, request: pb.StreamSynthesizeRequest, context: _Context
    ) -> AsyncIterator[pb.StreamSynthesizeResponse]:
        """Speaks while it generates."""
        async with self._resolver.resolve(
            request.utterance, speech_limits.STREAM_ENCODINGS, request.pacing, request.start_sample
        ) as resolved:
            sequence = 0
            async with aclosing(self._events(resolved, context)) as events:
                async for event in events:
                    match event:
                        case Started():
                            yield pb.StreamSynthesizeResponse(started=resolved.started(event, self._fingerprint))
                        case AudioChunk():
                            for message in _messages(event, resolved.format.encoding, sequence):
                                yield pb.StreamSynthesizeResponse(audio=message)
                                sequence += 1
                        case Finished():
                            yield pb.StreamSynthesizeResponse(finished=_finished(event))

    async def Synthesize(self, request: pb.SynthesizeRequest, context: _Context) -> pb.SynthesizeResponse:
        """Speaks one clip: the payloads of the stream, concatenated."""
        async with self._resolver.resolve(request.utterance, speech_limits.UNARY_ENCODINGS) as resolved:
            encoding = resolved.format.encoding
            speech_limits.unary_size(await self._expected_samples(resolved), encoding)
            answer, payloads, num_samples = pb.SynthesizeResponse(), list[bytes](), 0
            async with aclosing(self._events(resolved, context)) as events:
                async for event in events:
                    match event:
                        case Started():
                            answer.started.CopyFrom(resolved.started(event, self._fingerprint))
                        case AudioChunk():
                            num_samples += len(event.samples)
                            # Free speech may come out longer than predicted.
                            speech_limits.unary_size(num_samples, encoding)
                            payloads.append(audio.encode(event.samples, encoding))
                        case Finished():
                            answer.finished.CopyFrom(_finished(event))
            if encoding == audio_pb2.AUDIO_ENCODING_WAV:
                payloads.insert(0, audio.wav_header(num_samples, resolved.format.sample_rate_hz))
            answer.audio = b"".join(payloads)
            return answer

    async def PlanUtterance(self, request: pb.PlanUtteranceRequest, context: _Context) -> pb.PlanUtteranceResponse:
        """Says how a text will be read and how long it can be."""
        async with self._resolver.resolve(request.utterance, speech_limits.UNARY_ENCODINGS) as resolved:
            try:
                plan = await asyncio.to_thread(self._engine.plan, resolved.request)
            except EngineError as error:
                raise resolved.at_field(error) from error
            return pb.PlanUtteranceResponse(
                segments=[
                    pb.SegmentPlan(
                        text=segment.text,
                        char_begin=segment.char_begin,
                        char_end=segment.char_end,
                        num_text_tokens=segment.num_text_tokens,
                        natural_tokens=segment.natural_tokens,
                    )
                    for segment in plan.segments
                ],
                sample_rate_hz=resolved.format.sample_rate_hz,
                natural_samples=plan.natural_samples,
                min_samples=plan.min_samples,
                max_samples=plan.max_samples,
                comfortable_min_samples=plan.comfortable_min_samples,
                comfortable_max_samples=plan.comfortable_max_samples,
                natural_tokens=plan.natural_tokens,
                min_tokens=plan.min_tokens,
                max_tokens=plan.max_tokens,
            )

    @property
    def _fingerprint(self) -> str:
        return self._engine.info.fingerprint

    async def _expected_samples(self, resolved: Resolved) -> int:
        """The utterance's length in samples, exact when samples were asked for."""
        request = resolved.request
        match request.length:
            case TargetSamples(samples):
                return samples
            case TargetTokens(tokens):
                return math.ceil(tokens * request.sample_rate_hz / self._engine.info.token_rate_hz)
            case _:
                try:
                    return (await asyncio.to_thread(self._engine.plan, request)).natural_samples
                except EngineError as error:
                    raise resolved.at_field(error) from error

    async def _events(self, resolved: Resolved, context: _Context) -> AsyncGenerator[_Told, None]:
        """The events of one utterance, which is cancelled when the caller goes or the iterator is closed.

        The queue needs no bound of its own: the engine stops generating when it is too far ahead, and an utterance
        that is not paced is as long as its text allows. Raises what the engine refuses or fails with.
        """
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[Event] = asyncio.Queue()

        def on_event(event: Event) -> None:
            # After the loop has closed nobody listens, and the engine is about to be closed too.
            if not loop.is_closed():
                loop.call_soon_threadsafe(queue.put_nowait, event)

        try:
            handle = await _speak(self._engine, resolved.request, on_event)
        except EngineError as error:
            raise resolved.at_field(error) from error

        # A caller who goes while this generator is parked at a yield is only noticed here.
        context.add_done_callback(lambda _: handle.cancel())  # type: ignore[arg-type]  # the stubs want a class
        try:
            await context.send_initial_metadata(())
            while True:
                event = await queue.get()
                if isinstance(event, Failed):
                    if isinstance(event.error, EngineError):
                        raise resolved.at_field(event.error)
                    raise event.error
                yield event
                if isinstance(event, Finished):
                    return
        finally:
            handle.cancel()


async def _speak(engine: Engine, request: UtteranceRequest, on_event: Callable[[Event], None]) -> UtteranceHandle:
    """Engine.speak off the event loop: it reads the text, which takes a while."""
    starting = asyncio.ensure_future(asyncio.to_thread(engine.speak, request, on_event))
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        # The caller has gone, but the thread goes on and will start an utterance nobody wants.
        starting.add_done_callback(_cancel_started)
        raise


def _cancel_started(starting: asyncio.Future[UtteranceHandle]) -> None:
    if not starting.cancelled() and starting.exception() is None:
        starting.result().cancel()


def _messages(
    chunk: AudioChunk, encoding: audio_pb2.AudioEncoding.ValueType, sequence: int
) -> Iterator[pb.SynthesisAudio]:
    step = _MAX_PAYLOAD_BYTES // audio.bytes_per_sample(encoding)
    for number, first in enumerate(range(0, len(chunk.samples), step)):
        part: npt.NDArray[np.float32] = chunk.samples[first : first + step]
        yield pb.SynthesisAudio(
            sequence=sequence + number,
            first_sample=chunk.first_sample + first,
            num_samples=len(part),
            payload=audio.encode(part, encoding),
            codes_generated=chunk.codes_generated,
        )


def _finished(event: Finished) -> pb.SynthesisFinished:
    return pb.SynthesisFinished(
        total_samples=event.total_samples,
        total_codes=event.total_codes,
        seed=event.seed,
        time_to_first_audio=seconds(event.time_to_first_audio_s),
        generation_time=seconds(event.generation_s),
        prompt_encodes=event.prompt_encodes,
        reason=_REASONS[event.reason],
    )
