"""Where the model inside the package lies."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

__all__ = ["embedded_folder", "model_folder"]


def embedded_folder() -> Path:
    """The folder of `nano`, with its weights and built-in voices."""
    return Path(str(resources.files("oncue_engine"))) / "embedded"


def model_folder(model: str | Path) -> Path:
    """`nano` is the embedded model; all else is a folder's path."""
    return embedded_folder() if model == "nano" else Path(model)
