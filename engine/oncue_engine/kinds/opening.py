"""A model of any kind by the name that `--model` takes. Which kinds there are is said here and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from ..checkpoints.config import model_kind
from ..checkpoints.named import load_named
from ..errors import CheckpointError
from ..model_interface import SpeechModel
from .indextts2 import IndexTTS2
from .indextts25 import IndexTTS25

__all__ = ["open_model"]

Opener = Callable[[str | Path, Path | None], tuple[str, SpeechModel]]
"""A name of --model, and the hub cache -> (what the engine calls it, the model)."""


def open_model(model: str | Path, hub_cache: Path | None = None) -> tuple[str, SpeechModel]:
    """(what the engine calls it, the model). A folder says its kind in config.yaml; without a word it is IndexTTS2.

    Models of the hub are looked for in `hub_cache` (None: where the hub's tools keep files), never fetched here.
    CheckpointError for files that are missing, misshapen or corrupt, and MODEL_KIND_UNKNOWN.
    """
    kind = model_kind(Path(model))
    if kind not in _KINDS:
        raise CheckpointError(
            f"{model} is of the kind {kind!r}; known are {', '.join(_KINDS)}", reason="MODEL_KIND_UNKNOWN"
        )
    return _KINDS[kind](model, hub_cache)


def _indextts2(model: str | Path, hub_cache: Path | None) -> tuple[str, SpeechModel]:
    """Of either public version: which one is in the networks."""
    name, networks = load_named(model, hub_cache)
    return name, (IndexTTS25 if networks.config.decodes_codes else IndexTTS2)(networks)


_KINDS: Mapping[str, Opener] = {"indextts2": _indextts2}
