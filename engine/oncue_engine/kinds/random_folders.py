"""Model folders with random weights, of every kind and size that there is a writer for: they speak noise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from ..checkpoints.config_file import DEFAULT_KIND
from ..checkpoints.cosyvoice2_config import COSYVOICE2_KIND
from ..checkpoints.random_cosyvoice2 import make_random_cosyvoice2
from ..checkpoints.random_folder import make_random_public, make_random_public_25
from ..checkpoints.random_nano import make_random_nano
from ..errors import CheckpointError

__all__ = ["make_random_folder"]

Writer = Callable[[Path, int], Path]
"""(folder, seed) -> the folder."""


def make_random_folder(kind: str, size: str, folder: Path, seed: int) -> Path:
    """Write it, and return it. The same seed gives the same weights.

    CheckpointError MODEL_KIND_UNKNOWN, MODEL_SIZE_UNKNOWN.
    """
    sizes = _WRITERS.get(kind)
    if sizes is None:
        raise CheckpointError(f"there is no kind {kind!r}, only {', '.join(_WRITERS)}", reason="MODEL_KIND_UNKNOWN")
    if size not in sizes:
        raise CheckpointError(f"{kind} has no size {size!r}, only {', '.join(sizes)}", reason="MODEL_SIZE_UNKNOWN")
    return sizes[size](folder, seed)


_WRITERS: Mapping[str, Mapping[str, Writer]] = {
    DEFAULT_KIND: {
        "nano": make_random_nano,
        "small": lambda folder, seed: make_random_public(folder, "small", seed),
        "full": lambda folder, seed: make_random_public(folder, "full", seed),
    },
    "indextts2.5": {
        "small": lambda folder, seed: make_random_public_25(folder, "small", seed),
        "full": lambda folder, seed: make_random_public_25(folder, "full", seed),
    },
    COSYVOICE2_KIND: {"nano": make_random_cosyvoice2},
}
