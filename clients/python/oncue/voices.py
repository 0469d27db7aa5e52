"""Voices: register a clip once, then name it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import grpc.aio
from google.protobuf import field_mask_pb2

from oncue.errors import typed_errors
from oncue.references import (
    INLINE_LIMIT_BYTES,
    ClipSource,
    ReferenceClip,
    clip_bytes,
    options_message,
    parts,
    reference_clip,
)
from oncue.v1 import voice_service_pb2, voice_service_pb2_grpc

__all__ = ["Voice", "Voices", "voice_name"]


@dataclass(frozen=True, slots=True)
class Voice:
    """A registered voice."""

    name: str
    """`voices/{id}`."""
    display_name: str
    labels: Mapping[str, str]
    built_in: bool
    """Ships with the model; cannot be changed or removed."""
    create_time: datetime | None
    etag: str
    reference: ReferenceClip

    @property
    def id(self) -> str:
        """The name without `voices/`."""
        return self.name.removeprefix("voices/")


class Voices:
    """The server's voices. Methods raise SpeechError; those that read a file raise OSError as well."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = voice_service_pb2_grpc.VoiceServiceStub(channel)

    async def create(
        self,
        voice_id: str,
        clip: ClipSource,
        *,
        display_name: str = "",
        labels: Mapping[str, str] | None = None,
        trim_silence: bool = False,
        keep_level: bool = False,
    ) -> Voice:
        """Registers and prepares a voice from one clip of at least a second of one speaker.

        `voice_id` matches [a-z][a-z0-9-]{2,62}. The clip goes in one request, or in parts when it is large.
        `trim_silence` cuts silence off its ends; `keep_level` takes a clip that is far too quiet or too loud as it is.
        """
        data = await clip_bytes(clip)
        if len(data) > INLINE_LIMIT_BYTES:
            return await self.upload(
                voice_id,
                data,
                display_name=display_name,
                labels=labels,
                trim_silence=trim_silence,
                keep_level=keep_level,
            )
        request = voice_service_pb2.CreateVoiceRequest(
            voice_id=voice_id,
            voice=voice_service_pb2.Voice(display_name=display_name, labels=labels),
            audio=data,
            options=options_message(trim_silence, keep_level),
        )
        with typed_errors():
            return _voice((await self._stub.CreateVoice(request)).voice)

    async def upload(
        self,
        voice_id: str,
        clip: ClipSource,
        *,
        display_name: str = "",
        labels: Mapping[str, str] | None = None,
        trim_silence: bool = False,
        keep_level: bool = False,
    ) -> Voice:
        """As `create`, always in parts."""
        header = voice_service_pb2.UploadVoiceHeader(
            voice_id=voice_id,
            voice=voice_service_pb2.Voice(display_name=display_name, labels=labels),
            options=options_message(trim_silence, keep_level),
        )
        requests = _upload_requests(header, await clip_bytes(clip))
        with typed_errors():
            return _voice((await self._stub.UploadVoice(requests)).voice)

    async def get(self, name: str) -> Voice:
        """One voice by name or id."""
        with typed_errors():
            request = voice_service_pb2.GetVoiceRequest(name=voice_name(name))
            return _voice((await self._stub.GetVoice(request)).voice)

    async def list(self, *, page_size: int = 0) -> AsyncIterator[Voice]:
        """All voices, the built-in ones first; fetches pages as it goes. `page_size` 0 leaves it to the server."""
        page_token = ""
        while True:
            request = voice_service_pb2.ListVoicesRequest(page_size=page_size, page_token=page_token)
            with typed_errors():
                page = await self._stub.ListVoices(request)
            for message in page.voices:
                yield _voice(message)
            page_token = page.next_page_token
            if not page_token:
                return

    async def update(
        self,
        voice: Voice | str,
        *,
        display_name: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Voice:
        """Changes what is given. With a Voice, only if it has not changed since it was read (Conflict)."""
        message = voice_service_pb2.Voice(
            name=voice_name(voice),
            display_name=display_name or "",
            labels=labels,
            etag=voice.etag if isinstance(voice, Voice) else "",
        )
        given = {"display_name": display_name, "labels": labels}
        mask = field_mask_pb2.FieldMask(paths=[path for path, value in given.items() if value is not None])
        with typed_errors():
            request = voice_service_pb2.UpdateVoiceRequest(voice=message, update_mask=mask)
            return _voice((await self._stub.UpdateVoice(request)).voice)

    async def delete(self, voice: Voice | str) -> None:
        """Removes a voice. With a Voice, only if it has not changed since it was read (Conflict)."""
        etag = voice.etag if isinstance(voice, Voice) else None
        with typed_errors():
            await self._stub.DeleteVoice(voice_service_pb2.DeleteVoiceRequest(name=voice_name(voice), etag=etag))


def voice_name(voice: Voice | str) -> str:
    """`voices/{id}` for a voice, its name or its id."""
    if isinstance(voice, Voice):
        return voice.name
    return voice if voice.startswith("voices/") else f"voices/{voice}"


def _upload_requests(
    header: voice_service_pb2.UploadVoiceHeader, data: bytes
) -> Iterator[voice_service_pb2.UploadVoiceRequest]:
    yield voice_service_pb2.UploadVoiceRequest(header=header)
    for part in parts(data):
        yield voice_service_pb2.UploadVoiceRequest(data=part)


def _voice(message: voice_service_pb2.Voice) -> Voice:
    return Voice(
        name=message.name,
        display_name=message.display_name,
        labels=dict(message.labels),
        built_in=message.built_in,
        create_time=message.create_time.ToDatetime(tzinfo=UTC) if message.HasField("create_time") else None,
        etag=message.etag,
        reference=reference_clip(message.reference),
    )
