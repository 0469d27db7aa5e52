"""The hub's cache on disk, in the layout that all tools of the hub share.

models--ORG--NAME/blobs/DIGEST               the file itself; DIGEST.incomplete while it is being fetched
models--ORG--NAME/snapshots/COMMIT/PATH      a link to it
models--ORG--NAME/refs/BRANCH                the commit that a branch was
"""

from __future__ import annotations

import hashlib
import os
import uuid
from pathlib import Path

from .hub_state import ListedFile

__all__ = [
    "blob_path",
    "commits_here",
    "default_cache",
    "digest_of",
    "is_present",
    "partial_path",
    "publish",
    "read_ref",
    "snapshot_folder",
    "write_ref",
]


def default_cache() -> Path:
    """Where the hub's tools keep files: HF_HUB_CACHE, or `hub` in HF_HOME, as the environment is now."""
    if named := os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE"):
        return Path(os.path.expandvars(named)).expanduser()
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface"
    return Path(os.path.expandvars(home)).expanduser() / "hub"


def _repository_folder(cache: Path, name: str) -> Path:
    return cache / f"models--{name.replace('/', '--')}"


def snapshot_folder(cache: Path, name: str, commit: str) -> Path:
    """Where a commit's files lie under their own names."""
    return _repository_folder(cache, name) / "snapshots" / commit


def commits_here(cache: Path, name: str) -> tuple[str, ...]:
    """Commits of which some tool has fetched at least a part."""
    try:
        return tuple(sorted(path.name for path in (_repository_folder(cache, name) / "snapshots").iterdir()))
    except OSError:
        return ()


def blob_path(cache: Path, name: str, listed: ListedFile) -> Path:
    return _repository_folder(cache, name) / "blobs" / listed.digest


def partial_path(cache: Path, name: str, listed: ListedFile) -> Path:
    """What has come of a file so far. The name is not one that any tool takes for a whole file."""
    blob = blob_path(cache, name, listed)
    return blob.with_name(f"{blob.name}.incomplete")


def read_ref(cache: Path, name: str, revision: str) -> str:
    """The commit that some tool has found a branch or tag to be; empty where none has."""
    try:
        return (_repository_folder(cache, name) / "refs" / revision).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def write_ref(cache: Path, name: str, revision: str, commit: str) -> None:
    path = _repository_folder(cache, name) / "refs" / revision
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    fresh.write_text(commit, encoding="utf-8")
    os.replace(fresh, path)


def is_present(cache: Path, name: str, commit: str, path: str, listed: ListedFile | None) -> bool:
    """Whether the snapshot has the file, and of the size that it should be where that is known."""
    try:
        size_bytes = (snapshot_folder(cache, name, commit) / path).stat().st_size
    except OSError:
        return False
    return listed is None or size_bytes == listed.size_bytes


def publish(cache: Path, name: str, commit: str, path: str, listed: ListedFile) -> None:
    """Show a whole blob under its own name in the snapshot. OSError where the cache cannot be written."""
    blob = blob_path(cache, name, listed)
    place = snapshot_folder(cache, name, commit) / path
    place.parent.mkdir(parents=True, exist_ok=True)
    link = place.with_name(f"{place.name}.{os.getpid()}.link")
    link.unlink(missing_ok=True)
    try:
        link.symlink_to(os.path.relpath(blob, place.parent))
    except OSError:
        # A filesystem without links: the file goes to its place, as the hub's own tools do it.
        os.replace(blob, place)
    else:
        # In one step: somebody may be reading the file by this name.
        os.replace(link, place)


def digest_of(path: Path, digits: int) -> str:
    """A file's digest in hex: SHA-256 for 64 digits, git's SHA-1 of a blob for 40."""
    with path.open("rb") as file:
        if digits == 64:
            return hashlib.file_digest(file, "sha256").hexdigest()
        whole = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
        while block := file.read(1 << 20):
            whole.update(block)
    return whole.hexdigest()
