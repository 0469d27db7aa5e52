"""A real server on a free port, with a tiny model of random weights."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import grpc.aio
import pytest

from oncue_engine.options import EngineOptions
from oncue_server.app import RunningServer, serving
from oncue_server.settings import Settings

from .asking import Stubs, stubs_of


@pytest.fixture(scope="session")
def server_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of the shared server."""
    return tmp_path_factory.mktemp("server-data")


@pytest.fixture(scope="session")
async def server(tiny_model_dir: Path, server_data: Path) -> AsyncIterator[RunningServer]:
    """One server for all tests: each makes voices and emotions under ids of its own."""
    settings = Settings(
        model=str(tiny_model_dir),
        address="127.0.0.1:0",
        data_dir=server_data,
        requests_per_second=0,
        drain_s=5,
        engine=EngineOptions(threads=1),
    )
    async with serving(settings) as running:
        yield running


@pytest.fixture
async def stubs(server: RunningServer) -> AsyncIterator[Stubs]:
    async with grpc.aio.insecure_channel(server.address) as channel:
        yield stubs_of(channel)
