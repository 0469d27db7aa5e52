"""Who a caller is, and how often one may call."""

from __future__ import annotations

import asyncio
import time

import pytest

from oncue_engine.errors import Overloaded
from oncue_server.identity import Throttles, client_of


@pytest.mark.parametrize(
    ("peer", "client"),
    [
        ("ipv4:10.0.0.7:5123", "ipv4:10.0.0.7"),
        ("ipv6:%5B::1%5D:5123", "ipv6:%5B::1%5D"),
        ("unix:", "unix:"),
        ("unix:/tmp/a:b", "unix:/tmp/a:b"),
    ],
)
def test_connections_of_one_host_are_one_client(peer: str, client: str) -> None:
    assert client_of(peer) == client


async def test_a_burst_within_the_rate_does_not_wait() -> None:
    throttles = Throttles(requests_per_second=20, max_waiting=1)
    began = time.monotonic()
    for _ in range(20):
        await throttles.admit("a", None)
    assert time.monotonic() - began < 0.5


async def test_calls_over_the_rate_wait_and_calls_over_the_waiting_room_are_refused() -> None:
    throttles = Throttles(requests_per_second=5, max_waiting=3)
    began = time.monotonic()
    outcomes = await asyncio.gather(*(throttles.admit("a", None) for _ in range(12)), return_exceptions=True)
    # The first takes its turn before the others come; of those that come at once, three wait at a time at most.
    refused = [outcome for outcome in outcomes if isinstance(outcome, Overloaded)]
    admitted = [outcome for outcome in outcomes if outcome is None]
    assert len(refused) + len(admitted) == 12
    assert refused and admitted
    assert all(error.retry_after_s > 0 and error.reason == "OVERLOADED" for error in refused)
    assert time.monotonic() - began < 3.0


async def test_no_more_calls_pass_in_a_second_than_the_rate() -> None:
    throttles = Throttles(requests_per_second=4, max_waiting=10)
    passed: list[float] = []

    async def call() -> None:
        await throttles.admit("a", None)
        passed.append(time.monotonic())

    await asyncio.gather(*(call() for _ in range(9)))
    for first, fifth in zip(passed, passed[4:], strict=False):
        assert fifth - first >= 0.99


async def test_one_client_does_not_slow_another() -> None:
    throttles = Throttles(requests_per_second=0.05, max_waiting=4)
    await throttles.admit("a", None)
    waiting = asyncio.create_task(throttles.admit("a", None))
    await asyncio.sleep(0.05)
    began = time.monotonic()
    await throttles.admit("b", None)
    assert time.monotonic() - began < 0.2
    assert not waiting.done()
    waiting.cancel()


async def test_a_call_that_cannot_be_in_time_is_refused_at_once() -> None:
    throttles = Throttles(requests_per_second=0.05, max_waiting=8)
    await throttles.admit("a", None)
    waiting = asyncio.create_task(throttles.admit("a", None))
    await asyncio.sleep(0.05)
    began = time.monotonic()
    with pytest.raises(Overloaded):
        await throttles.admit("a", 0.5)
    assert time.monotonic() - began < 0.2
    waiting.cancel()


async def test_a_caller_who_gives_up_leaves_the_waiting_room() -> None:
    throttles = Throttles(requests_per_second=0.05, max_waiting=1)
    await throttles.admit("a", None)
    waiting = asyncio.create_task(throttles.admit("a", None))
    await asyncio.sleep(0.05)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    second = asyncio.create_task(throttles.admit("a", None))
    await asyncio.sleep(0.05)
    assert not second.done()
    second.cancel()


async def test_rate_zero_is_no_limit() -> None:
    throttles = Throttles(requests_per_second=0, max_waiting=0)
    await asyncio.gather(*(throttles.admit("a", None) for _ in range(1000)))
