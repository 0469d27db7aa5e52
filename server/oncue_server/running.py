"""The streams that run, under the ids that their callers report a playhead with."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc.aio

from oncue_server.errors import NotFound
from oncue_server.live import LiveUtterance

__all__ = ["RunningStreams"]

_ID_BYTES = 12
"""Random bytes of an id: nobody finds another caller's stream by trying."""


class RunningStreams:
    """For one event loop only."""

    def __init__(self) -> None:
        self._utterances: dict[str, LiveUtterance] = {}

    def __len__(self) -> int:
        return len(self._utterances)

    @contextmanager
    def entered(self, utterance: LiveUtterance, context: grpc.aio.ServicerContext[Any, Any]) -> Iterator[str]:
        """The stream's id, which is known as long as the block lasts, or until its caller has gone."""
        utterance_id = secrets.token_urlsafe(_ID_BYTES)
        self._utterances[utterance_id] = utterance

        def leave(_: object = None) -> None:
            self._utterances.pop(utterance_id, None)

        # The block may be parked at a `yield` when its caller goes.
        context.add_done_callback(leave)  # type: ignore[arg-type]  # the stubs want a class
        try:
            yield utterance_id
        finally:
            leave()

    def find(self, utterance_id: str) -> LiveUtterance:
        """Raises NotFound (UTTERANCE_NOT_FOUND)."""
        utterance = self._utterances.get(utterance_id)
        if utterance is None:
            raise NotFound("no stream runs under this id", reason="UTTERANCE_NOT_FOUND", field="utterance_id")
        return utterance
