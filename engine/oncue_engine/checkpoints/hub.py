"""A public model from the hub: everything that is missing here is fetched, and nothing else.

Nothing is asked of the network where all is here. What is missing is fetched after three checks: that the hub has what
was pinned, that there is room for it, and that the licences were accepted.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from huggingface_hub import constants

from ..errors import CheckpointError
from .hub_cache import blob_path, default_cache, digest_of, partial_path, write_ref
from .hub_requests import Hub, default_endpoint, is_commit, list_files
from .hub_snapshot import Snapshot, look, snapshot_of
from .hub_state import HubState, ListedFile, read_state, remember
from .hub_transfer import WantedFile, download
from .repositories import HubName, Repository

__all__ = ["FetchOptions", "Fetched", "fetch", "fetched", "free_bytes", "refuse", "verify_files"]


@dataclass(frozen=True, slots=True)
class FetchOptions:
    """Where from and where to."""

    cache: Path = field(default_factory=default_cache)
    hub: Hub = field(default_factory=lambda: Hub(default_endpoint()))
    offline: bool = field(default_factory=constants.is_offline_mode)
    """Ask nothing of the network (HF_HUB_OFFLINE)."""
    update: bool = False
    """Look up anew what branches and tags are, instead of what they were when first fetched."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A model's files, all here."""

    name: HubName
    folder: Path
    """The snapshot of the model's own repository."""
    cache: Path
    """The hub's cache, which has the snapshots of its other repositories."""
    snapshots: tuple[Snapshot, ...]

    @property
    def places(self) -> dict[str, Path]:
        """Each repository's snapshot, of the very commit that was asked for."""
        return {snapshot.repository.name: snapshot.folder for snapshot in self.snapshots}


def refuse(repositories: Sequence[Repository]) -> bool:
    """Nobody is there who could accept a licence."""
    return False


