"""What the server has done since its start, as a message of the contract."""

from __future__ import annotations

from oncue.v1 import server_service_pb2 as pb
from oncue_engine.engine import Engine
from oncue_server.messages import seconds

__all__ = ["server_stats"]

_DRAWING = ("prefill", "decode")
"""The stages each of whose rows draws one token."""


def server_stats(engine: Engine, uptime_s: float) -> pb.ServerStats:
    """Read from any thread; the stages are read at one moment, the rest right after it."""
    stages = engine.stage_times()
    return pb.ServerStats(
        stages=[
            pb.StageStats(name=name, calls=stage.calls, items=stage.items, busy=seconds(stage.seconds))
            for name, stage in sorted(stages.items())
        ],
        live_utterances=engine.live_utterances,
        prompt_encodes=engine.prompt_encodes,
        uptime=seconds(uptime_s),
        counters={"tokens": sum(stages[name].items for name in _DRAWING if name in stages)},
    )
