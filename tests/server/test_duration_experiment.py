"""`oncue serve --duration-experiment` over a real socket: what is in use is said, and lengths are exact."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import oncue

from ..conftest import running_server

TEXT = "Please close the window before you leave."


def _plan(address: str) -> str:
    command = [sys.executable, "-m", "oncue.cli", "plan", TEXT, "--server", address]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


async def test_it_is_said_and_exact(speed_rows_model_dir: Path, tmp_path: Path) -> None:
    told, audio = [], []
    for options in ((), ("--duration-experiment",)):
        with running_server(speed_rows_model_dir, tmp_path, *options) as address:
            async with oncue.connect(address) as client:
                told.append(((await client.info()).duration_control, (await client.plan(TEXT)).duration_control))
                clips = [await client.synthesize(TEXT, seed=1, duration_samples=n) for n in (None, 30_001)]
                assert clips[1].stats.total_samples == 30_001 and len(clips[1].samples) == 30_001
                audio.append([clip.samples.tobytes() for clip in clips])
            shown = await asyncio.to_thread(_plan, address)
            assert f"duration_control: {told[-1][0]}\n" in shown
    assert told == [("constructed", "constructed"), ("experiment", "experiment")]
    assert audio[0][0] == audio[1][0]
    assert audio[0][1] != audio[1][1]


def test_a_model_with_a_trained_row_refuses_to_start(tiny_model_dir: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "oncue.cli", "serve", "--model", str(tiny_model_dir), "--data", str(tmp_path)]
    ended = subprocess.run([*command, "--duration-experiment"], capture_output=True, text=True, timeout=120)
    assert ended.returncode == 1
    assert "duration_row_experiment" in ended.stderr and "Traceback" not in ended.stderr
