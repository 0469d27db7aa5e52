"""The client without `async`: the same calls, run on an event loop in a thread of its own.

gRPC's asyncio side expects one event loop in a process: use this or `connect`, not both at once.
"""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from types import TracebackType
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar

import grpc

from oncue.audio import AudioChunk, SpeechStats
from oncue.client import Client, connect
from oncue.emotions import Emotions
from oncue.speech import SpeechStart, SpeechStream
from oncue.voices import Voices

__all__ = ["SyncClient", "SyncEmotions", "SyncSpeechStream", "SyncVoices", "connect_sync"]

_SETTLE_S = 2.0

A = TypeVar("A")
R = TypeVar("R")
P = ParamSpec("P")


class _LoopThread:
    """An event loop in a thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="oncue-client", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, R]) -> R:
        """The result of `work`. An exception while waiting, such as KeyboardInterrupt, cancels it."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def call(self, function: Callable[[], object]) -> None:
        """Runs a plain function on the loop, not waiting for it."""
        self._loop.call_soon_threadsafe(function)

    def stop(self) -> None:
        """Ends the thread, once what still runs on the loop has ended."""
        self.run(_settle())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class _Blocking(Generic[A]):
    """Stands for an async object that lives on a loop thread."""

    def __init__(self, loop: _LoopThread, target: A) -> None:
        self._loop = loop
        self._target = target


def _blocking(method: Callable[Concatenate[A, P], Coroutine[Any, Any, R]]) -> Callable[Concatenate[_Blocking[A], P], R]:
    """The blocking twin of an async method, with its arguments and documentation."""

    @functools.wraps(method)
    def call(self: _Blocking[A], /, *args: P.args, **kwargs: P.kwargs) -> R:
        return self._loop.run(method(self._target, *args, **kwargs))

    return call


def _iterating(
    method: Callable[Concatenate[A, P], AsyncIterator[R]],
) -> Callable[Concatenate[_Blocking[A], P], Iterator[R]]:
    """The blocking twin of a method that iterates, with its arguments and documentation."""

    @functools.wraps(method)
    def call(self: _Blocking[A], /, *args: P.args, **kwargs: P.kwargs) -> Iterator[R]:
        items = method(self._target, *args, **kwargs)
        while (item := self._loop.run(_next(items))) is not None:
            yield item

    return call


def _streaming(
    method: Callable[Concatenate[A, P], SpeechStream],
) -> Callable[Concatenate[_Blocking[A], P], SyncSpeechStream]:
    @functools.wraps(method)
    def call(self: _Blocking[A], /, *args: P.args, **kwargs: P.kwargs) -> SyncSpeechStream:
        return SyncSpeechStream(self._loop, method(self._target, *args, **kwargs))

    return call


async def _settle() -> None:
    """Waits for the tasks of calls that were left in the middle: gRPC's own end shortly after the channel's close."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    if tasks:
        _, pending = await asyncio.wait(tasks, timeout=_SETTLE_S)
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)


async def _next(items: AsyncIterator[R]) -> R | None:
    return await anext(items, None)


class SyncSpeechStream(_Blocking[SpeechStream], Iterator[AudioChunk]):
    """The chunks of one utterance; see SpeechStream."""

    def __next__(self) -> AudioChunk:
        chunk = self._loop.run(_next(self._target))
        if chunk is None:
            raise StopIteration
        return chunk

    @property
    def started(self) -> SpeechStart | None:
        """Set from the first chunk on."""
        return self._target.started

    @property
    def stats(self) -> SpeechStats | None:
        """Set once the iteration has ended."""
        return self._target.stats

    report_playhead = _blocking(SpeechStream.report_playhead)

    def cancel(self) -> None:
        """Ends the utterance."""
        self._loop.call(self._target.cancel)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.cancel()


class SyncVoices(_Blocking[Voices]):
    """The server's voices; see Voices."""

    create = _blocking(Voices.create)
    upload = _blocking(Voices.upload)
    get = _blocking(Voices.get)
    list = _iterating(Voices.list)
    update = _blocking(Voices.update)
    delete = _blocking(Voices.delete)


class SyncEmotions(_Blocking[Emotions]):
    """The server's emotions; see Emotions."""

    create = _blocking(Emotions.create)
    upload = _blocking(Emotions.upload)
    get = _blocking(Emotions.get)
    list = _iterating(Emotions.list)
    update = _blocking(Emotions.update)
    delete = _blocking(Emotions.delete)


class SyncClient(_Blocking[Client]):
    """A connection; see Client. Use it as a context manager."""

    def __init__(self, loop: _LoopThread, target: Client) -> None:
        super().__init__(loop, target)
        self.voices = SyncVoices(loop, target.voices)
        self.emotions = SyncEmotions(loop, target.emotions)

    info = _blocking(Client.info)
    stats = _blocking(Client.stats)
    plan = _blocking(Client.plan)
    synthesize = _blocking(Client.synthesize)
    stream = _streaming(Client.stream)

    def close(self) -> None:
        """Ends running calls, the connection and its thread."""
        self._loop.run(self._target.close())
        self._loop.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def connect_sync(address: str, *, credentials: grpc.ChannelCredentials | None = None) -> SyncClient:
    """As `connect`, for code without an event loop: `with oncue.connect_sync(address) as client`."""

    async def on_loop() -> Client:
        return connect(address, credentials=credentials)

    loop = _LoopThread()
    return SyncClient(loop, loop.run(on_loop()))
