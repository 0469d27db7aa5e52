"""oncue.v1.SpeechService."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc.aio
import numpy as np
import numpy.typing as npt

from oncue.v1 import audio_pb2, speech_service_pb2_grpc
from oncue.v1 import speech_service_pb2 as pb
from oncue_engine.answers import AudioChunk, Finished, Started, UtterancePlan
from oncue_engine.engine import Engine
from oncue_engine.errors import InvalidRequest
from oncue_engine.requests import TargetSamples, TargetTokens
from oncue_server import audio, speech_limits
from oncue_server.live import speaking
from oncue_server.messages import duration_control_value, seconds, weights_message
from oncue_server.running import RunningStreams
from oncue_server.scheduling import scheduling
from oncue_server.utterances import Resolved, Resolver

__all__ = ["SpeechService"]

_MAX_PAYLOAD_BYTES = 256 * 1024
"""Longer chunks are sent as several messages, far below what a client receives by default."""

_REASONS = {
    "complete": pb.FINISH_REASON_COMPLETE,
    "token_limit": pb.FINISH_REASON_TOKEN_LIMIT,
}

_Context = grpc.aio.ServicerContext[Any, Any]


class SpeechService(speech_service_pb2_grpc.SpeechServiceServicer):
    """oncue.v1.SpeechService."""

    def __init__(self, engine: Engine, resolver: Resolver, running: RunningStreams) -> None:
        self._engine = engine
        self._resolver = resolver
        self._running = running

    async def StreamSynthesize(
        self, request: pb.StreamSynthesizeRequest, context: _Context
    ) -> AsyncIterator[pb.StreamSynthesizeResponse]:
        """Speaks while it generates."""
        turn = scheduling(request.scheduling, context.time_remaining())
        async with (
            self._resolver.resolve(
                request.utterance, speech_limits.STREAM_ENCODINGS, request.pacing, request.start_sample, turn
            ) as resolved,
            speaking(self._engine, resolved.request, context) as utterance,
        ):
            await context.send_initial_metadata(())
            with self._running.entered(utterance, context) as utterance_id:
                sequence = 0
                async for event in utterance:
                    match event:
                        case Started():
                            started = resolved.started(event, self._fingerprint, utterance_id)
                            yield pb.StreamSynthesizeResponse(started=started)
                        case AudioChunk():
                            for message in _messages(event, resolved.format.encoding, sequence):
                                with utterance.handing_over(message.first_sample + message.num_samples):
                                    yield pb.StreamSynthesizeResponse(audio=message)
                                sequence += 1
                        case Finished():
                            yield pb.StreamSynthesizeResponse(finished=_finished(event))

    async def ReportPlayhead(self, request: pb.ReportPlayheadRequest, context: _Context) -> pb.ReportPlayheadResponse:
        """Tells the engine where the listener of a stream is."""
        if request.played_samples < 0:
            raise InvalidRequest(
                f"{request.played_samples} is below 0",
                reason="PLAYED_SAMPLES_OUT_OF_RANGE",
                field="played_samples",
                metadata={"min": "0"},
            )
        self._running.find(request.utterance_id).report_playhead(request.played_samples)
        return pb.ReportPlayheadResponse()

    async def Synthesize(self, request: pb.SynthesizeRequest, context: _Context) -> pb.SynthesizeResponse:
        """Speaks one clip: the payloads of the stream, concatenated."""
        turn = scheduling(request.scheduling, context.time_remaining())
        async with self._resolver.resolve(
            request.utterance, speech_limits.UNARY_ENCODINGS, scheduling=turn
        ) as resolved:
            encoding = resolved.format.encoding
            plan = await asyncio.to_thread(self._engine.plan, resolved.request)
            speech_limits.unary_size(self._expected_samples(resolved, plan), encoding)
            answer, payloads, num_samples = pb.SynthesizeResponse(), list[bytes](), 0
            async with speaking(self._engine, resolved.request, context) as utterance:
                async for event in utterance:
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
            plan = await asyncio.to_thread(self._engine.plan, resolved.request)
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
                emotion_weights=weights_message(plan.emotion_weights),
                duration_control=duration_control_value(plan.duration_control),
            )

    @property
    def _fingerprint(self) -> str:
        return self._engine.info.fingerprint

    def _expected_samples(self, resolved: Resolved, plan: UtterancePlan) -> int:
        """The utterance's length in samples, exact when samples were asked for."""
        match resolved.request.length:
            case TargetSamples(samples):
                return samples
            case TargetTokens(tokens):
                return math.ceil(tokens * resolved.request.sample_rate_hz / self._engine.info.token_rate_hz)
            case _:
                return plan.natural_samples


def _messages(
    chunk: AudioChunk, encoding: audio_pb2.AudioEncoding.ValueType, sequence: int
) -> Iterator[pb.SynthesisAudio]:
    """The chunk in messages of bounded size, numbered from `sequence`."""
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
        fewest_flow_steps=event.fewest_flow_steps,
    )
