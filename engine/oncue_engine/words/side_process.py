"""A process of our own beside this one: it computes at low priority, and never outlives us."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from multiprocessing.connection import Pipe
from typing import Any

__all__ = ["SideProcess"]

_STOP_WAIT_S = 5.0


class SideProcess:
    """Runs `python -m MODULE ARGUMENT FD`, and exchanges messages with it: objects of JSON, over the socket FD.

    The process must end when the socket does (`serve_beside`). So it ends with us, however we end. Its standard output
    leads nowhere, its errors go to ours. Nothing here is safe to call from several threads but `kill`.
    """

    def __init__(self, module: str, argument: str) -> None:
        """Start it. OSError where the machine cannot."""
        self._connection, theirs = Pipe()
        try:
            self._process = subprocess.Popen(
                # -P: a folder that happens to be the current one is not searched for modules.
                [sys.executable, "-P", "-m", module, argument, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                env={
                    **os.environ,
                    "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
                    "OMP_NUM_THREADS": "1",
                    "TOKENIZERS_PARALLELISM": "false",
                    "HF_HUB_OFFLINE": "1",
                },
            )
        except BaseException:
            self._connection.close()
            raise
        finally:
            theirs.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, message: dict[str, Any]) -> None:
        """OSError where the process has ended."""
        self._connection.send_bytes(json.dumps(message).encode())

    def receive(self, timeout_s: float) -> dict[str, Any]:
        """The next message. TimeoutError; EOFError or OSError where the process ended before it sent one."""
        if not self._connection.poll(timeout_s):
            raise TimeoutError(f"no answer within {timeout_s:g} s")
        message: dict[str, Any] = json.loads(self._connection.recv_bytes())
        return message

    def kill(self) -> None:
        """End it at once; whoever waits in `receive` gets EOFError."""
        self._process.kill()

    def close(self) -> int:
        """End it if it has not, and let go of it. Returns its exit status, below 0 for a signal."""
        self._connection.close()
        try:
            return self._process.wait(_STOP_WAIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()
