"""What a server has done since its start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from oncue.v1 import server_service_pb2

__all__ = ["ServerStats", "StageStats", "server_stats"]


@dataclass(frozen=True, slots=True)
class StageStats:
    """What one stage of the engine has done since the model was loaded."""

    calls: int
    items: int
    """Rows of all its batches together."""
    busy_s: float
    """What its calls took on the engine's clock, together."""


@dataclass(frozen=True, slots=True)
class ServerStats:
    """Sums that only grow, and how many utterances are live: two of them and the time between tell how busy it is."""

    stages: Mapping[str, StageStats]
    live_utterances: int
    prompt_encodes: int
    uptime_s: float
    counters: Mapping[str, int]
    """Other sums by name; `tokens`: semantic tokens drawn."""


def server_stats(message: server_service_pb2.ServerStats) -> ServerStats:
    """The value of a message."""
    return ServerStats(
        stages={
            stage.name: StageStats(stage.calls, stage.items, stage.busy.ToNanoseconds() / 1e9)
            for stage in message.stages
        },
        live_utterances=message.live_utterances,
        prompt_encodes=message.prompt_encodes,
        uptime_s=message.uptime.ToNanoseconds() / 1e9,
        counters=dict(message.counters),
    )
