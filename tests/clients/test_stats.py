"""What a server has done, as values."""

from __future__ import annotations

import oncue


async def test_stats_grow_with_an_utterance(client: oncue.Client) -> None:
    before = await client.stats()
    clip = await client.synthesize("Please close the window.", seed=1)
    after = await client.stats()
    assert after.counters["tokens"] - before.counters["tokens"] >= clip.stats.total_codes
    assert after.uptime_s > before.uptime_s > 0
    flow, earlier = after.stages["flow"], before.stages["flow"]
    assert flow.calls > earlier.calls
    assert 0 < flow.busy_s - earlier.busy_s < after.uptime_s - before.uptime_s
