"""A listener's player, replayed: it starts with the first chunk, plays at the sample rate, and waits when dry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Arrival", "Playback", "percentile", "replay"]


@dataclass(frozen=True, slots=True)
class Arrival:
    """A chunk at the client."""

    at_s: float
    num_samples: int


@dataclass(frozen=True, slots=True)
class Playback:
    """How it would have sounded."""

    gaps: int
    """How often the player ran dry."""
    gap_s: float
    """How long it was silent in between, together."""
    audio_s: float


def replay(arrivals: Sequence[Arrival], rate_hz: int) -> Playback:
    """Play `arrivals`, in order, at `rate_hz`. A player without a buffer of its own: every lateness is a gap."""
    gaps, gap_s, audio_s = 0, 0.0, 0.0
    for number, arrival in enumerate(arrivals):
        if number == 0:
            dry_at_s = arrival.at_s
        if arrival.at_s > dry_at_s:
            gaps += 1
            gap_s += arrival.at_s - dry_at_s
            dry_at_s = arrival.at_s
        dry_at_s += arrival.num_samples / rate_hz
        audio_s += arrival.num_samples / rate_hz
    return Playback(gaps, gap_s, audio_s)


def percentile(values: Sequence[float], percent: float) -> float:
    """The value below which `percent` (0 to 100) of `values` lie, between neighbours in proportion.

    Raises ValueError for no values.
    """
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    place = (len(ordered) - 1) * percent / 100.0
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)
