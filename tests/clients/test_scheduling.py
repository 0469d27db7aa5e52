"""Priorities, start deadlines and playheads through the SDK, on a real server with the tiny model."""

from __future__ import annotations

import asyncio
import math
from typing import Any, get_args

import grpc
import pytest
from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2

import oncue
from oncue.errors import from_rpc_error

TEXT = "Please close the window before you leave."
LONG_TEXT = " ".join([TEXT] * 16)
RATE_HZ = 16000


async def started(stream: oncue.SpeechStream) -> oncue.SpeechStart:
    async with stream:
        await anext(stream)
    assert stream.started is not None
    return stream.started


@pytest.mark.parametrize("priority", get_args(oncue.Priority))
async def test_wishes_reach_the_server(client: oncue.Client, priority: oncue.Priority) -> None:
    start = await started(client.stream(TEXT, priority=priority, start_deadline_s=59.25))
    assert (start.priority, start.start_deadline_s) == (priority, 59.25)
    assert (await client.synthesize(TEXT, priority=priority, start_deadline_s=59.25)).stats.fewest_flow_steps >= 1


async def test_without_wishes_the_call_is_normal_and_takes_its_time(client: oncue.Client) -> None:
    start = await started(client.stream(TEXT))
    assert (start.priority, start.start_deadline_s) == ("normal", None)
    timed = await started(client.stream(TEXT, timeout_s=50.0))
    assert timed.start_deadline_s is not None and 40.0 < timed.start_deadline_s < 55.0


@pytest.mark.parametrize("seconds", [0.0, -1.0, 3601.0, 1e9])
async def test_a_deadline_out_of_range_tells_the_limits(client: oncue.Client, seconds: float) -> None:
    with pytest.raises(oncue.InvalidRequest) as streamed:
        await anext(client.stream(TEXT, start_deadline_s=seconds))
    with pytest.raises(oncue.InvalidRequest) as unary:
        await client.synthesize(TEXT, start_deadline_s=seconds)
    for caught in (streamed.value, unary.value):
        assert (caught.reason, caught.field) == ("START_DEADLINE_OUT_OF_RANGE", "scheduling.start_deadline")
        assert caught.metadata == {"above_s": "0", "max_s": "3600"}


@pytest.mark.parametrize(
    "wishes",
    [
        {"priority": "urgent"},
        {"start_deadline_s": math.nan},
        {"start_deadline_s": math.inf},
        {"start_deadline_s": 1e30},
    ],
)
async def test_what_no_request_can_say_is_a_value_error(client: oncue.Client, wishes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"priority 'urgent' is not one of|start deadline of"):
        await client.synthesize(TEXT, **wishes)
    with pytest.raises(ValueError, match=r"priority 'urgent' is not one of|start deadline of"):
        await anext(client.stream(TEXT, **wishes))


def test_overloaded_tells_when_to_come_back() -> None:
    details = []
    for detail in (
        error_details_pb2.ErrorInfo(reason="OVERLOADED", domain="oncue.dev"),
        error_details_pb2.RetryInfo(retry_delay=Duration(seconds=1, nanos=250_000_000)),
    ):
        packed = Packed()
        packed.Pack(detail)
        details.append(packed)
    status = status_pb2.Status(code=grpc.StatusCode.UNAVAILABLE.value[0], message="no room", details=details)
    trailers = grpc.aio.Metadata(("grpc-status-details-bin", status.SerializeToString()))
    error = from_rpc_error(
        grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), trailers, details="no room")
    )
    assert isinstance(error, oncue.Unavailable)
    assert (error.reason, error.retry_after_s) == ("OVERLOADED", 1.25)


async def test_a_listener_who_stands_still_is_waited_for(client: oncue.Client) -> None:
    lead = RATE_HZ // 2
    stream = client.stream(LONG_TEXT, seed=1, pacing=oncue.Pacing(max_lead_samples=lead))
    end_sample, playhead, longest_gap_s = 0, 0, 0.0
    begun = asyncio.Event()

    async def listen() -> None:
        nonlocal end_sample
        async for chunk in stream:
            end_sample = chunk.first_sample + chunk.num_samples
            begun.set()

    async def stand(seconds: float) -> None:
        nonlocal longest_gap_s
        loop = asyncio.get_running_loop()
        until_s = last_s = loop.time()
        until_s += seconds
        while last_s < until_s:
            await asyncio.sleep(0.03)
            await stream.report_playhead(playhead)
            longest_gap_s, last_s = max(longest_gap_s, loop.time() - last_s), loop.time()

    async with stream:
        listening = asyncio.create_task(listen())
        await begun.wait()
        await stand(2.0)
        assert end_sample <= lead + (longest_gap_s + 0.1) * RATE_HZ < 1.5 * RATE_HZ
        playhead = stood = end_sample
        await stand(2.0)
        assert end_sample >= stood + lead / 2
        stream.cancel()
        await listening


async def test_reports_before_and_after_a_stream_do_nothing(client: oncue.Client) -> None:
    stream = client.stream(TEXT, seed=1, pacing=oncue.Pacing(realtime=False))
    await stream.report_playhead(0)
    async for _ in stream:
        await stream.report_playhead(0)  # By now the server may have sent all.
    await stream.report_playhead(0)
    assert stream.stats is not None
    left = client.stream(LONG_TEXT, seed=1)
    async with left:
        await anext(left)
        with pytest.raises(oncue.InvalidRequest) as caught:
            await left.report_playhead(-1)
        assert (caught.value.reason, caught.value.field) == ("PLAYED_SAMPLES_OUT_OF_RANGE", "played_samples")
    await left.report_playhead(0)
