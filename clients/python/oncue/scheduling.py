"""When an utterance gets its turn on a server that has many."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from google.protobuf.duration_pb2 import Duration

from oncue.v1 import speech_service_pb2

__all__ = ["PRIORITIES", "Priority", "Scheduling", "priority_of", "scheduling_message"]

Priority = Literal["background", "normal", "high"]
"""Who comes first where the server cannot serve all in time: `high` before `normal` before `background`."""
PRIORITIES: tuple[Priority, ...] = get_args(Priority)

_PRIORITIES: Mapping[Priority, speech_service_pb2.Priority.ValueType] = {
    "background": speech_service_pb2.PRIORITY_BACKGROUND,
    "normal": speech_service_pb2.PRIORITY_NORMAL,
    "high": speech_service_pb2.PRIORITY_HIGH,
}
_NAMES = {value: name for name, value in _PRIORITIES.items()}


@dataclass(frozen=True, slots=True)
class Scheduling:
    """When an utterance gets its turn."""

    priority: Priority = "normal"
    start_deadline_s: float | None = None
    """Longest time to the first audio, above 0 to 3600; None: as long as it takes."""


def scheduling_message(scheduling: Scheduling) -> speech_service_pb2.Scheduling:
    """Raises ValueError for a priority that does not exist and for a deadline that is no number of seconds."""
    if scheduling.priority not in PRIORITIES:
        raise ValueError(f"priority {scheduling.priority!r} is not one of {', '.join(PRIORITIES)}")
    message = speech_service_pb2.Scheduling(priority=_PRIORITIES[scheduling.priority])
    if scheduling.start_deadline_s is not None:
        message.start_deadline.CopyFrom(_duration(scheduling.start_deadline_s))
    return message


def priority_of(message: speech_service_pb2.Scheduling) -> Priority:
    """`normal` where an older server says nothing."""
    return _NAMES.get(message.priority, "normal")


def _duration(seconds: float) -> Duration:
    duration = Duration()
    try:
        duration.FromNanoseconds(round(seconds * 1e9))
    except (OverflowError, ValueError):
        raise ValueError(f"a start deadline of {seconds} s cannot be sent") from None
    return duration
