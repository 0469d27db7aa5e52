"""`oncue.json` in the hub's cache: what a first fetch has settled, so that later ones get the same.

licences   keys of licences that were accepted
revisions  ORG/NAME@BRANCH to the commit that the branch was when it was first fetched
files      ORG/NAME@COMMIT to each file's size and digest as the hub told them
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from huggingface_hub.utils import WeakFileLock

from ..errors import CheckpointError

__all__ = ["STATE_FILE", "HubState", "ListedFile", "read_state", "remember"]

STATE_FILE = "oncue.json"


@dataclass(frozen=True, slots=True)
class ListedFile:
    """What the hub says of one file."""

    size_bytes: int
    digest: str
    """64 hex digits: SHA-256 of a large file; 40: git's SHA-1 of a small one. It names the file in the cache."""


@dataclass(frozen=True, slots=True)
class HubState:
    """The file's content. Empty where there is none yet."""

    licences: frozenset[str] = frozenset()
    revisions: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, Mapping[str, ListedFile]] = field(default_factory=dict)

    def merged(self, newer: HubState) -> HubState:
        """Both together; where they differ, `newer` holds."""
        return HubState(
            self.licences | newer.licences,
            {**self.revisions, **newer.revisions},
            {**self.files, **newer.files},
        )


def read_state(cache: Path) -> HubState:
    """CheckpointError: HUB_STATE_CORRUPT for a file that does not read back, HUB_CACHE_UNREADABLE."""
    path = cache / STATE_FILE
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        return HubState(
            frozenset(str(key) for key in raw["licences"]),
            {str(key): str(commit) for key, commit in raw["revisions"].items()},
            {
                str(key): {
                    str(name): ListedFile(int(entry["bytes"]), str(entry["digest"])) for name, entry in files.items()
                }
                for key, files in raw["files"].items()
            },
        )
    except (FileNotFoundError, NotADirectoryError):
        return HubState()
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error}", reason="HUB_CACHE_UNREADABLE") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{path} does not read back ({error}); without it, licences are asked and revisions are looked up again",
            reason="HUB_STATE_CORRUPT",
        ) from error


def remember(cache: Path, newer: HubState) -> None:
    """Add to the file what it does not say yet: whole or not at all, and beside other processes that do the same."""
    cache.mkdir(parents=True, exist_ok=True)
    path = cache / STATE_FILE
    locks = cache / ".locks"
    locks.mkdir(exist_ok=True)
    with WeakFileLock(locks / f"{STATE_FILE}.lock"):
        old = read_state(cache)
        state = old.merged(newer)
        if state == old:
            return
        fresh = path.with_suffix(f".{os.getpid()}.tmp")
        try:
            fresh.write_text(json.dumps(_plain(state), indent=1, sort_keys=True) + "\n", encoding="utf-8")
            os.replace(fresh, path)
        finally:
            fresh.unlink(missing_ok=True)


def _plain(state: HubState) -> dict[str, Any]:
    return {
        "licences": sorted(state.licences),
        "revisions": dict(state.revisions),
        "files": {
            key: {name: {"bytes": entry.size_bytes, "digest": entry.digest} for name, entry in files.items()}
            for key, files in state.files.items()
        },
    }
