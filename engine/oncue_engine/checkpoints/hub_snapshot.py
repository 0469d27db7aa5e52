"""What the hub's cache has of a model: one snapshot for each of its repositories. Nothing here uses the network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .hub_cache import commits_here, is_present, read_ref, snapshot_folder
from .hub_requests import is_commit
from .hub_state import HubState, ListedFile, read_state
from .repositories import PUBLIC_MODELS, HubName, Repository

__all__ = ["Snapshot", "look", "names_here", "snapshot_of"]

_BRANCH = "main"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One repository's files at one commit, as far as they are here."""

    repository: Repository
    revision: str
    """What was asked for: a commit, branch or tag."""
    commit: str
    """Empty where nobody has looked up yet what the revision is."""
    folder: Path
    files: Mapping[str, ListedFile | None]
    """Every file that is wanted; None where the hub was never asked about it."""
    missing: tuple[str, ...]

    @property
    def settled(self) -> bool:
        """Whether the hub has nothing to add: it has said which files there are, and they are all here."""
        return not self.missing and None not in self.files.values()

    def pinned(self, path: str) -> str:
        """A file's SHA-256 that does not come from the hub; empty where there is none for this commit."""
        if self.commit != self.repository.revision:
            return ""
        return next((file.sha256 for file in self.repository.files if file.path == path), "")

    def digests(self, path: str) -> tuple[str, ...]:
        """All that is known of a file's content, in hex: 64 digits SHA-256, 40 digits git's SHA-1."""
        listed = self.files[path]
        return tuple(digest for digest in (listed.digest if listed else "", self.pinned(path)) if digest)

    def size_bytes(self) -> int:
        """Of the files that are here."""
        return sum((self.folder / path).stat().st_size for path in self.files if path not in self.missing)


def look(name: HubName, cache: Path, *, update: bool = False) -> tuple[Snapshot, ...]:
    """What is here of each of a model's repositories, its own first.

    `update` forgets what branches and tags were. CheckpointError for a damaged `oncue.json`.
    """
    state = read_state(cache)
    snapshots = []
    for repository in name.model.repositories:
        revision = name.revisions.get(repository.name) or repository.revision or _BRANCH
        commit = revision if is_commit(revision) else ""
        if not commit and not update:
            commit = state.revisions.get(f"{repository.name}@{revision}") or read_ref(cache, repository.name, revision)
        snapshots.append(snapshot_of(repository, revision, commit, cache, state))
    return tuple(snapshots)


def names_here(cache: Path) -> tuple[HubName, ...]:
    """Public models of which something is here, each commit that is not the table's by its own name."""
    return tuple(
        HubName(model) if commit == model.main.revision else HubName(model, {model.main.name: commit})
        for model in PUBLIC_MODELS
        for commit in commits_here(cache, model.main.name)
    )


def snapshot_of(repository: Repository, revision: str, commit: str, cache: Path, state: HubState) -> Snapshot:
    """What is here of a repository at a commit; an empty commit has nothing."""
    files: dict[str, ListedFile | None] = {file.path: None for file in repository.files}
    if not commit:
        return Snapshot(repository, revision, "", cache, files, tuple(files))
    files.update(state.files.get(f"{repository.name}@{commit}", {}))
    missing = tuple(
        path for path, listed in files.items() if not is_present(cache, repository.name, commit, path, listed)
    )
    return Snapshot(repository, revision, commit, snapshot_folder(cache, repository.name, commit), files, missing)
