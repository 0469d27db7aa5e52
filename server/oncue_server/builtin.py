"""The voices that ship with the engine: short clips beside a `voices.json`.

    {"voices": [{"id": "slt", "file": "slt.wav", "display_name": "...", "labels": {"language": "en"}}, ...]}

The first is the default voice. They are read once, at start, and cannot be changed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from oncue_engine.checkpoints.embedded import embedded_folder
from oncue_engine.errors import CheckpointError
from oncue_server.store import Clip, Record

__all__ = ["BuiltInVoices", "voices_folder"]

_INDEX = "voices.json"


def voices_folder(model: str) -> Path:
    """The voices of a model folder that has some, or else those inside the engine's package."""
    own = Path(model) / "voices"
    if model != "nano" and (own / _INDEX).exists():
        return own
    return embedded_folder() / "voices"


class BuiltInVoices:
    """Read-only voices in the order of `voices.json`."""

    def __init__(self, folder: Path, inspect: Callable[[Path, str], Clip]) -> None:
        """`inspect(path, sha256)` describes a clip. A folder without `voices.json` holds no voices.

        Blocks. Raises CheckpointError for a list or a clip that does not read.
        """
        self._paths: dict[str, Path] = {}
        self._records: dict[str, Record] = {}
        index = folder / _INDEX
        if not index.exists():
            return
        try:
            for entry in json.loads(index.read_bytes())["voices"]:
                path = folder / entry["file"]
                sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
                self._paths[entry["id"]] = path
                self._records[entry["id"]] = Record(
                    id=entry["id"],
                    display_name=entry.get("display_name", ""),
                    labels=dict(entry.get("labels", {})),
                    create_time_ns=0,
                    update_time_ns=0,
                    clip=inspect(path, sha256),
                )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CheckpointError(f"the built-in voices do not read: {index.name}: {error}") from error

    @property
    def default(self) -> str:
        """Id of the first voice; empty when there is none."""
        return next(iter(self._records), "")

    def get(self, id_: str) -> Record | None:
        """The voice, or None."""
        return self._records.get(id_)

    def path(self, id_: str) -> Path:
        """Where the clip of a built-in voice lies. Raises KeyError."""
        return self._paths[id_]

    def all(self) -> list[Record]:
        """All of them, in order."""
        return list(self._records.values())
