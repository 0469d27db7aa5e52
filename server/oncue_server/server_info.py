"""oncue.v1.ServerService: the truth about the model, the limits, and what was done so far."""

from __future__ import annotations

import time
from typing import Any

import grpc.aio

from oncue.v1 import server_service_pb2 as pb
from oncue.v1 import server_service_pb2_grpc
from oncue_engine.answers import EngineInfo
from oncue_engine.engine import Engine
from oncue_server import limits, speech_limits
from oncue_server.messages import duration_control_value, seconds
from oncue_server.server_stats import server_stats

__all__ = ["ServerService", "server_info"]

_DECODING = {"streaming": pb.DECODING_STREAMING, "reference": pb.DECODING_REFERENCE}


def server_info(info: EngineInfo, default_voice: str, requests_per_second: float) -> pb.ServerInfo:
    """`default_voice`: an id, or empty when there is none."""
    return pb.ServerInfo(
        model=info.model,
        fingerprint=info.fingerprint,
        version=info.version,
        languages=info.languages,
        emotions=info.emotions,
        emotion_from_clips=info.emotion_from_clips,
        emotion_from_words=info.emotion_from_words,
        native_rate_hz=info.native_rate_hz,
        token_rate_hz=info.token_rate_hz,
        duration_control=duration_control_value(info.duration_control),
        default_voice=f"voices/{default_voice}" if default_voice else "",
        limits=pb.Limits(
            max_text_chars=info.max_text_chars,
            max_tokens_per_segment=info.max_tokens_per_segment,
            min_reference_duration=seconds(info.min_reference_s),
            max_reference_duration=seconds(info.max_reference_s),
            max_inline_audio_bytes=limits.MAX_INLINE_AUDIO_BYTES,
            max_upload_bytes=limits.MAX_UPLOAD_BYTES,
            max_upload_part_bytes=limits.MAX_UPLOAD_PART_BYTES,
            max_unary_response_bytes=speech_limits.MAX_UNARY_RESPONSE_BYTES,
            min_sample_rate_hz=info.limits["min_sample_rate_hz"],
            max_sample_rate_hz=info.limits["max_sample_rate_hz"],
            stream_encodings=speech_limits.STREAM_ENCODINGS,
            unary_encodings=speech_limits.UNARY_ENCODINGS,
            requests_per_second=requests_per_second,
        ),
        decoding=_DECODING[info.decoding],
    )


class ServerService(server_service_pb2_grpc.ServerServiceServicer):
    """oncue.v1.ServerService."""

    def __init__(self, engine: Engine, info: pb.ServerInfo) -> None:
        self._engine = engine
        self._info = info
        self._born_s = time.monotonic()

    async def GetServerInfo(
        self, request: pb.GetServerInfoRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.GetServerInfoResponse:
        """The truth about the loaded model and the limits."""
        return pb.GetServerInfoResponse(info=self._info)

    async def GetServerStats(
        self, request: pb.GetServerStatsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.GetServerStatsResponse:
        """What the server has done since its start."""
        return pb.GetServerStatsResponse(stats=server_stats(self._engine, time.monotonic() - self._born_s))
