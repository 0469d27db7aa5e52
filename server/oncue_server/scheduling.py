"""When an utterance gets its turn: the contract's message, checked, and back."""

from __future__ import annotations

from dataclasses import dataclass

from oncue.v1 import speech_service_pb2 as pb
from oncue_engine.errors import InvalidRequest
from oncue_engine.requests import Priority
from oncue_server.messages import seconds
from oncue_server.speech_limits import known_enum

__all__ = ["MAX_START_DEADLINE_S", "SHORTEST_DEADLINE_S", "Scheduling", "scheduling"]

MAX_START_DEADLINE_S = 3600.0
SHORTEST_DEADLINE_S = 1e-6
"""What is left of a deadline where nothing is: less than any first audio takes, and still a deadline."""
_FIELD = "scheduling"

_PRIORITIES = {
    pb.PRIORITY_BACKGROUND: Priority.BACKGROUND,
    pb.PRIORITY_NORMAL: Priority.NORMAL,
    pb.PRIORITY_HIGH: Priority.HIGH,
}
_MESSAGES = {priority: value for value, priority in _PRIORITIES.items()}


@dataclass(frozen=True, slots=True)
class Scheduling:
    """When an utterance gets its turn, with all defaults filled in."""

    priority: Priority = Priority.NORMAL
    start_deadline_s: float | None = None
    """From now to the first audio."""

    @property
    def message(self) -> pb.Scheduling:
        """As the contract reports it."""
        deadline = None if self.start_deadline_s is None else seconds(self.start_deadline_s)
        return pb.Scheduling(priority=_MESSAGES[self.priority], start_deadline=deadline)


def scheduling(message: pb.Scheduling, remaining_s: float | None) -> Scheduling:
    """What a call asks for. `remaining_s`: time that is left to the call itself; None: it has no deadline.

    The shorter of the two deadlines counts: audio that came after the call's end would be made for nobody. Raises
    InvalidRequest (PRIORITY_UNKNOWN, START_DEADLINE_OUT_OF_RANGE).
    """
    known_enum(message.priority, pb.Priority.values(), f"{_FIELD}.priority", "PRIORITY_UNKNOWN")
    deadlines_s = [] if remaining_s is None else [max(remaining_s, SHORTEST_DEADLINE_S)]
    if message.HasField("start_deadline"):
        asked_s = message.start_deadline.ToNanoseconds() / 1e9
        if not 0.0 < asked_s <= MAX_START_DEADLINE_S:
            raise InvalidRequest(
                f"a start deadline of {asked_s:g} s is outside 0 (not included) to {MAX_START_DEADLINE_S:g} s",
                reason="START_DEADLINE_OUT_OF_RANGE",
                field=f"{_FIELD}.start_deadline",
                metadata={"above_s": "0", "max_s": f"{MAX_START_DEADLINE_S:g}"},
            )
        deadlines_s.append(asked_s)
    return Scheduling(_PRIORITIES.get(message.priority, Priority.NORMAL), min(deadlines_s, default=None))
