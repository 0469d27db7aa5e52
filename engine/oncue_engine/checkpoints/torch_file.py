"""A file that `torch.save` wrote, read without running anything that is in it."""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import CheckpointError

__all__ = ["as_state", "read_torch_file"]


def read_torch_file(path: Path) -> Any:
    """What the file holds, tensors on the CPU: never more than tensors and plain containers is unpickled.

    Tensors of a zip file, as PyTorch writes it since 1.6, stay on disk until they are read: what nobody reads, such as
    an optimizer's state, takes no memory. CheckpointError for a missing or damaged file, and for one with code in it.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing", reason="CHECKPOINT_FILE_MISSING") from None
    except pickle.UnpicklingError as error:
        if wanted := re.search(r"GLOBAL (\S+)", str(error)):
            raise CheckpointError(
                f"{path} is refused: it holds more than tensors, {wanted.group(1)}", reason="CHECKPOINT_UNSAFE"
            ) from error
        raise CheckpointError(f"{path} cannot be read: it is no file of tensors") from error
    except (OSError, EOFError, RuntimeError, ValueError, KeyError, IndexError) as error:
        raise CheckpointError(f"{path} cannot be read: {error!r}") from error


def as_state(value: Any, what: str) -> dict[str, Tensor]:
    """`value` as a state dict, without the prefix that training on several devices leaves at every key.

    CheckpointError, naming `what` and the key, for anything but tensors by name.
    """
    if not isinstance(value, Mapping) or not value:
        raise CheckpointError(f"{what} is no state dict", reason="CHECKPOINT_KEYS")
    state: dict[str, Tensor] = {}
    for key, tensor in value.items():
        if not isinstance(key, str) or not isinstance(tensor, Tensor):
            raise CheckpointError(f"{what}: {key!r} is no tensor", reason="CHECKPOINT_KEYS")
        state[key] = tensor
    if all(key.startswith("module.") for key in state):
        state = {key.removeprefix("module."): tensor for key, tensor in state.items()}
    return state
