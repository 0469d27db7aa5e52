"""A model by the name that `--model` takes."""

from __future__ import annotations

from pathlib import Path

from ..errors import CheckpointError
from .embedded import model_folder
from .hub import fetched
from .hub_cache import default_cache
from .loaded import LoadedModel, load_model, load_public
from .public_files import find_public_files
from .random_public import RANDOM_PUBLIC, build_random, public_config
from .repositories import HUB_PREFIX, parse_hub_name

__all__ = ["load_named"]

_RANDOM = "random:"


def load_named(model: str | Path) -> tuple[str, LoadedModel]:
    """(what the engine calls it, the model): `nano`, `random:indextts2`, `hub:ORG/NAME`, or a folder, ours or public.

    A hub model is never fetched here, only found in the hub's cache. CheckpointError, HUB_OFFLINE for one that is not
    all there.
    """
    if isinstance(model, str) and model.startswith(_RANDOM):
        if model != RANDOM_PUBLIC:
            raise CheckpointError(f"{model} is not known, only {RANDOM_PUBLIC}", reason="MODEL_UNKNOWN")
        return model, build_random(public_config())
    if isinstance(model, str) and model.startswith(HUB_PREFIX):
        found = fetched(parse_hub_name(model), default_cache())
        return str(found.name), load_public(find_public_files(found.folder, snapshots=found.places))
    folder = model_folder(model)
    return "nano" if model == "nano" else folder.name, load_model(folder)
