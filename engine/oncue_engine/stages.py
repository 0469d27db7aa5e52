"""What an utterance can need next, and how urgently."""

from __future__ import annotations

import enum
from dataclasses import dataclass

__all__ = ["Need", "Stage"]


class Stage(enum.Enum):
    """What an utterance can need."""

    DELIVER = "deliver"
    PROMPT = "prompt"
    PREFILL = "prefill"
    DECODE = "decode"
    FLOW = "flow"
    WAVE = "wave"


@dataclass(frozen=True, slots=True)
class Need:
    """A stage that may run now. The least `rank` comes first."""

    rank: tuple[bool, bool, int, float]
    stage: Stage
