"""The process that the public language model runs in: `python -m oncue_engine.words.qwen_process FOLDER FD`.

It says {"ready": true}, or {"broken": why} of a folder that does not load. Then, for each {"text": words}, it says
{"answer": text} or {"failed": why}. It gives way to everybody else on the machine, and ends when the socket does.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any

__all__ = ["main"]

_NICE = 10
"""A core that audio wants too gives this process about a tenth of its time."""

_FIRST_TO_GO = "500"
"""Where memory ends, Linux rather takes this process than the one that speaks."""


def main(folder: str, socket: int) -> None:
    """Runs until the other end of the socket is closed."""
    os.nice(_NICE)
    with suppress(OSError):  # where there is no such file, or it is not ours to write
        Path("/proc/self/oom_score_adj").write_text(_FIRST_TO_GO, encoding="ascii")
    # A Ctrl-C in the terminal reaches us too; the engine, which drains first, ends us afterwards.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    connection = Connection(socket)
    texts: SimpleQueue[str] = SimpleQueue()
    Thread(target=_listen, args=(connection, texts), daemon=True).start()

    # PyTorch and transformers take seconds to come: the socket may be closed meanwhile.
    import torch

    from ..errors import CheckpointError
    from .qwen import Qwen

    torch.set_num_threads(1)
    try:
        model = Qwen.load(Path(folder))
    except CheckpointError as error:
        _say(connection, {"broken": str(error)})
        return
    _say(connection, {"ready": True})
    while True:
        text = texts.get()
        try:
            said = {"answer": model.answer(text)}
        except Exception as error:
            said = {"failed": f"{type(error).__name__}: {error}"[:500]}
        _say(connection, said)


def _listen(connection: Connection, texts: SimpleQueue[str]) -> None:
    """Only a thread that always listens notices while the model works that nobody waits any more."""
    try:
        while True:
            texts.put(json.loads(connection.recv_bytes())["text"])
    except (EOFError, OSError):
        os._exit(0)


def _say(connection: Connection, message: dict[str, Any]) -> None:
    try:
        connection.send_bytes(json.dumps(message).encode())
    except OSError:
        os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
