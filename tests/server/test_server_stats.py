"""What the server says it has done: sums that grow with the work, and only with it."""

from __future__ import annotations

import grpc.aio

from oncue.v1 import server_service_pb2
from oncue_server.app import RunningServer

from .asking import Stubs, stream_request, until


async def _stats(stubs: Stubs) -> server_service_pb2.ServerStats:
    return (await stubs.server.GetServerStats(server_service_pb2.GetServerStatsRequest())).stats


async def test_an_utterance_shows_in_every_stage_and_in_the_tokens(stubs: Stubs, server: RunningServer) -> None:
    before = await _stats(stubs)
    total_codes = 0
    async for event in stubs.speech.StreamSynthesize(stream_request()):
        total_codes = event.finished.total_codes or total_codes
    await until(lambda: server.engine.live_utterances == 0, 30)  # a stage is counted when its call is over
    after = await _stats(stubs)
    old, new = ({stage.name: stage for stage in stats.stages} for stats in (before, after))
    busy_s = 0.0
    for name in ("prefill", "decode", "flow", "wave"):
        assert new[name].calls > old[name].calls and new[name].items > old[name].items
        busy_s += (new[name].busy.ToNanoseconds() - old[name].busy.ToNanoseconds()) / 1e9
    # Two lanes work side by side.
    assert 0 < busy_s <= 2 * (after.uptime.ToNanoseconds() - before.uptime.ToNanoseconds()) / 1e9
    # The end token is drawn, too, and is none of the utterance's codes; other tests' utterances may end meanwhile.
    assert after.counters["tokens"] - before.counters["tokens"] >= total_codes > 0


async def test_live_utterances_are_counted_while_they_live(stubs: Stubs, server: RunningServer) -> None:
    await until(lambda: server.engine.live_utterances == 0, 30)
    call = stubs.speech.StreamSynthesize(stream_request("One. Two. Three. " * 8, unpaced=False))
    assert await call.read() is not grpc.aio.EOF
    assert (await _stats(stubs)).live_utterances == 1
    call.cancel()
    await until(lambda: server.engine.live_utterances == 0, 30)
    assert (await _stats(stubs)).live_utterances == 0
