"""Several processes under torchrun: equal weights everywhere, and those of one process that accumulates as much."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from oncue_engine.training.processes import join

from .fit_line import fit

_SCRIPT = Path(__file__).with_name("fit_line.py")


def _torchrun(folder: Path, steps: int, accumulate: int) -> list[dict[str, Tensor]]:
    """The weights of each of two processes."""
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [*command, str(_SCRIPT), str(folder), str(steps), str(accumulate)],
        capture_output=True, text=True, timeout=200, env=environment, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [torch.load(folder / f"weights-{rank}.pt", weights_only=True) for rank in (0, 1)]


@pytest.mark.slow
def test_two_processes_learn_what_one_does_with_twice_the_batches(tmp_path: Path) -> None:
    alone = fit(tmp_path / "alone", 20, accumulate=4).state_dict()
    first, second = _torchrun(tmp_path / "two", 20, accumulate=2)
    for key, value in alone.items():
        assert torch.equal(first[key], second[key])
        torch.testing.assert_close(first[key], value, rtol=1e-5, atol=1e-6)
    # the first one goes first, and what a process changes by itself is then the first one's everywhere
    assert (tmp_path / "two" / "order.txt").read_text() == "0 [5.0, 5.0]\n1 [5.0, 5.0]\n"
    with (tmp_path / "two" / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    # one log, of the first process
    assert [row["step"] for row in rows if row["name"] == "loss"] == ["5", "10", "15", "20"]
    assert [row["step"] for row in rows if row["name"] == "valid_checked"] == ["10", "20"]


@pytest.mark.slow
def test_two_processes_go_on_where_they_were_cut_off(tmp_path: Path) -> None:
    alone = fit(tmp_path / "alone", 20, accumulate=2).state_dict()
    _torchrun(tmp_path / "two", 11, accumulate=1)
    first, _ = _torchrun(tmp_path / "two", 20, accumulate=1)
    for key, value in alone.items():
        torch.testing.assert_close(first[key], value, rtol=1e-5, atol=1e-6)


def test_accumulated_batches_are_the_next_steps_batches(tmp_path: Path) -> None:
    """Not the same batch again: two runs that differ only in accumulation end apart."""
    once = fit(tmp_path / "once", 20, accumulate=1)["line"].weight
    twice = fit(tmp_path / "twice", 20, accumulate=2)["line"].weight
    assert not torch.allclose(once, twice)


def test_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="'tpu'"):
        join("tpu")
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="no GPU"):
            join("cuda")
        assert join().device.type == "cpu"
