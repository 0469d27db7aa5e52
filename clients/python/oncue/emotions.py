"""Emotions: the manner of speaking, apart from who speaks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import grpc
import grpc.aio
from google.protobuf import field_mask_pb2

from oncue.errors import InvalidRequest, typed_errors
from oncue.references import (
    INLINE_LIMIT_BYTES,
    ClipSource,
    ReferenceClip,
    clip_bytes,
    options_message,
    parts,
    reference_clip,
)
from oncue.v1 import emotion_pb2, emotion_service_pb2, emotion_service_pb2_grpc

__all__ = [
    "EMOTION_NAMES",
    "Emotion",
    "EmotionMixing",
    "EmotionSource",
    "Emotions",
    "Words",
    "emotion_name",
    "source_message",
    "weights_of",
]

EMOTION_NAMES: tuple[str, ...] = tuple(field.name for field in emotion_pb2.EmotionWeights.DESCRIPTOR.fields)
"""Names that a mapping of weights may use; a model may have fewer (ServerInfo.emotions)."""


@dataclass(frozen=True, slots=True)
class Words:
    """An emotion in plain words, such as Words("tired, a little annoyed")."""

    text: str


@dataclass(frozen=True, slots=True)
class EmotionMixing:
    """What is done with weights, given or found for words, before they are heard. Refused for an emotion by a clip."""

    bias: bool = False
    """Even out how strongly the emotions are heard: each weight times a factor of its emotion."""
    cap: bool = False
    """Scale a sum above 0.8 down to it, after the bias: a fifth of the voice's own emotion stays."""
    random_style: bool = False
    """Reference speakers by chance, keyed by the utterance's seed, instead of those who sound most like the voice."""


EmotionSource = Path | bytes | Mapping[str, float] | Words
"""Where an emotion comes from: a clip (path or bytes), weights by name, each 0 to 1.2, or words."""


@dataclass(frozen=True, slots=True)
class Emotion:
    """A registered emotion. Exactly one of `reference`, `weights` and `words` is set."""

    name: str
    """`emotions/{id}`."""
    display_name: str
    labels: Mapping[str, str]
    create_time: datetime
    etag: str
    reference: ReferenceClip | None
    weights: Mapping[str, float] | None
    words: str | None

    @property
    def id(self) -> str:
        """The name without `emotions/`."""
        return self.name.removeprefix("emotions/")


