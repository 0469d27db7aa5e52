"""One live utterance: the engine's events, from its thread onto the event loop, and the listener's state back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import grpc.aio

from oncue_engine.answers import AudioChunk, Event, Failed, Finished, Started
from oncue_engine.engine import Engine, UtteranceHandle
from oncue_engine.requests import UtteranceRequest

__all__ = ["LiveUtterance", "speaking"]

_PATIENCE_S = 0.25
"""A message that takes longer to hand over means that the listener does not take any more."""


class LiveUtterance:
    """Iterate over it for the events; it ends after Finished, and raises the error of a Failed."""

    def __init__(self, handle: UtteranceHandle, events: asyncio.Queue[Event], start_sample: int) -> None:
        self._handle = handle
        self._events = events
        self._taken = start_sample

    async def __aiter__(self) -> AsyncIterator[Started | AudioChunk | Finished]:
        while True:
            event = await self._events.get()
            if isinstance(event, Failed):
                raise event.error
            yield event
            if isinstance(event, Finished):
                return

    @contextmanager
    def handing_over(self, end_sample: int) -> Iterator[None]:
        """Around the sending of audio up to `end_sample`.

        While the transport does not take it, the engine is told that playback stands still; it would otherwise go on
        generating at the rate of the clock for a listener who has stalled.
        """
        self._wait_on()
        try:
            yield
        finally:
            self._stalled.cancel()
        self._taken = end_sample

    def report_playhead(self, played_samples: int) -> None:
        """The listener has played up to this sample of the utterance."""
        self._handle.report_playhead(played_samples)

    def _wait_on(self) -> None:
        self._stalled = asyncio.get_running_loop().call_later(_PATIENCE_S, self._stand_still)

    def _stand_still(self) -> None:
        self._handle.report_playhead(self._taken)
        self._wait_on()


@asynccontextmanager
async def speaking(
    engine: Engine, request: UtteranceRequest, context: grpc.aio.ServicerContext[Any, Any]
) -> AsyncIterator[LiveUtterance]:
    """The utterance, which ends with the block, or earlier with the caller. Raises what Engine.speak raises.

    The events wait in a queue without a bound of its own: the engine stops when it is too far ahead, and an utterance
    that is not paced is as long as its text allows.
    """
    loop = asyncio.get_running_loop()
    events: asyncio.Queue[Event] = asyncio.Queue()

    def on_event(event: Event) -> None:
        # After the loop has closed nobody listens, and the engine is about to be closed too.
        if not loop.is_closed():
            loop.call_soon_threadsafe(events.put_nowait, event)

    handle = await _speak(engine, request, on_event)
    try:
        # A caller who goes while a stream is parked at a `yield` is noticed here first.
        context.add_done_callback(lambda _: handle.cancel())  # type: ignore[arg-type]  # the stubs want a class
        yield LiveUtterance(handle, events, request.start_sample)
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
