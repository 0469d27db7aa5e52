"""A safetensors file as it lies on disk, or a CheckpointError that says what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from .errors import CheckpointError

__all__ = ["as_float16", "load_tensor_file"]


def load_tensor_file(path: Path) -> dict[str, Tensor]:
    """All tensors in the types they are stored in. CheckpointError for a missing or damaged file."""
    try:
        tensors: dict[str, Tensor] = load_file(path)
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing", reason="CHECKPOINT_FILE_MISSING") from None
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    return tensors


def as_float16(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What a weight file of ours keeps: floating tensors in half precision, others as they are."""
    return {
        key: (value.to(torch.float16) if value.is_floating_point() else value).contiguous()
        for key, value in tensors.items()
    }
