"""The weights of public files (spec 0, 3.2, 5 to 7) as state dicts of our networks, still on disk where they can be."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

from torch import Tensor

from ..errors import CheckpointError
from ..tensor_file import load_tensor_file
from .harmless_keys import why_harmless
from .public_files import PublicFiles, read_t2s
from .torch_file import as_state, read_torch_file

__all__ = ["read_public_state", "source_of"]

_S2MEL_PARTS = ("cfm", "length_regulator", "gpt_layer")
_UNUSED_PART = "gpt_layer"
"""Of 2.5, whose file may have it all the same (spec 9)."""
_ENCODER_PREFIX = "wav2vec2_bert."
_logger = logging.getLogger(__name__)
_ENCODER_LAYER = re.compile(r"encoder\.layers\.(\d+)\.")


def read_public_state(files: PublicFiles, block: str, encoder_layers: int) -> dict[str, Tensor]:
    """State dict of one network of layout.WEIGHT_FILES under our keys, without what is known to be harmless.

    `encoder_layers`: how many layers of the semantic encoder are used; those after them are left out. CheckpointError
    for files that are missing, damaged, unsafe, or built otherwise.
    """
    state = _READERS[block](files)
    if block == "encoder":
        state = {key: value for key, value in state.items() if not _beyond(key, encoder_layers)}
    left_aside = {key: why for key in state if (why := why_harmless(block, key)) is not None}
    for why, count in Counter(left_aside.values()).items():
        # A user who tuned adapters learns here that they are not heard.
        _logger.info("%s: %d keys are not used: %s", source_of(files, block).name, count, why)
    return {key: value for key, value in state.items() if key not in left_aside}


def source_of(files: PublicFiles, block: str) -> Path:
    """The file that holds the network's weights."""
    sources = {
        "encoder": files.encoder,
        "codec": files.codec,
        "t2s": files.gpt,
        "s2mel": files.s2mel,
        "style": files.style_encoder,
        "vocoder": files.vocoder,
    }
    return sources[block]


def _t2s(files: PublicFiles) -> dict[str, Tensor]:
    return read_t2s(files.gpt)


def _s2mel(files: PublicFiles) -> dict[str, Tensor]:
    """`net` of the file, its parts one under the other; the optimizer's state beside it is never read."""
    path = files.s2mel
    net = _entry(read_torch_file(path), "net", path)
    if not isinstance(net, Mapping):
        raise CheckpointError(f"{path.name}: net is {type(net).__name__}", reason="CHECKPOINT_KEYS")
    held = set(map(str, net))
    if files.family == "indextts2.5":
        held.discard(_UNUSED_PART)
    needed = [part for part in _S2MEL_PARTS if files.family == "indextts2" or part != _UNUSED_PART]
    if held != set(needed):
        raise CheckpointError(
            f"{path.name}: net holds {', '.join(sorted(held))}; needed are {', '.join(needed)}",
            reason="CHECKPOINT_KEYS",
        )
    state: dict[str, Tensor] = {}
    for part in needed:
        inner = as_state(net[part], f"{path.name}: net.{part}")
        state |= {f"{part}.{key}": value for key, value in inner.items()}
    return state


def _encoder(files: PublicFiles) -> dict[str, Tensor]:
    """The encoder's own file, with the statistics of its output from another (the variance, trap 5)."""
    state = {key.removeprefix(_ENCODER_PREFIX): value for key, value in load_tensor_file(files.encoder).items()}
    path = files.encoder_stats
    stats = as_state(read_torch_file(path), path.name)
    if stats.keys() != {"mean", "var"}:
        raise CheckpointError(
            f"{path.name} holds {', '.join(sorted(stats))}; needed are mean, var", reason="CHECKPOINT_KEYS"
        )
    return state | {f"stats.{key}": value for key, value in stats.items()}


def _codec(files: PublicFiles) -> dict[str, Tensor]:
    """A safetensors file, or of 2.5 `model` of a PyTorch file (spec 9)."""
    path = files.codec
    if files.family == "indextts2":
        return load_tensor_file(path)
    return as_state(_entry(read_torch_file(path), "model", path), f"{path.name}: model")


def _style(files: PublicFiles) -> dict[str, Tensor]:
    return as_state(read_torch_file(files.style_encoder), files.style_encoder.name)


def _vocoder(files: PublicFiles) -> dict[str, Tensor]:
    path = files.vocoder
    return as_state(_entry(read_torch_file(path), "generator", path), f"{path.name}: generator")


_READERS: Mapping[str, Callable[[PublicFiles], dict[str, Tensor]]] = {
    "encoder": _encoder,
    "codec": _codec,
    "t2s": _t2s,
    "s2mel": _s2mel,
    "style": _style,
    "vocoder": _vocoder,
}


def _entry(raw: object, key: str, path: Path) -> object:
    if not isinstance(raw, Mapping) or key not in raw:
        raise CheckpointError(f"{path.name}: {key} is missing", reason="CHECKPOINT_KEYS")
    return raw[key]


def _beyond(key: str, layers: int) -> bool:
    layer = _ENCODER_LAYER.match(key)
    return layer is not None and int(layer.group(1)) >= layers