def free_bytes(folder: Path) -> int:
    """Room on the disk where `folder` is, or will be."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def fetched(name: HubName, cache: Path) -> Fetched:
    """A model that is here already; no network. CheckpointError (HUB_OFFLINE) names what is missing."""
    return _all_here(name, look(name, cache), cache)


def fetch(
    name: HubName,
    options: FetchOptions,
    accept: Callable[[Sequence[Repository]], bool] = refuse,
    room: Callable[[Path], int] = free_bytes,
) -> Fetched:
    """All files of a model, fetching what is missing. A later call goes on where this one was cut off.

    `accept` is called before the first download, with the repositories whose licences nobody has accepted in this cache
    yet; `room` tells free bytes. CheckpointError: HUB_OFFLINE, HUB_UNREACHABLE, HUB_NOT_FOUND, HUB_ACCESS_DENIED,
    HUB_FILE_MISSING, HUB_HASH_MISMATCH, LICENCE_NOT_ACCEPTED, DISK_FULL, and others that name what is wrong.
    """
    cache = options.cache
    snapshots = look(name, cache, update=options.update)
    if options.offline or all(snapshot.settled for snapshot in snapshots):
        return _all_here(name, snapshots, cache)
    snapshots = tuple(snapshot if snapshot.settled else _ask(snapshot, options) for snapshot in snapshots)
    wanted = [
        WantedFile(snapshot.repository.name, snapshot.commit, path, listed, snapshot.pinned(path))
        for snapshot in snapshots
        for path in snapshot.missing
        if (listed := snapshot.files[path]) is not None
    ]
    _need_room(wanted, cache, room)
    if any(not _has_blob(file, cache) for file in wanted):
        _need_licences([snapshot.repository for snapshot in snapshots if snapshot.missing], cache, accept)
    _settle(snapshots, cache)
    for file in wanted:
        download(options.hub, file, cache)
    return _all_here(name, look(name, cache), cache)


def verify_files(model: Fetched) -> int:
    """Read every file and compare it with all that is known of it. How many had something to be compared with.

    CheckpointError (HUB_HASH_MISMATCH) names every file that is another.
    """
    wrong, compared = [], 0
    for snapshot in model.snapshots:
        for path in snapshot.files:
            file, digests = snapshot.folder / path, snapshot.digests(path)
            compared += bool(digests)
            if any(digest_of(file, len(digest)) != digest for digest in digests):
                wrong.append(str(file.resolve()))
    if wrong:
        raise CheckpointError(
            f"not what they should be: {', '.join(wrong)}; remove them and fetch again", reason="HUB_HASH_MISMATCH"
        )
    return compared


def _ask(snapshot: Snapshot, options: FetchOptions) -> Snapshot:
    """The snapshot, with what the hub says of the repository."""
    repository, cache = snapshot.repository, options.cache
    try:
        listing = list_files(options.hub, repository.name, snapshot.commit or snapshot.revision)
    except CheckpointError as error:
        if error.reason == "HUB_UNREACHABLE" and not snapshot.missing:
            # Another tool has fetched all that is needed: the hub would only have told sizes and digests.
            return snapshot
        raise
    what = f"{repository.name}@{listing.commit[:8]}"
    if snapshot.commit and listing.commit != snapshot.commit:
        raise CheckpointError(f"{what} was answered for {snapshot.commit}", reason="HUB_ANSWER_INVALID")
    files = {path: listed for path, listed in listing.files.items() if _is_wanted(repository, path)}
    absent = [file.path for file in repository.files if file.path not in files]
    if absent:
        raise CheckpointError(f"{what} does not have {', '.join(absent)}", reason="HUB_FILE_MISSING")
    answered = snapshot_of(
        repository,
        snapshot.revision,
        listing.commit,
        cache,
        HubState(files={f"{repository.name}@{listing.commit}": files}),
    )
    for path, listed in files.items():
        pinned = answered.pinned(path)
        if pinned and len(listed.digest) == len(pinned) and listed.digest != pinned:
            raise CheckpointError(
                f"{what}: {options.hub.endpoint} has another {path} than the one that is known (its digest is "
                f"{listed.digest}, not {pinned}); nothing of it was fetched",
                reason="HUB_HASH_MISMATCH",
            )
    return answered


def _is_wanted(repository: Repository, path: str) -> bool:
    return any(file.path == path for file in repository.files) or any(
        fnmatchcase(path, pattern) for pattern in repository.extras
    )


def _has_blob(file: WantedFile, cache: Path) -> bool:
    return _size_of(blob_path(cache, file.repository, file.listed)) == file.listed.size_bytes


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _need_room(wanted: Iterable[WantedFile], cache: Path, room: Callable[[Path], int]) -> None:
    needed = sum(
        max(0, file.listed.size_bytes - _size_of(partial_path(cache, file.repository, file.listed)))
        for file in wanted
        if not _has_blob(file, cache)
    )
    free = room(cache) if needed else 0
    if needed > free:
        raise CheckpointError(
            f"{needed:,} bytes are still to be fetched, and {cache} has room for {free:,}",
            reason="DISK_FULL",
            metadata={"needed_bytes": str(needed), "free_bytes": str(free)},
        )


def _need_licences(
    repositories: Sequence[Repository], cache: Path, accept: Callable[[Sequence[Repository]], bool]
) -> None:
    accepted = read_state(cache).licences
    # What is agreed to is one repository's files under one licence.
    new = {f"{repository.name} {repository.licence.key}": repository for repository in repositories}
    new = {key: repository for key, repository in new.items() if key not in accepted}
    if not new:
        return
    if not accept(tuple(new.values())):
        raise CheckpointError(
            "nothing is fetched before these licences are accepted: "
            + ", ".join(f"{repository.licence.name} ({repository.name})" for repository in new.values()),
            reason="LICENCE_NOT_ACCEPTED",
        )
    _remember(cache, HubState(licences=frozenset(new)))


def _settle(snapshots: Sequence[Snapshot], cache: Path) -> None:
    """Write down which commit and which files these are, before the first of them comes."""
    named = [snapshot for snapshot in snapshots if not is_commit(snapshot.revision)]
    listed: dict[str, dict[str, ListedFile]] = {}
    for snapshot in snapshots:
        files = {path: file for path, file in snapshot.files.items() if file is not None}
        if len(files) == len(snapshot.files):
            listed[f"{snapshot.repository.name}@{snapshot.commit}"] = files
    try:
        for snapshot in named:
            write_ref(cache, snapshot.repository.name, snapshot.revision, snapshot.commit)
    except OSError as error:
        raise CheckpointError(f"{cache} cannot be written: {error}", reason="HUB_CACHE_UNWRITABLE") from error
    revisions = {f"{snapshot.repository.name}@{snapshot.revision}": snapshot.commit for snapshot in named}
    _remember(cache, HubState(revisions=revisions, files=listed))


def _remember(cache: Path, state: HubState) -> None:
    try:
        remember(cache, state)
    except OSError as error:
        raise CheckpointError(f"{cache} cannot be written: {error}", reason="HUB_CACHE_UNWRITABLE") from error


def _all_here(name: HubName, snapshots: tuple[Snapshot, ...], cache: Path) -> Fetched:
    missing = [
        f"{snapshot.repository.name}@{(snapshot.commit or snapshot.revision)[:8]}: {', '.join(snapshot.missing)}"
        for snapshot in snapshots
        if snapshot.missing
    ]
    if missing:
        raise CheckpointError(
            f"{name} is not all here, and the network is not asked. Missing in {cache}: {'; '.join(missing)}. "
            f"`oncue models fetch {name}` fetches it",
            reason="HUB_OFFLINE",
        )
    return Fetched(name, snapshots[0].folder, cache, snapshots)
