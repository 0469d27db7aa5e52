"""What a process costs, as Linux counts it in /proc: processor time and memory."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ProcessUse", "ServerProcess"]

_MB = 1024.0
"""/proc counts in kB."""


@dataclass(frozen=True, slots=True)
class ProcessUse:
    """At one moment."""

    cpu_s: float
    """User and system time of all threads since its start."""
    resident_mb: float
    peak_mb: float
    """The most that was resident since `reset_peak`, or since its start where that is not allowed."""


class ServerProcess:
    """A process on this machine; without a pid, or without /proc, there is nothing to read."""

    def __init__(self, pid: int | None) -> None:
        self._folder = None if pid is None else Path("/proc") / str(pid)

    def read(self) -> ProcessUse | None:
        """None where it cannot be read, also once the process is gone."""
        if self._folder is None:
            return None
        try:
            # The name in parentheses may hold anything; what is counted follows it.
            fields = (self._folder / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            status = dict(
                line.split(":", 1) for line in (self._folder / "status").read_text(encoding="utf-8").splitlines()
            )
            ticks = int(fields[11]) + int(fields[12])
            return ProcessUse(
                cpu_s=ticks / os.sysconf("SC_CLK_TCK"),
                resident_mb=int(status["VmRSS"].split()[0]) / _MB,
                peak_mb=int(status["VmHWM"].split()[0]) / _MB,
            )
        except (OSError, KeyError, IndexError):
            return None

    def reset_peak(self) -> None:
        """From now on `peak_mb` counts anew, where the kernel lets us."""
        if self._folder is not None:
            with suppress(OSError):
                (self._folder / "clear_refs").write_text("5", encoding="utf-8")
