"""Emotions: the registered ones, and the service that keeps them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc.aio

from oncue.v1 import emotion_service_pb2 as pb
from oncue.v1 import emotion_service_pb2_grpc
from oncue_engine.engine import Engine
from oncue_engine.errors import EngineError, InvalidRequest
from oncue_engine.requests import EmotionWeights, EmotionWords, Reference, ReferenceOptions
from oncue_server import limits, pages
from oncue_server.clips import Intake, Names, new_record, receive, write_clip
from oncue_server.messages import emotion_message, reference_options, weights_message
from oncue_server.store import Record, Store

__all__ = ["EmotionService", "find_emotion"]

_Context = grpc.aio.ServicerContext[Any, Any]


def find_emotion(store: Store, name: str, field: str) -> Reference | EmotionWeights | EmotionWords:
    """What the engine takes for `emotions/{emotion}`. Blocks.

    Raises InvalidRequest (EMOTION_NAME_INVALID), NotFound (EMOTION_NOT_FOUND), both with `field`.
    """
    record = store.get(limits.resource_id(name, "emotion", field), field)
    if record.clip is not None:
        return Reference(store.reference_path(record.id), record.clip.sha256, record.clip.options)
    if record.words is not None:
        return EmotionWords(record.words)
    assert record.weights is not None, "an emotion without a clip has weights or words"
    return EmotionWeights.as_told(record.weights)


class EmotionService(emotion_service_pb2_grpc.EmotionServiceServicer):
    """oncue.v1.EmotionService."""

    def __init__(self, engine: Engine, store: Store, intake: Intake) -> None:
        self._engine = engine
        self._store = store
        self._intake = intake

    async def CreateEmotion(self, request: pb.CreateEmotionRequest, context: _Context) -> pb.CreateEmotionResponse:
        """Registers an emotion from a clip inside the request, from weights, or from words."""
        names = _names(request.emotion_id, request.emotion, "emotion")
        source = request.source
        if request.HasField("options") and source.WhichOneof("source") in ("weights", "words"):
            raise InvalidRequest("only a clip has options", reason="REFERENCE_OPTIONS_WITHOUT_AUDIO", field="options")
        match source.WhichOneof("source"):
            case "audio":
                audio = limits.inline_audio(source.audio, "source.audio")

                async def fill(path: Path) -> str:
                    return await asyncio.to_thread(write_clip, path, audio)

                record, encodes = await self._keep(names, fill, reference_options(request.options), "source.audio")
                return pb.CreateEmotionResponse(emotion=emotion_message(record), prompt_encodes=encodes)
            case "weights":
                weights = limits.emotion_weights(source.weights, self._engine.info.emotions, "source.weights")
                record = new_record(names, weights=weights.weights)
            case "words":
                weights = await self._weigh(source.words)
                record = new_record(names, words=source.words)
            case _:
                raise InvalidRequest("set audio, weights or words", reason="EMOTION_SOURCE_REQUIRED", field="source")
        await asyncio.to_thread(self._keep_without_clip, record)
        return pb.CreateEmotionResponse(emotion=emotion_message(record), weights=weights_message(weights))

    async def UploadEmotion(
        self, request_iterator: AsyncIterator[pb.UploadEmotionRequest], context: _Context
    ) -> pb.UploadEmotionResponse:
        """Registers an emotion from a clip in parts."""
        opening = await anext(request_iterator, None)
        if opening is None or opening.WhichOneof("part") != "header":
            raise InvalidRequest(
                "the first message must be the header", reason="UPLOAD_HEADER_REQUIRED", field="header"
            )
        header = opening.header
        names = _names(header.emotion_id, header.emotion, "header.emotion", "header.")

        async def parts() -> AsyncIterator[bytes]:
            async for message in request_iterator:
                if message.WhichOneof("part") == "header":
                    raise InvalidRequest("a second header", reason="UPLOAD_HEADER_DUPLICATE", field="header")
                yield message.data

        record, encodes = await self._keep(
            names, lambda path: receive(parts(), path), reference_options(header.options), "data"
        )
        return pb.UploadEmotionResponse(emotion=emotion_message(record), prompt_encodes=encodes)

    async def GetEmotion(self, request: pb.GetEmotionRequest, context: _Context) -> pb.GetEmotionResponse:
        """Reads one emotion."""
        record = await asyncio.to_thread(self._store.get, limits.resource_id(request.name, "emotion", "name"))
        return pb.GetEmotionResponse(emotion=emotion_message(record))

    async def ListEmotions(self, request: pb.ListEmotionsRequest, context: _Context) -> pb.ListEmotionsResponse:
        """Reads a page of emotions."""
        size, after = pages.page_size(request.page_size), pages.start_of_page(request.page_token)
        records, more = await asyncio.to_thread(self._store.page, after, size)
        return pb.ListEmotionsResponse(
            emotions=[emotion_message(record) for record in records],
            next_page_token=pages.token_after(records[-1].id) if more else "",
        )

    async def UpdateEmotion(self, request: pb.UpdateEmotionRequest, context: _Context) -> pb.UpdateEmotionResponse:
        """Changes display name or labels."""
        emotion = request.emotion
        id_ = limits.resource_id(emotion.name, "emotion", "emotion.name")
        paths = limits.update_mask(request.update_mask)
        display_name = limits.display_name(emotion.display_name, "emotion.display_name")
        labels = limits.labels(emotion.labels, "emotion.labels")
        record = await asyncio.to_thread(
            self._store.update,
            id_,
            etag=emotion.etag,
            display_name=display_name if "display_name" in paths else None,
            labels=labels if "labels" in paths else None,
        )
        return pb.UpdateEmotionResponse(emotion=emotion_message(record))

    async def DeleteEmotion(self, request: pb.DeleteEmotionRequest, context: _Context) -> pb.DeleteEmotionResponse:
        """Removes an emotion."""
        id_ = limits.resource_id(request.name, "emotion", "name")
        await asyncio.to_thread(self._store.delete, id_, etag=request.etag)
        return pb.DeleteEmotionResponse()

    async def _weigh(self, words: str) -> EmotionWeights:
        """Words that no utterance could use are refused now."""
        try:
            return await asyncio.wrap_future(self._engine.weighing(EmotionWords(words)))
        except EngineError as error:
            error.field = "source.words"
            raise

    async def _keep(
        self, names: Names, fill: Callable[[Path], Awaitable[str]], options: ReferenceOptions, field: str
    ) -> tuple[Record, int]:
        return await self._intake.keep(self._store, names, fill, options, self._engine.prepare_emotion, field)

    def _keep_without_clip(self, record: Record) -> None:
        self._store.check_free(record.id)
        staged = self._store.stage()
        try:
            self._store.commit(staged, record)
        finally:
            self._store.discard(staged)


def _names(id_: str, emotion: pb.Emotion, field: str, prefix: str = "") -> Names:
    return Names(
        id=limits.new_id(id_, "emotion", prefix),
        display_name=limits.display_name(emotion.display_name, f"{field}.display_name"),
        labels=limits.labels(emotion.labels, f"{field}.labels"),
    )
