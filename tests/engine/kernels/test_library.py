"""The compiled kernels are there where the tests run, and can be left aside."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys

import pytest
import torch

from oncue_engine.kernels.library import OFF_VARIABLE, address, load

_CODE = "from oncue_engine.kernels.library import load; print(load() is None)"


@pytest.mark.skipif(
    platform.machine() != "x86_64"
    or shutil.which("cc") is None
    or torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"),
    reason="no build for this machine",
)
def test_a_build_for_this_machine_is_loaded() -> None:
    assert load() is not None


def test_they_can_be_switched_off() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _CODE],
        env={**os.environ, OFF_VARIABLE: "off"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "True"


def test_only_memory_that_a_kernel_can_read_is_handed_over() -> None:
    square = torch.zeros(4, 4)
    with pytest.raises(ValueError, match="contiguous"):
        address(square.t()[:, :2], torch.float32)
    with pytest.raises(ValueError, match="bfloat16"):
        address(square, torch.bfloat16)
