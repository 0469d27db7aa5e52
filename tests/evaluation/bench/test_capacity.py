"""The search for the largest number of streams."""

from __future__ import annotations

import pytest

from oncue_eval.bench.capacity import largest


@pytest.mark.parametrize("truth", [0, 1, 2, 3, 5, 8, 15, 16, 31, 32, 40])
async def test_it_finds_the_largest_number_in_few_trials(truth: int) -> None:
    tried: list[int] = []

    async def holds(streams: int) -> bool:
        tried.append(streams)
        return streams <= truth

    assert await largest(holds, 32) == min(truth, 32)
    assert len(tried) == len(set(tried)) <= 10 and max(tried) <= 32


async def test_it_stops_at_the_most_that_is_allowed() -> None:
    async def always(_: int) -> bool:
        return True

    assert await largest(always, 6) == 6
