"""Voices and emotions on disk: a folder for each, holding `record.json` and, with a clip, `reference`.

    data_dir/voices/alice/record.json       data_dir/voices/alice/reference
    data_dir/emotions/gloomy/record.json

A resource appears and disappears by one rename of its folder, and changes by one rename of its record, so that a
crash leaves the old state or the new one. Nothing is kept in memory: what is on disk is what there is.
All functions block; call them off the event loop.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

from oncue_engine.requests import ReferenceOptions
from oncue_server.errors import AlreadyExists, EtagMismatch, NotFound, StoreCorrupt

__all__ = ["Clip", "Record", "Store"]

_RECORD = "record.json"
_STAGING = ".staging-"
_STALE_S = 3600.0
"""Staging folders older than this are left over from a crash."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Clip:
    """What is known of a reference clip (oncue.v1.ReferenceAudio)."""

    sha256: str
    size_bytes: int
    duration_s: float
    sample_rate_hz: int
    loudness_dbfs: float
    peak: float
    clipped_share: float
    silent_share: float
    warnings: tuple[str, ...]
    options: ReferenceOptions = field(default_factory=ReferenceOptions)
    """How it becomes a prompt; what that changes is in the three below."""
    applied_gain_db: float = 0.0
    trimmed_start_s: float = 0.0
    trimmed_end_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Record:
    """One voice or emotion. A voice has a clip; an emotion has a clip, weights or words."""

    id: str
    display_name: str
    labels: Mapping[str, str]
    create_time_ns: int
    update_time_ns: int
    clip: Clip | None = None
    weights: tuple[float, ...] | None = None
    words: str | None = None

    @property
    def etag(self) -> str:
        """A digest of the whole record: 16 hexadecimal digits."""
        return hashlib.sha256(_to_json(self)).hexdigest()[:16]


class Store:
    """The resources of one kind (`voice` or `emotion`) under one folder."""

    REFERENCE: ClassVar[str] = "reference"
    """Name of the clip inside a resource's folder."""

    def __init__(self, folder: Path, kind: str) -> None:
        """Makes the folder and clears what crashed uploads left. Raises OSError where it cannot."""
        self._folder = folder
        self._kind = kind
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(f"{_STAGING}*"):
            if time.time() - left.stat().st_mtime > _STALE_S:
                shutil.rmtree(left, ignore_errors=True)

    def reference_path(self, id_: str) -> Path:
        """Where the clip of a resource lies."""
        return self._folder / id_ / self.REFERENCE

    def exists(self, id_: str) -> bool:
        """True when the id is taken."""
        return (self._folder / id_).is_dir()

    def get(self, id_: str, field: str = "name") -> Record:
        """Raises NotFound (VOICE_NOT_FOUND, EMOTION_NOT_FOUND) with `field`, StoreCorrupt."""
        path = self._folder / id_ / _RECORD
        try:
            raw = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            raise NotFound(
                f"there is no {self._kind} `{id_}`",
                reason=f"{self._kind.upper()}_NOT_FOUND",
                field=field,
                metadata={"name": f"{self._kind}s/{id_}"},
            ) from None
        try:
            return _from_json(raw)
        except (ValueError, KeyError, TypeError) as error:
            raise StoreCorrupt(f"the record of {self._kind} `{id_}` does not read back: {_RECORD}") from error

    def ids(self) -> list[str]:
        """All ids in order."""
        with os.scandir(self._folder) as entries:
            return sorted(entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir())

    def page(self, after: str, count: int) -> tuple[list[Record], bool]:
        """Up to `count` records with ids after `after` (empty: from the start), and whether more follow.

        Records that do not read back are logged and left out, so that one does not hide the others.
        """
        found: list[Record] = []
        for id_ in self.ids():
            if id_ <= after:
                continue
            if len(found) == count:
                return found, True
            try:
                found.append(self.get(id_))
            except NotFound:
                continue  # removed in between
            except StoreCorrupt as error:
                _log.error("%s", error)
        return found, False

    def stage(self) -> Path:
        """A new folder of this store for a resource to come; its clip belongs at `staged / Store.REFERENCE`.

        Hand it to `commit`, or remove it with `discard`.
        """
        return Path(tempfile.mkdtemp(prefix=_STAGING, dir=self._folder))

    def discard(self, staged: Path) -> None:
        """Removes a staged folder; nothing happens when it was committed."""
        shutil.rmtree(staged, ignore_errors=True)

    def check_free(self, id_: str) -> None:
        """Raises AlreadyExists (VOICE_EXISTS, EMOTION_EXISTS)."""
        if self.exists(id_):
            raise self._taken(id_)

    def commit(self, staged: Path, record: Record) -> None:
        """Makes the staged folder the resource `record.id`. Raises AlreadyExists."""
        _write(staged / _RECORD, _to_json(record))
        try:
            os.rename(staged, self._folder / record.id)
        except OSError as error:
            # A rename onto a folder that holds something fails: two creators of one id cannot both win.
            if error.errno in (errno.EEXIST, errno.ENOTEMPTY):
                raise self._taken(record.id) from None
            raise

    def update(
        self, id_: str, *, etag: str, display_name: str | None = None, labels: Mapping[str, str] | None = None
    ) -> Record:
        """Changes what is not None. An `etag` that is not empty must be the current one.

        Raises NotFound, EtagMismatch.
        """
        old = self.get(id_)
        self._check_etag(old, etag)
        new = replace(
            old,
            display_name=old.display_name if display_name is None else display_name,
            labels=old.labels if labels is None else dict(labels),
            update_time_ns=max(time.time_ns(), old.update_time_ns + 1),
        )
        try:
            _write(self._folder / id_ / _RECORD, _to_json(new))
        except FileNotFoundError:
            raise NotFound(f"{self._kind} `{id_}` was removed", reason=f"{self._kind.upper()}_NOT_FOUND") from None
        return new

    def delete(self, id_: str, *, etag: str | None) -> None:
        """Removes the resource. An `etag` that is not None must be the current one. Raises NotFound, EtagMismatch."""
        self._check_etag(self.get(id_), etag)
        grave = self.stage()
        try:
            os.rename(self._folder / id_, grave / id_)
        except FileNotFoundError:
            raise NotFound(f"{self._kind} `{id_}` was removed", reason=f"{self._kind.upper()}_NOT_FOUND") from None
        finally:
            self.discard(grave)

    def _check_etag(self, record: Record, etag: str | None) -> None:
        if etag and etag != record.etag:
            raise EtagMismatch(
                f"{self._kind} `{record.id}` has changed since it was read",
                field="etag",
                metadata={"current_etag": record.etag},
            )

    def _taken(self, id_: str) -> AlreadyExists:
        return AlreadyExists(
            f"{self._kind} `{id_}` exists",
            reason=f"{self._kind.upper()}_EXISTS",
            field=f"{self._kind}_id",
            metadata={"name": f"{self._kind}s/{id_}"},
        )


def _write(path: Path, data: bytes) -> None:
    """Writes the file whole or not at all."""
    handle, name = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _to_json(record: Record) -> bytes:
    return json.dumps(asdict(record), sort_keys=True, ensure_ascii=False, indent=1).encode()


def _from_json(raw: bytes) -> Record:
    values: dict[str, Any] = json.loads(raw)
    clip, weights = values.pop("clip"), values.pop("weights")
    if clip is not None:
        # Records from before there were options have none.
        options = ReferenceOptions(**clip.get("options", {}))
        clip = Clip(**{**clip, "warnings": tuple(clip["warnings"]), "options": options})
    return Record(**values, clip=clip, weights=None if weights is None else tuple(float(w) for w in weights))
