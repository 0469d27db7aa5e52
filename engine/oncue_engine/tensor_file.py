"""A safetensors file as it lies on disk, or a CheckpointError that says what is wrong with it."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from .errors import CheckpointError

__all__ = ["load_tensor_file"]


def load_tensor_file(path: Path) -> dict[str, Tensor]:
    """All tensors in the types they are stored in. CheckpointError for a missing or damaged file."""
    try:
        tensors: dict[str, Tensor] = load_file(path)
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing", reason="CHECKPOINT_FILE_MISSING") from None
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    return tensors
