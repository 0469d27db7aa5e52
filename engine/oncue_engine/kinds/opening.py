"""A model of any kind by the name that `--model` takes. Which kinds there are is said here and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from ..checkpoints.config_file import DEFAULT_KIND, model_kind
from ..checkpoints.cosyvoice2 import load_cosyvoice2
from ..checkpoints.cosyvoice2_config import COSYVOICE2_KIND
from ..checkpoints.named import load_named
from ..errors import CheckpointError
from ..model_interface import SpeechModel
from .cosyvoice2 import CosyVoice2
from .indextts2 import IndexTTS2
from .indextts25 import IndexTTS25

__all__ = ["open_model"]

Opener = Callable[[str | Path], tuple[str, SpeechModel]]
"""A name of --model -> (what the engine calls it, the model)."""


def open_model(model: str | Path) -> tuple[str, SpeechModel]:
    """(what the engine calls it, the model). A folder says its kind in config.yaml; without a word it is IndexTTS2.

    Models of the hub are looked for in its cache, never fetched here.
    CheckpointError for files that are missing, misshapen or corrupt, and MODEL_KIND_UNKNOWN.
    """
    kind = model_kind(Path(model))
    if kind not in _KINDS:
        raise CheckpointError(
            f"{model} is of the kind {kind!r}; known are {', '.join(_KINDS)}", reason="MODEL_KIND_UNKNOWN"
        )
    return _KINDS[kind](model)


def _indextts2(model: str | Path) -> tuple[str, SpeechModel]:
    """Of either public version: which one is in the networks."""
    name, networks = load_named(model)
    return name, (IndexTTS25 if networks.config.decodes_codes else IndexTTS2)(networks)


def _cosyvoice2(model: str | Path) -> tuple[str, SpeechModel]:
    folder = Path(model)
    return folder.name, CosyVoice2(load_cosyvoice2(folder))


_KINDS: Mapping[str, Opener] = {DEFAULT_KIND: _indextts2, COSYVOICE2_KIND: _cosyvoice2}
