"""`oncue serve --duration-experiment` over a real socket: what is in use is said, and lengths are exact."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import oncue
from oncue_engine.options import EngineOptions
from oncue_server.app import serving
from oncue_server.settings import Settings

from ..conftest import running_server

TEXT = "Please close the window before you leave."


async def _told_and_spoken(address: str) -> tuple[tuple[str, str], bytes, bytes]:
    """(control by info and by plan), free speech, and 30 001 samples of it."""
    async with oncue.connect(address) as client:
        told = (await client.info()).duration_control, (await client.plan(TEXT)).duration_control
        free = await client.synthesize(TEXT, seed=1)
        exact = await client.synthesize(TEXT, seed=1, duration_samples=30_001)
    assert exact.stats.total_samples == 30_001 and len(exact.samples) == 30_001
    return told, free.payload, exact.payload


def _planned(address: str) -> str:
    command = [sys.executable, "-m", "oncue.cli", "plan", TEXT, "--server", address]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


async def test_it_is_said_and_exact(speed_rows_model_dir: Path, tmp_path: Path) -> None:
    settings = Settings(
        model=str(speed_rows_model_dir),
        address="127.0.0.1:0",
        data_dir=tmp_path / "plain",
        engine=EngineOptions(threads=1),
    )
    async with serving(settings) as plain:
        told, free, exact = await _told_and_spoken(plain.address)
    assert told == ("constructed", "constructed")
    with running_server(speed_rows_model_dir, tmp_path / "trial", "--duration-experiment") as address:
        told_of_trial, free_of_trial, exact_of_trial = await _told_and_spoken(address)
        assert "duration_control: experiment\n" in await asyncio.to_thread(_planned, address)
    assert told_of_trial == ("experiment", "experiment")
    assert free_of_trial == free
    assert exact_of_trial != exact
