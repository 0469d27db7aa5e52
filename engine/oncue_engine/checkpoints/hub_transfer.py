"""One file from the hub into the cache: taken up where it was left, and whole under its name or not at all."""

from __future__ import annotations

import errno
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from huggingface_hub.utils import WeakFileLock
from tqdm import tqdm

from ..errors import CheckpointError
from .hub_cache import blob_path, digest_of, partial_path, publish
from .hub_requests import Hub, TryAgain, open_file
from .hub_state import ListedFile

__all__ = ["WantedFile", "download"]

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True, slots=True)
class WantedFile:
    """A file of one commit of a repository."""

    repository: str
    commit: str
    path: str
    listed: ListedFile
    pinned: str = ""
    """A SHA-256 that does not come from the hub, or empty."""

    def __str__(self) -> str:
        return f"{self.repository}@{self.commit[:8]}: {self.path}"


def download(hub: Hub, wanted: WantedFile, cache: Path) -> None:
    """Bring a file into its snapshot.

    What was there of it is kept and gone on from, now and by a later call. CheckpointError: HUB_UNREACHABLE,
    HUB_HASH_MISMATCH (nothing is kept), DISK_FULL, HUB_CACHE_UNWRITABLE, and what the hub refuses with.
    """
    name, listed = wanted.repository, wanted.listed
    blob, partial = blob_path(cache, name, listed), partial_path(cache, name, listed)
    # The hub's own tools take the same lock for the same file.
    lock = cache / ".locks" / f"models--{name.replace('/', '--')}" / f"{listed.digest}.lock"
    try:
        for folder in (blob.parent, lock.parent):
            folder.mkdir(parents=True, exist_ok=True)
        with WeakFileLock(lock):
            if blob.exists() and blob.stat().st_size != listed.size_bytes:
                blob.unlink()
            if not blob.exists():
                _fill(hub, wanted, partial)
                _check(wanted, partial)
                os.replace(partial, blob)
            publish(cache, name, wanted.commit, wanted.path, listed)
    except OSError as error:
        if error.errno in _DISK_FULL:
            raise CheckpointError(
                f"{wanted}: no room to go on in {cache} ({error.strerror}); what has come of it is kept",
                reason="DISK_FULL",
            ) from error
        raise CheckpointError(f"{cache} cannot be written: {error}", reason="HUB_CACHE_UNWRITABLE") from error


def _check(wanted: WantedFile, partial: Path) -> None:
    for digest in (wanted.listed.digest, wanted.pinned):
        if digest and digest_of(partial, len(digest)) != digest:
            partial.unlink()
            raise CheckpointError(
                f"{wanted} is not what it should be: its digest is not {digest}. It was removed: fetch again, and from "
                "another mirror if it stays so",
                reason="HUB_HASH_MISMATCH",
            )


def _fill(hub: Hub, wanted: WantedFile, partial: Path) -> None:
    """Make `partial` as long as it should be. OSError where it cannot be written."""
    size_bytes = wanted.listed.size_bytes
    with partial.open("ab") as file:
        if _length(file) > size_bytes:
            file.truncate(0)
        failures = 0
        with tqdm(
            desc=wanted.path,
            total=size_bytes,
            initial=_length(file),
            unit="B",
            unit_scale=True,
            unit_divisor=1024,
            # Only on a terminal.
            disable=None,
        ) as bar:
            while (begun := _length(file)) < size_bytes:
                problem = _take(hub, wanted, file, bar)
                if not problem:
                    continue
                failures = 1 if _length(file) > begun else failures + 1
                if failures >= hub.tries:
                    raise CheckpointError(
                        f"{problem} ({failures} tries); {_length(file):,} of {size_bytes:,} bytes are kept: fetch "
                        "again to go on from there",
                        reason="HUB_UNREACHABLE",
                    )
                time.sleep(hub.wait_s(failures))
        os.fsync(file.fileno())


def _take(hub: Hub, wanted: WantedFile, file: BinaryIO, bar: tqdm[None]) -> str:
    """Add what one answer gives. What went wrong and may pass; empty when the file is whole."""
    have, size_bytes = _length(file), wanted.listed.size_bytes
    try:
        with open_file(hub, wanted.repository, wanted.commit, wanted.path, have) as stream:
            if stream.start != have:
                if stream.start:
                    return f"{wanted}: bytes from {have} on were asked for, the answer begins at {stream.start}"
                file.truncate(0)
                bar.update(-have)
            for piece in stream.pieces:
                if _length(file) + len(piece) > size_bytes:
                    file.truncate(0)
                    raise CheckpointError(
                        f"{wanted} is longer than the {size_bytes:,} bytes that it should have; it was removed",
                        reason="HUB_HASH_MISMATCH",
                    )
                file.write(piece)
                bar.update(len(piece))
    except TryAgain as error:
        return str(error)
    return "" if _length(file) == size_bytes else f"{wanted}: the answer ended early"


def _length(file: BinaryIO) -> int:
    """How long the file is, with what is not on the disk yet."""
    file.flush()
    return os.fstat(file.fileno()).st_size
