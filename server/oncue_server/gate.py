"""What every call of oncue.v1 passes: pacing, strict parsing, and errors turned into statuses."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, Never

import grpc
import grpc.aio
from google.protobuf.message import Message
from grpc_status import rpc_status  # type: ignore[import-untyped]

from oncue_server import status, wire
from oncue_server.identity import Throttles, client_of

__all__ = ["Gate"]

_PREFIX = "/oncue.v1."
_UNTHROTTLED = frozenset({"/oncue.v1.SpeechService/ReportPlayhead"})
"""Each listener reports a few times a second, and a host has many; a report costs less than keeping it waiting."""

# grpc describes handlers of the synchronous server only, so their types cannot be told here.
_Handler = Any
_Context = grpc.aio.ServicerContext[Any, Any]


class Gate(grpc.aio.ServerInterceptor):
    """Wraps the handlers of oncue.v1; health and reflection pass untouched."""

    def __init__(self, throttles: Throttles) -> None:
        self._throttles = throttles

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[_Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> _Handler:
        """The handler of the call, wrapped by kind; None when there is none."""
        handler = await continuation(handler_call_details)
        if handler is None or not handler_call_details.method.startswith(_PREFIX):
            return handler
        kind = _request_kind(handler)
        # Without a deserializer the wrapped handlers get the raw bytes, which `wire` needs.
        if handler.request_streaming and handler.response_streaming:
            return grpc.stream_stream_rpc_method_handler(
                functools.partial(self._stream_stream, handler.stream_stream, kind),
                response_serializer=handler.response_serializer,
            )
        if handler.request_streaming:
            return grpc.stream_unary_rpc_method_handler(
                functools.partial(self._stream_unary, handler.stream_unary, kind),
                response_serializer=handler.response_serializer,
            )
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(
                functools.partial(self._unary_stream, handler.unary_stream, kind),
                response_serializer=handler.response_serializer,
            )
        throttled = handler_call_details.method not in _UNTHROTTLED
        return grpc.unary_unary_rpc_method_handler(
            functools.partial(self._unary_unary, handler.unary_unary, kind, throttled),
            response_serializer=handler.response_serializer,
        )

    async def _unary_unary(
        self, inner: Any, kind: type[Message], throttled: bool, raw: bytes, context: _Context
    ) -> Any:
        try:
            if throttled:
                await self._admit(context)
            return await inner(wire.parse(kind, raw), context)
        except Exception as error:
            await _refuse(context, error)

    async def _stream_unary(self, inner: Any, kind: type[Message], raw: AsyncIterator[bytes], context: _Context) -> Any:
        try:
            await self._admit(context)
            return await inner(_parsed(kind, raw), context)
        except Exception as error:
            await _refuse(context, error)

    async def _unary_stream(self, inner: Any, kind: type[Message], raw: bytes, context: _Context) -> AsyncIterator[Any]:
        try:
            await self._admit(context)
            async with aclosing(inner(wire.parse(kind, raw), context)) as answers:
                async for answer in answers:
                    yield answer
        except Exception as error:
            await _refuse(context, error)

    async def _stream_stream(
        self, inner: Any, kind: type[Message], raw: AsyncIterator[bytes], context: _Context
    ) -> AsyncIterator[Any]:
        try:
            await self._admit(context)
            async with aclosing(inner(_parsed(kind, raw), context)) as answers:
                async for answer in answers:
                    yield answer
        except Exception as error:
            await _refuse(context, error)

    async def _admit(self, context: _Context) -> None:
        await self._throttles.admit(client_of(context.peer()), context.time_remaining())


def _request_kind(handler: _Handler) -> type[Message]:
    """The class behind the generated `request_deserializer=Kind.FromString`."""
    return type(handler.request_deserializer(b""))


async def _parsed(kind: type[Message], raw: AsyncIterator[bytes]) -> AsyncIterator[Message]:
    async for item in raw:
        yield wire.parse(kind, item)


async def _refuse(context: _Context, error: Exception) -> Never:
    # A handler that aborted by itself, or whose caller has gone, has nothing more to say.
    if isinstance(error, grpc.aio.BaseError):
        raise error
    await context.abort_with_status(rpc_status.to_status(status.to_status(error)))
