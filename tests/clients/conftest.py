"""A client of the shared server, and ids that no other test uses."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from secrets import token_hex

import pytest
import pytest_asyncio

import oncue


@pytest_asyncio.fixture(loop_scope="session")
async def client(server_address: str) -> AsyncIterator[oncue.Client]:
    async with oncue.connect(server_address) as client:
        yield client


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def voice(server_address: str, clip: Path) -> oncue.Voice:
    """A registered voice for tests that need any."""
    async with oncue.connect(server_address) as client:
        return await client.voices.create(f"any-{token_hex(4)}", clip)


@pytest.fixture
def new_id() -> str:
    """An id for a voice or an emotion."""
    return f"test-{token_hex(6)}"
