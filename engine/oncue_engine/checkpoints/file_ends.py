"""What a large file is, told without reading all of it."""

from __future__ import annotations

from pathlib import Path

from ..errors import CheckpointError

__all__ = ["file_ends"]

_END_BYTES = 64 * 1024


def file_ends(path: Path) -> bytes:
    """Name, size and both ends, which hold a weight file's lists of tensors and their checksums. CheckpointError."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            ends = file.read(_END_BYTES)
            file.seek(max(0, size - _END_BYTES))
            ends += file.read(_END_BYTES)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    return f"{path.name}\0{size}\0".encode() + ends
