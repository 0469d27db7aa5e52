"""Small model folders with random weights, of any kind that there is a writer for: they speak noise, for tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from ..checkpoints.config_file import DEFAULT_KIND
from ..checkpoints.cosyvoice2_config import COSYVOICE2_KIND
from ..checkpoints.random_cosyvoice2 import make_random_cosyvoice2
from ..checkpoints.random_nano import make_random_nano
from ..errors import CheckpointError

__all__ = ["make_random_folder"]

_WRITERS: Mapping[str, Callable[[Path, int], Path]] = {
    DEFAULT_KIND: make_random_nano,
    COSYVOICE2_KIND: make_random_cosyvoice2,
}


def make_random_folder(kind: str, folder: Path, seed: int) -> Path:
    """Write it, and return it. The same seed gives the same folder. CheckpointError MODEL_KIND_UNKNOWN."""
    if kind not in _WRITERS:
        raise CheckpointError(
            f"there is no kind {kind!r}; known are {', '.join(_WRITERS)}", reason="MODEL_KIND_UNKNOWN"
        )
    return _WRITERS[kind](folder, seed)
