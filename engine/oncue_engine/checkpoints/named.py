"""A model by the name that `--model` takes."""

from __future__ import annotations

from pathlib import Path

from ..errors import CheckpointError
from .embedded import model_folder
from .loaded import LoadedModel, load_model
from .random_public import RANDOM_PUBLIC, build_random, public_config

__all__ = ["load_named"]

_RANDOM = "random:"


def load_named(model: str | Path) -> tuple[str, LoadedModel]:
    """(what the engine calls it, the model): `nano`, `random:indextts2`, or a folder, ours or public.

    CheckpointError.
    """
    if isinstance(model, str) and model.startswith(_RANDOM):
        if model != RANDOM_PUBLIC:
            raise CheckpointError(f"{model} is not known, only {RANDOM_PUBLIC}", reason="MODEL_UNKNOWN")
        return model, build_random(public_config())
    folder = model_folder(model)
    return "nano" if model == "nano" else folder.name, load_model(folder)
