"""What tests ask a server with, and how they read its refusals."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import grpc.aio
import numpy as np
import soundfile
from google.rpc import error_details_pb2, status_pb2

from oncue.v1 import (
    emotion_service_pb2_grpc,
    server_service_pb2_grpc,
    speech_service_pb2,
    speech_service_pb2_grpc,
    voice_service_pb2_grpc,
)

TEXT = "Please close the window before you leave."
LONG_TEXT = "The door was open. Nobody had seen the cat, and nobody asked. It came back in the evening."


@dataclass(frozen=True, slots=True)
class Stubs:
    """All services over one channel."""

    voices: voice_service_pb2_grpc.VoiceServiceStub
    emotions: emotion_service_pb2_grpc.EmotionServiceStub
    speech: speech_service_pb2_grpc.SpeechServiceStub
    server: server_service_pb2_grpc.ServerServiceStub
    channel: grpc.aio.Channel


def stubs_of(channel: grpc.aio.Channel) -> Stubs:
    return Stubs(
        voice_service_pb2_grpc.VoiceServiceStub(channel),
        emotion_service_pb2_grpc.EmotionServiceStub(channel),
        speech_service_pb2_grpc.SpeechServiceStub(channel),
        server_service_pb2_grpc.ServerServiceStub(channel),
        channel,
    )


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a refused call says."""

    code: grpc.StatusCode
    reason: str
    field: str
    limits: dict[str, str]
    retry_s: float | None


def refusal_of(error: grpc.aio.AioRpcError) -> Refusal:
    reason, field, limits, retry_s = "", "", dict[str, str](), None
    for key, value in error.trailing_metadata() or ():
        if key != "grpc-status-details-bin":
            continue
        status = status_pb2.Status.FromString(value)
        assert status.code == error.code().value[0]
        for packed in status.details:
            info, bad, retry = (
                error_details_pb2.ErrorInfo(),
                error_details_pb2.BadRequest(),
                error_details_pb2.RetryInfo(),
            )
            if packed.Unpack(info):
                assert info.domain == "oncue.dev"
                reason, limits = info.reason, dict(info.metadata)
            elif packed.Unpack(bad):
                field = bad.field_violations[0].field
            elif packed.Unpack(retry):
                retry_s = retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9
    return Refusal(error.code(), reason, field, limits, retry_s)


def wav(seconds: float, *, rate_hz: int = 16000, level: float = 0.3, pitch_hz: float = 150.0) -> bytes:
    """A buzz with a sway: not speech, but nothing that the checks of a clip refuse."""
    t_s = np.arange(round(seconds * rate_hz)) / rate_hz
    wave = sum(np.sin(2 * np.pi * pitch_hz * k * t_s) / k for k in range(1, 8))
    wave = wave * (0.7 + 0.3 * np.sin(2 * np.pi * 2 * t_s))
    buffer = io.BytesIO()
    soundfile.write(buffer, (level * wave / 2.0).astype(np.float32), rate_hz, format="WAV")
    return buffer.getvalue()


def stream_request(
    text: str = TEXT, *, start_sample: int = 0, unpaced: bool = True, **utterance: Any
) -> speech_service_pb2.StreamSynthesizeRequest:
    """A streamed utterance with a seed."""
    mode = speech_service_pb2.PACING_MODE_UNPACED if unpaced else speech_service_pb2.PACING_MODE_REALTIME
    return speech_service_pb2.StreamSynthesizeRequest(
        utterance=speech_service_pb2.Utterance(text=text, **{"seed": 7, **utterance}),
        pacing=speech_service_pb2.Pacing(mode=mode),
        start_sample=start_sample,
    )


async def until(condition: Callable[[], bool], within_s: float) -> float:
    """Seconds until the condition holds."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < within_s, "it did not happen in time"
        await asyncio.sleep(0.005)
    return time.monotonic() - began
