"""Who trains: this process among the several that `torchrun` started, and the device that it computes on."""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import torch
from torch import distributed

__all__ = ["Processes", "agree", "join"]

_PATIENCE = timedelta(hours=6)
"""The others wait while the first process prepares data and validates."""


@dataclass(frozen=True, slots=True)
class Processes:
    """`rank` of `count` processes; the first one writes logs and states."""

    rank: int = 0
    count: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def first(self) -> bool:
        return self.rank == 0

    def wait(self) -> None:
        """Until all have come here; one process alone goes on at once."""
        if self.count > 1:
            distributed.barrier()

    def leave(self) -> None:
        """At the end of a run, together: a process that ends while others still talk to it can take them down."""
        if self.count > 1 and distributed.is_initialized():
            distributed.barrier()
            distributed.destroy_process_group()

    @contextmanager
    def in_turn(self) -> Iterator[None]:
        """The first process goes through the body alone, then the others: what it left on disk is there for them."""
        if not self.first:
            self.wait()
        yield
        if self.first:
            self.wait()


def _forsake() -> None:
    """What is left to do for a run that failed before `Processes.leave`."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


def agree(values: torch.Tensor) -> None:
    """Where a process has changed weights by itself, without a gradient: all take those of the first one, in place."""
    if distributed.is_initialized():
        distributed.broadcast(values, 0)


def join(device: str = "auto") -> Processes:
    """This process's place, from the variables that `torchrun` sets; alone where there are none.

    `device`: `cpu`, `cuda`, or `auto`, which takes a GPU when there is one. Several processes take one GPU each and
    talk by nccl, or by gloo on CPUs. Raises ValueError for another name, or a GPU that is not there.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise ValueError(f"device must be auto, cpu or cuda, not {device!r}")
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("device is cuda, but torch sees no GPU here")
    count, local = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("LOCAL_RANK", "0"))
    chosen = torch.device("cpu")
    if device != "cpu" and torch.cuda.is_available():
        if local >= torch.cuda.device_count():
            raise ValueError(f"process {local} of this machine has no GPU: there are {torch.cuda.device_count()}")
        chosen = torch.device("cuda", local)
        torch.cuda.set_device(chosen)
    if count == 1:
        return Processes(device=chosen)
    if not distributed.is_initialized():
        # Stages differ in device: gloo carries what is on a CPU, nccl what is on a GPU.
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        distributed.init_process_group(backend, timeout=_PATIENCE)
        atexit.register(_forsake)
    return Processes(distributed.get_rank(), distributed.get_world_size(), chosen)
