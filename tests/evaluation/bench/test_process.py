"""What /proc says of a process that we make busy, and large."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from oncue_eval.bench.process import ServerProcess

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc")

_LARGE = "import sys; x = bytearray(80_000_000); x[:] = b'1' * len(x); print(flush=True); sys.stdin.read()"


def test_work_costs_processor_time() -> None:
    process = ServerProcess(os.getpid())
    before = process.read()
    end_s = time.process_time() + 0.2
    while time.process_time() < end_s:
        pass
    after = process.read()
    assert before is not None and after is not None
    assert 0.15 <= after.cpu_s - before.cpu_s < 5.0


def test_memory_of_another_process_until_it_has_gone() -> None:
    with subprocess.Popen([sys.executable, "-c", _LARGE], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        process = ServerProcess(other.pid)
        use = process.read()
        assert use is not None and 75.0 < use.resident_mb < 300.0
        assert use.peak_mb >= 150.0, "for a moment there were two such buffers"
        process.reset_peak()
        reset = process.read()
        assert reset is not None and use.resident_mb <= reset.peak_mb <= use.peak_mb
        other.communicate()
    assert process.read() is None


def test_without_a_process_there_is_nothing_to_read() -> None:
    process = ServerProcess(None)
    process.reset_peak()
    assert process.read() is None
