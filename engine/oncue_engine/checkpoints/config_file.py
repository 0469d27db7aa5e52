"""`config.yaml` before anyone says what its sections mean, and errors that name the file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml

from ..errors import CheckpointError

__all__ = ["CONFIG_FILE", "DEFAULT_KIND", "model_kind", "parse_config_file", "top_level_fields"]

CONFIG_FILE = "config.yaml"
DEFAULT_KIND = "indextts2"
"""Of a config that does not say its kind: the public ones do not."""
_Parsed = TypeVar("_Parsed")


def model_kind(folder: Path) -> str:
    """`kind` in `folder/config.yaml`; DEFAULT_KIND where it says none, or where reading it will say what is wrong."""
    return str(top_level_fields(folder).get("kind", DEFAULT_KIND))


def top_level_fields(folder: Path) -> Mapping[str, Any]:
    """Of `folder/config.yaml`; none for a file that is missing or damaged, which is said when it is read in earnest."""
    try:
        raw = yaml.safe_load((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return {}
    return raw if isinstance(raw, dict) else {}


def parse_config_file(folder: Path, kind: str, parse: Callable[[Mapping[str, Any]], _Parsed]) -> _Parsed:
    """What `parse` makes of `folder/config.yaml`.

    CheckpointError naming the file, section or field that is wrong; MODEL_KIND_WRONG for a model of another kind.
    """
    path = folder / CONFIG_FILE
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing", reason="CHECKPOINT_FILE_MISSING") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    if not isinstance(raw, dict):
        raise CheckpointError(f"{path} is not a mapping")
    if raw.get("kind", DEFAULT_KIND) != kind:
        raise CheckpointError(
            f"{path}: a model of the kind {raw['kind']!r}, where {kind!r} is needed", reason="MODEL_KIND_WRONG"
        )
    try:
        return parse(raw)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}", reason=error.reason) from error
    except KeyError as error:
        raise CheckpointError(f"{path}: {error} is missing") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{path}: {error}") from error
