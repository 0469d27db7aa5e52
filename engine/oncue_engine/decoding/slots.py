"""How many segments' tokens are drawn at once: what their keys and values may take in all."""

from __future__ import annotations

__all__ = ["CACHE_BYTES", "MAX_SLOTS", "slots_within"]

MAX_SLOTS = 16
CACHE_BYTES = 2 * 2**30
"""Of all slots together; a large model gets fewer of them."""


def slots_within(slot_bytes: int) -> int:
    """As many as there is room for, at least one."""
    return max(1, min(MAX_SLOTS, CACHE_BYTES // slot_bytes))
