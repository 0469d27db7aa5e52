"""Who calls, and how often they may: one throttle per client, with a bounded number waiting."""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass

from asyncio_throttle import Throttler  # type: ignore[attr-defined]

from oncue_engine.errors import Overloaded

__all__ = ["Throttles", "client_of"]

_MAX_CLIENTS = 4096
"""Clients remembered at once; the one that called least recently is forgotten first."""


def client_of(peer: str) -> str:
    """The client behind a gRPC peer string: its host without the port, so that many connections share one throttle.

    `ipv4:10.0.0.7:5123` -> `ipv4:10.0.0.7`; `ipv6:%5B::1%5D:5123` -> `ipv6:%5B::1%5D`; `unix:` stays.
    """
    if not peer.startswith(("ipv4:", "ipv6:")):
        return peer
    return peer.rpartition(":")[0]


@dataclass(slots=True)
class _Client:
    throttler: Throttler
    waiting: int = 0


class Throttles:
    """Paces the calls of each client. For one event loop only."""

    def __init__(self, requests_per_second: float, max_waiting: int) -> None:
        """`requests_per_second` 0 switches pacing off. `max_waiting` calls of one client may wait at a time."""
        self._rate = requests_per_second
        self._max_waiting = max_waiting
        self._clients: OrderedDict[str, _Client] = OrderedDict()

    async def admit(self, client: str, remaining_s: float | None) -> None:
        """Returns when `client` may make a call.

        Raises Overloaded at once when too many of its calls wait, or when the turn would come after the call's own
        deadline (`remaining_s`, None without one).
        """
        if self._rate <= 0:
            return
        state = self._state(client)
        wait_s = (state.waiting + 1) / self._rate
        late = remaining_s is not None and state.waiting > 0 and wait_s > remaining_s
        if state.waiting >= self._max_waiting or late:
            raise Overloaded("too many calls from this client", retry_after_s=wait_s)
        state.waiting += 1
        try:
            await state.throttler.acquire()  # type: ignore[no-untyped-call]
        finally:
            state.waiting -= 1

    def _state(self, client: str) -> _Client:
        state = self._clients.get(client)
        if state is None:
            # Whole calls per period: a rate below one a second becomes one call in a longer period.
            calls = max(1, math.floor(self._rate))
            state = self._clients[client] = _Client(Throttler(rate_limit=calls, period=calls / self._rate))
            self._forget_idle()
        self._clients.move_to_end(client)
        return state

    def _forget_idle(self) -> None:
        while len(self._clients) > _MAX_CLIENTS:
            idle = next((name for name, state in self._clients.items() if state.waiting == 0), None)
            if idle is None:
                return
            del self._clients[idle]