class Emotions:
    """The server's emotions. Methods raise SpeechError; those that read a file raise OSError as well."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = emotion_service_pb2_grpc.EmotionServiceStub(channel)

    async def create(
        self,
        emotion_id: str,
        source: EmotionSource,
        *,
        display_name: str = "",
        labels: Mapping[str, str] | None = None,
        trim_silence: bool = False,
        keep_level: bool = False,
    ) -> Emotion:
        """Registers an emotion. `emotion_id` matches [a-z][a-z0-9-]{2,62}. A large clip goes in parts.

        `trim_silence` and `keep_level` are for clips, as in Voices.create; InvalidRequest with another source.
        """
        if isinstance(source, Path | bytes):
            source = await clip_bytes(source)
            if len(source) > INLINE_LIMIT_BYTES:
                return await self.upload(
                    emotion_id,
                    source,
                    display_name=display_name,
                    labels=labels,
                    trim_silence=trim_silence,
                    keep_level=keep_level,
                )
        request = emotion_service_pb2.CreateEmotionRequest(
            emotion_id=emotion_id,
            emotion=emotion_service_pb2.Emotion(display_name=display_name, labels=labels),
            source=await source_message(source),
            options=options_message(trim_silence, keep_level),
        )
        with typed_errors():
            return _emotion((await self._stub.CreateEmotion(request)).emotion)

    async def upload(
        self,
        emotion_id: str,
        clip: ClipSource,
        *,
        display_name: str = "",
        labels: Mapping[str, str] | None = None,
        trim_silence: bool = False,
        keep_level: bool = False,
    ) -> Emotion:
        """As `create` with a clip, always in parts."""
        header = emotion_service_pb2.UploadEmotionHeader(
            emotion_id=emotion_id,
            emotion=emotion_service_pb2.Emotion(display_name=display_name, labels=labels),
            options=options_message(trim_silence, keep_level),
        )
        requests = _upload_requests(header, await clip_bytes(clip))
        with typed_errors():
            return _emotion((await self._stub.UploadEmotion(requests)).emotion)

    async def get(self, name: str) -> Emotion:
        """One emotion by name or id."""
        with typed_errors():
            request = emotion_service_pb2.GetEmotionRequest(name=emotion_name(name))
            return _emotion((await self._stub.GetEmotion(request)).emotion)

    async def list(self, *, page_size: int = 0) -> AsyncIterator[Emotion]:
        """All emotions by name; fetches pages as it goes. `page_size` 0 leaves it to the server."""
        page_token = ""
        while True:
            request = emotion_service_pb2.ListEmotionsRequest(page_size=page_size, page_token=page_token)
            with typed_errors():
                page = await self._stub.ListEmotions(request)
            for message in page.emotions:
                yield _emotion(message)
            page_token = page.next_page_token
            if not page_token:
                return

    async def update(
        self,
        emotion: Emotion | str,
        *,
        display_name: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Emotion:
        """Changes what is given. With an Emotion, only if it has not changed since it was read (Conflict)."""
        message = emotion_service_pb2.Emotion(
            name=emotion_name(emotion),
            display_name=display_name or "",
            labels=labels,
            etag=emotion.etag if isinstance(emotion, Emotion) else "",
        )
        given = {"display_name": display_name, "labels": labels}
        mask = field_mask_pb2.FieldMask(paths=[path for path, value in given.items() if value is not None])
        with typed_errors():
            request = emotion_service_pb2.UpdateEmotionRequest(emotion=message, update_mask=mask)
            return _emotion((await self._stub.UpdateEmotion(request)).emotion)

    async def delete(self, emotion: Emotion | str) -> None:
        """Removes an emotion. With an Emotion, only if it has not changed since it was read (Conflict)."""
        etag = emotion.etag if isinstance(emotion, Emotion) else None
        request = emotion_service_pb2.DeleteEmotionRequest(name=emotion_name(emotion), etag=etag)
        with typed_errors():
            await self._stub.DeleteEmotion(request)


def emotion_name(emotion: Emotion | str) -> str:
    """`emotions/{id}` for an emotion, its name or its id."""
    if isinstance(emotion, Emotion):
        return emotion.name
    return emotion if emotion.startswith("emotions/") else f"emotions/{emotion}"


async def source_message(source: EmotionSource) -> emotion_pb2.EmotionSource:
    """The message of a source. Raises OSError, and InvalidRequest for a name that no model has."""
    if isinstance(source, Words):
        return emotion_pb2.EmotionSource(words=source.text)
    if isinstance(source, Path | bytes):
        return emotion_pb2.EmotionSource(audio=await clip_bytes(source))
    weights = emotion_pb2.EmotionWeights()
    for name, weight in source.items():
        # Checked here because the contract has a field per emotion: another name could not even be sent.
        if name not in EMOTION_NAMES:
            raise InvalidRequest(
                f"no emotion is called {name!r}",
                code=grpc.StatusCode.INVALID_ARGUMENT,
                reason="EMOTION_UNKNOWN",
                field="emotion",
                metadata={"known": ",".join(EMOTION_NAMES)},
            )
        setattr(weights, name, weight)
    return emotion_pb2.EmotionSource(weights=weights)


def weights_of(message: emotion_pb2.EmotionWeights) -> dict[str, float]:
    """Weights by name, those that are 0 too."""
    return {name: getattr(message, name) for name in EMOTION_NAMES}


def _upload_requests(
    header: emotion_service_pb2.UploadEmotionHeader, data: bytes
) -> Iterator[emotion_service_pb2.UploadEmotionRequest]:
    yield emotion_service_pb2.UploadEmotionRequest(header=header)
    for part in parts(data):
        yield emotion_service_pb2.UploadEmotionRequest(data=part)


def _emotion(message: emotion_service_pb2.Emotion) -> Emotion:
    source = message.WhichOneof("source")
    return Emotion(
        name=message.name,
        display_name=message.display_name,
        labels=dict(message.labels),
        create_time=message.create_time.ToDatetime(tzinfo=UTC),
        etag=message.etag,
        reference=reference_clip(message.reference) if source == "reference" else None,
        weights=weights_of(message.weights) if source == "weights" else None,
        words=message.words if source == "words" else None,
    )
