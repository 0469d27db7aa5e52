"""A public model's sizes: its config.yaml, with what other repositories say of their own networks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml

from ..errors import CheckpointError
from .config import SemanticEncoderConfig
from .family import completed_config
from .public_files import PublicFiles
from .public_weights import read_public_state

__all__ = ["whole_config"]

_POSITIONS = "position_embeddings_type"


def whole_config(files: PublicFiles) -> dict[str, Any]:
    """Fields for a config.yaml of ours (config.py), from the public files.

    IndexTTS-2's codec is without its decoder: its speech never decodes codes. What 2.5's config does not say, its keys
    do (family.py). CheckpointError for a file that is not readable, or an encoder of another kind.
    """
    try:
        raw = yaml.safe_load(files.config.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise CheckpointError(f"{files.config} cannot be read: {error}") from error
    if not isinstance(raw, dict) or not isinstance(raw.get("semantic_codec"), dict):
        raise CheckpointError(f"{files.config}: semantic_codec is missing")
    if files.family == "indextts2":
        raw["semantic_codec"] = {**raw["semantic_codec"], "has_decoder": False}
    else:
        raw = _completed(raw, files)
    config = {**raw, "vocoder": _read_json(files.vocoder_config)}
    if files.encoder_config is not None:
        config["semantic_encoder"] = _encoder_section(files.encoder_config)
    return config


def _completed(raw: Mapping[str, Any], files: PublicFiles) -> dict[str, Any]:
    t2s, codec = (
        {key: tuple(value.shape) for key, value in read_public_state(files, block, 0).items()}
        for block in ("t2s", "codec")
    )
    try:
        return completed_config(raw, t2s, codec)
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"{files.config}: {error} is missing") from error


def _encoder_section(path: Path) -> dict[str, Any]:
    raw = _read_json(path)
    if raw.get(_POSITIONS, "relative_key") != "relative_key":
        raise CheckpointError(f"{path}: {_POSITIONS} {raw[_POSITIONS]!r} is not known, only 'relative_key'")
    return {field.name: raw[field.name] for field in fields(SemanticEncoderConfig) if field.name in raw}


def _read_json(path: Path) -> Mapping[str, Any]:
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    if not isinstance(raw, dict):
        raise CheckpointError(f"{path} is not a mapping")
    return raw
