"""Shared by all tests: a tiny model with random weights, and a server that has loaded it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

CLIPS = Path(__file__).parent / "clips"


@pytest.fixture(scope="session")
def clip() -> Path:
    """A WAV of 5.3 s of speech: 16 kHz, mono, by a speaker that no training item uses."""
    return CLIPS / "held-05.wav"


@pytest.fixture(scope="session")
def tiny_model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder in the embedded model's layout, a few hundred kilobytes of random weights."""
    from oncue_engine.checkpoints.random_nano import make_random_nano

    return make_random_nano(tmp_path_factory.mktemp("models") / "tiny")


@contextmanager
def running_server(model: Path, data_dir: Path) -> Iterator[str]:
    """The address of `oncue serve` in a process of its own. Its stderr stays with the test's."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "oncue.cli", "serve", "--address", "127.0.0.1:0"),
            *("--model", str(model), "--data", str(data_dir), "--threads", "1"),
        ],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, f"the server ended with {process.wait()} before it was ready"
        yield json.loads(line)["address"]
    finally:
        process.terminate()
        process.communicate(timeout=30)


@pytest.fixture(scope="session")
def server_address(tiny_model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A running server with the tiny model. Tests share it: each makes voices under ids of its own."""
    with running_server(tiny_model_dir, tmp_path_factory.mktemp("data")) as address:
        yield address
