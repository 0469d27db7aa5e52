"""The server as a subprocess: it ends with the block, and with the process that started it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

import oncue

ORPHAN = """
import asyncio, os, sys
import oncue

async def main():
    address = await oncue.LocalServer(sys.argv[1:]).__aenter__()
    print(address, flush=True)
    os._exit(9)

asyncio.run(main())
"""


async def test_the_server_ends_with_the_block(tiny_model_dir: Path, tmp_path: Path) -> None:
    options = ("--model", str(tiny_model_dir), "--data", str(tmp_path))
    async with oncue.LocalServer(options) as address, oncue.connect(address) as client:
        assert (await client.info()).native_rate_hz == 16000
    assert await _silent(address)


async def test_the_server_ends_with_its_parent(tiny_model_dir: Path, tmp_path: Path) -> None:
    """Also when the parent has no chance to say so."""
    command = [sys.executable, "-c", ORPHAN, "--model", str(tiny_model_dir), "--data", str(tmp_path)]
    done = await asyncio.to_thread(subprocess.run, command, stdout=subprocess.PIPE, text=True, timeout=200)
    assert done.returncode == 9
    for _ in range(100):
        if await _silent(done.stdout.strip()):
            return
        await asyncio.sleep(0.1)
    pytest.fail("the server outlived its parent by ten seconds")


async def test_a_server_that_cannot_start(tmp_path: Path) -> None:
    with pytest.raises(oncue.ServerStartError):
        async with oncue.LocalServer(("--model", str(tmp_path / "none"), "--data", str(tmp_path))):
            pass


async def _silent(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        _, writer = await asyncio.open_connection(host, int(port))
    except OSError:
        return True
    writer.close()
    await writer.wait_closed()
    return False
