"""Voices: the built-in ones and the registered ones, and the service that keeps them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc.aio

from oncue.v1 import voice_service_pb2 as pb
from oncue.v1 import voice_service_pb2_grpc
from oncue_engine.engine import Engine
from oncue_engine.errors import InvalidRequest
from oncue_engine.requests import Reference, ReferenceOptions
from oncue_server import limits, pages
from oncue_server.builtin import BuiltInVoices
from oncue_server.clips import Intake, Names, receive, write_clip
from oncue_server.errors import AlreadyExists, ReadOnly
from oncue_server.messages import reference_options, voice_message
from oncue_server.store import Record, Store

__all__ = ["VoiceService", "Voices"]

_Context = grpc.aio.ServicerContext[Any, Any]


class Voices:
    """All voices of this server. Blocks; call off the event loop."""

    def __init__(self, store: Store, built_in: BuiltInVoices) -> None:
        self.store = store
        self.built_in = built_in

    def get(self, id_: str) -> pb.Voice:
        """Raises NotFound (VOICE_NOT_FOUND)."""
        record = self.built_in.get(id_)
        if record is not None:
            return voice_message(record, built_in=True)
        return voice_message(self.store.get(id_), built_in=False)

    def find(self, name: str, field: str) -> tuple[str, Reference]:
        """The full name and the clip of `voices/{voice}`, or of the default voice for an empty name.

        Raises InvalidRequest (VOICE_NAME_INVALID, VOICE_REQUIRED) and NotFound, both with `field`.
        """
        if not name:
            if not self.built_in.default:
                raise InvalidRequest("this server has no default voice", reason="VOICE_REQUIRED", field=field)
            name = f"voices/{self.built_in.default}"
        id_ = limits.resource_id(name, "voice", field)
        record = self.built_in.get(id_)
        path = self.built_in.path(id_) if record is not None else self.store.reference_path(id_)
        clip = (record or self.store.get(id_, field)).clip
        assert clip is not None, "a voice has a clip"
        return name, Reference(path, clip.sha256, clip.options)

    def page(self, token: str, size: int) -> pb.ListVoicesResponse:
        """Built-in voices first, in their order, then the others by id. Raises InvalidRequest (PAGE_TOKEN_INVALID)."""
        after = pages.start_of_page(token)
        built_in = self.built_in.all()
        ids = [record.id for record in built_in]
        # A token that names a built-in voice lies among them; any other lies behind them.
        first = ids.index(after) + 1 if after in ids else (len(ids) if after else 0)
        shown = built_in[first : first + size]
        after_stored = "" if after in ids else after
        stored, more = self.store.page(after_stored, size - len(shown))
        voices = [voice_message(record, built_in=True) for record in shown]
        voices += [voice_message(record, built_in=False) for record in stored]
        last = (shown + stored)[-1].id if shown or stored else after
        more = more or first + len(shown) < len(ids)
        return pb.ListVoicesResponse(voices=voices, next_page_token=pages.token_after(last) if more else "")

    def check_free(self, id_: str) -> None:
        """Raises AlreadyExists (VOICE_EXISTS)."""
        if self.built_in.get(id_) is not None:
            raise AlreadyExists(
                f"voice `{id_}` is built in",
                reason="VOICE_EXISTS",
                field="voice_id",
                metadata={"name": f"voices/{id_}"},
            )
        self.store.check_free(id_)

    def check_writable(self, id_: str, field: str) -> None:
        """Raises ReadOnly (VOICE_BUILT_IN)."""
        if self.built_in.get(id_) is not None:
            raise ReadOnly(f"voice `{id_}` is built in", field=field, metadata={"name": f"voices/{id_}"})


class VoiceService(voice_service_pb2_grpc.VoiceServiceServicer):
    """oncue.v1.VoiceService."""

    def __init__(self, engine: Engine, voices: Voices, intake: Intake) -> None:
        self._engine = engine
        self._voices = voices
        self._intake = intake

    async def CreateVoice(self, request: pb.CreateVoiceRequest, context: _Context) -> pb.CreateVoiceResponse:
        """Registers a voice from a clip inside the request."""
        names = _names(request.voice_id, request.voice, "voice")
        audio = limits.inline_audio(request.audio, "audio")

        async def fill(path: Path) -> str:
            return await asyncio.to_thread(write_clip, path, audio)

        record, encodes = await self._keep(names, fill, reference_options(request.options), "audio")
        return pb.CreateVoiceResponse(voice=voice_message(record, built_in=False), prompt_encodes=encodes)

    async def UploadVoice(
        self, request_iterator: AsyncIterator[pb.UploadVoiceRequest], context: _Context
    ) -> pb.UploadVoiceResponse:
        """Registers a voice from a clip in parts."""
        opening = await anext(request_iterator, None)
        if opening is None or opening.WhichOneof("part") != "header":
            raise InvalidRequest(
                "the first message must be the header", reason="UPLOAD_HEADER_REQUIRED", field="header"
            )
        header = opening.header
        names = _names(header.voice_id, header.voice, "header.voice", "header.")

        async def parts() -> AsyncIterator[bytes]:
            async for message in request_iterator:
                if message.WhichOneof("part") == "header":
                    raise InvalidRequest("a second header", reason="UPLOAD_HEADER_DUPLICATE", field="header")
                yield message.data

        record, encodes = await self._keep(
            names, lambda path: receive(parts(), path), reference_options(header.options), "data"
        )
        return pb.UploadVoiceResponse(voice=voice_message(record, built_in=False), prompt_encodes=encodes)

    async def GetVoice(self, request: pb.GetVoiceRequest, context: _Context) -> pb.GetVoiceResponse:
        """Reads one voice."""
        id_ = limits.resource_id(request.name, "voice", "name")
        return pb.GetVoiceResponse(voice=await asyncio.to_thread(self._voices.get, id_))

    async def ListVoices(self, request: pb.ListVoicesRequest, context: _Context) -> pb.ListVoicesResponse:
        """Reads a page of voices."""
        size = pages.page_size(request.page_size)
        return await asyncio.to_thread(self._voices.page, request.page_token, size)

    async def UpdateVoice(self, request: pb.UpdateVoiceRequest, context: _Context) -> pb.UpdateVoiceResponse:
        """Changes display name or labels."""
        voice = request.voice
        id_ = limits.resource_id(voice.name, "voice", "voice.name")
        paths = limits.update_mask(request.update_mask)
        self._voices.check_writable(id_, "voice.name")
        display_name = limits.display_name(voice.display_name, "voice.display_name")
        labels = limits.labels(voice.labels, "voice.labels")
        record = await asyncio.to_thread(
            self._voices.store.update,
            id_,
            etag=voice.etag,
            display_name=display_name if "display_name" in paths else None,
            labels=labels if "labels" in paths else None,
        )
        return pb.UpdateVoiceResponse(voice=voice_message(record, built_in=False))

    async def DeleteVoice(self, request: pb.DeleteVoiceRequest, context: _Context) -> pb.DeleteVoiceResponse:
        """Removes a voice."""
        id_ = limits.resource_id(request.name, "voice", "name")
        self._voices.check_writable(id_, "name")
        await asyncio.to_thread(self._voices.store.delete, id_, etag=request.etag)
        return pb.DeleteVoiceResponse()

    async def _keep(
        self, names: Names, fill: Callable[[Path], Awaitable[str]], options: ReferenceOptions, field: str
    ) -> tuple[Record, int]:
        self._voices.check_free(names.id)
        return await self._intake.keep(self._voices.store, names, fill, options, self._engine.prepare_voice, field)


def _names(id_: str, voice: pb.Voice, field: str, prefix: str = "") -> Names:
    return Names(
        id=limits.new_id(id_, "voice", prefix),
        display_name=limits.display_name(voice.display_name, f"{field}.display_name"),
        labels=limits.labels(voice.labels, f"{field}.labels"),
    )
