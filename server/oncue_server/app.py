"""Builds the server, runs it, and brings it to an end without cutting off who is being served."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]
from grpc_health.v1._async import HealthServicer  # type: ignore[import-untyped]
from grpc_reflection.v1alpha import reflection  # type: ignore[import-untyped]

from oncue.v1 import (
    emotion_service_pb2,
    emotion_service_pb2_grpc,
    server_service_pb2,
    server_service_pb2_grpc,
    speech_service_pb2,
    speech_service_pb2_grpc,
    voice_service_pb2,
    voice_service_pb2_grpc,
)
from oncue_engine.engine import Engine
from oncue_engine.requests import ReferenceOptions
from oncue_server import clips
from oncue_server.builtin import BuiltInVoices, voices_folder
from oncue_server.clips import Intake
from oncue_server.emotions import EmotionService
from oncue_server.gate import Gate
from oncue_server.identity import Throttles
from oncue_server.running import RunningStreams
from oncue_server.server_info import ServerService, server_info
from oncue_server.settings import Settings
from oncue_server.speech import SpeechService
from oncue_server.store import Clip, Store
from oncue_server.utterances import Resolver
from oncue_server.voices import Voices, VoiceService

__all__ = ["AddressInUse", "RunningServer", "serving"]

_SERVICES = tuple(
    module.DESCRIPTOR.services_by_name[name].full_name
    for module, name in (
        (voice_service_pb2, "VoiceService"),
        (emotion_service_pb2, "EmotionService"),
        (speech_service_pb2, "SpeechService"),
        (server_service_pb2, "ServerService"),
    )
)

_OPTIONS: tuple[tuple[str, int], ...] = (
    # Above the largest valid request, so that a clip somewhat over 3 MiB is answered with its limit.
    ("grpc.max_receive_message_length", 8 * 1024 * 1024),
    # Two servers on one port would share its calls without anyone noticing.
    ("grpc.so_reuseport", 0),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
)


class AddressInUse(OSError):
    """The address cannot be listened on."""


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server that is serving."""

    address: str
    """HOST:PORT with the real port, or unix:PATH."""
    engine: Engine
    info: server_service_pb2.ServerInfo
    streams: RunningStreams
    _server: grpc.aio.Server
    _health: HealthServicer
    _drain_s: float

    async def drain(self) -> None:
        """Refuses new calls, and returns when the running ones have ended, or were ended after the drain time."""
        await self._health.enter_graceful_shutdown()
        await self._server.stop(self._drain_s)


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[RunningServer]:
    """A running server, drained at the end of the block. It listens only once its model is loaded and warm.

    Raises CheckpointError and AddressInUse.
    """
    engine = await asyncio.to_thread(
        Engine.load, settings.model, settings.data_dir, settings.engine, glossary=settings.glossary
    )
    scratch = tempfile.TemporaryDirectory(prefix="oncue-")
    try:
        running = await _start(settings, engine, Path(scratch.name))
        try:
            yield running
        finally:
            await running.drain()
    finally:
        await asyncio.to_thread(engine.close)
        await asyncio.to_thread(scratch.cleanup)


async def _start(settings: Settings, engine: Engine, scratch: Path) -> RunningServer:
    server = grpc.aio.server(
        interceptors=[Gate(Throttles(settings.requests_per_second, settings.max_waiting_per_client))],
        options=_OPTIONS,
    )
    voices, emotions = await asyncio.to_thread(_open_stores, settings, engine)
    intake = Intake(engine)
    info = server_info(engine.info, voices.built_in.default, settings.requests_per_second)
    streams = RunningStreams()
    voice_service_pb2_grpc.add_VoiceServiceServicer_to_server(VoiceService(engine, voices, intake), server)
    emotion_service_pb2_grpc.add_EmotionServiceServicer_to_server(EmotionService(engine, emotions, intake), server)
    speech_service_pb2_grpc.add_SpeechServiceServicer_to_server(
        SpeechService(engine, Resolver(engine, voices, emotions, scratch), streams), server
    )
    server_service_pb2_grpc.add_ServerServiceServicer_to_server(ServerService(engine, info), server)
    health = HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    if settings.reflection:
        names = (*_SERVICES, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, server)
    address = _listen(server, settings.address)
    await server.start()
    for name in ("", *_SERVICES):
        await health.set(name, health_pb2.HealthCheckResponse.SERVING)
    return RunningServer(
        address=address,
        engine=engine,
        info=info,
        streams=streams,
        _server=server,
        _health=health,
        _drain_s=settings.drain_s,
    )


def _open_stores(settings: Settings, engine: Engine) -> tuple[Voices, Store]:
    def inspect(path: Path, sha256: str) -> Clip:
        return clips.inspect(engine, path, sha256, ReferenceOptions())

    built_in = BuiltInVoices(voices_folder(settings.model), inspect)
    voices = Voices(Store(settings.data_dir / "voices", "voice"), built_in)
    return voices, Store(settings.data_dir / "emotions", "emotion")


def _listen(server: grpc.aio.Server, address: str) -> str:
    try:
        port = server.add_insecure_port(address)
    except RuntimeError as error:
        raise AddressInUse(f"cannot listen on {address}: {error}") from error
    if address.startswith("unix:"):
        return address
    return f"{address.rpartition(':')[0]}:{port}"
