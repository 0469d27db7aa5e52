"""The public repositories in small, on a fake hub, and the model that `fetch` is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from oncue_engine.checkpoints.hub import Fetched, FetchOptions, fetch
from oncue_engine.checkpoints.hub_requests import Hub
from oncue_engine.checkpoints.repositories import PUBLIC_MODELS, HubName, PublicModel, Repository

from .fake_hub import COMMIT, FakeHub, FakeRepository, made_bytes, running_hub

INDEXTTS_2, INDEXTTS_25 = PUBLIC_MODELS
EXTRAS = ("qwen0.6bemo4-merge/vocab.json", "LICENSE")
NOT_WANTED = ("optimizer.pth", "t2s_model/model.safetensors")
"""What the repositories have beside, and nobody should fetch."""


def small_files(repository: Repository, seed: int = 0) -> dict[str, bytes]:
    """The repository's layout with small files, and some that are not wanted."""
    extras = EXTRAS if repository.extras else ()
    paths = (*(file.path for file in repository.files), *extras, *NOT_WANTED)
    return {path: made_bytes(f"{repository.name}/{path}", seed) for path in paths}


def small_hub_repositories(model: PublicModel) -> dict[str, FakeRepository]:
    """One commit of each of a model's repositories, which is `main`."""
    return {one.name: FakeRepository({COMMIT: small_files(one)}, {"main": COMMIT}) for one in model.repositories}


def hub_repositories_of(folder: Path, model: PublicModel = INDEXTTS_2) -> dict[str, FakeRepository]:
    """What a folder with a whole public model has, as the hub would have it."""
    cache = "hf_cache"
    main = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and cache not in path.relative_to(folder).parts
    }
    found = {model.main.name: main}
    for one in model.companions:
        (snapshot,) = (folder / cache / f"models--{one.name.replace('/', '--')}" / "snapshots").iterdir()
        # The engine has no use for the one of w2v-BERT, and random models come without it.
        files = {file.path: b"{}" for file in one.files if file.path == "preprocessor_config.json"}
        found[one.name] = files | {
            path.relative_to(snapshot).as_posix(): path.read_bytes() for path in snapshot.rglob("*") if path.is_file()
        }
    return {name: FakeRepository({COMMIT: files}, {"main": COMMIT}) for name, files in found.items()}


def at_commit(model: PublicModel) -> str:
    """The table's own model, by the revisions that a hub of the tests has."""
    return f"hub:{','.join(f'{one.name}@{COMMIT}' for one in model.repositories)}"


def small_model(model: PublicModel = INDEXTTS_2, revision: str = COMMIT) -> PublicModel:
    """The table's model, with the small files' revision, and without digests of its own."""

    def small(repository: Repository) -> Repository:
        files = tuple(replace(file, sha256="") for file in repository.files)
        return replace(repository, revision=revision, files=files)

    return PublicModel(small(model.main), tuple(small(one) for one in model.companions))


@dataclass(slots=True)
class HubCase:
    """A hub, an empty cache, and a model to fetch."""

    hub: FakeHub
    cache: Path
    model: PublicModel

    @property
    def name(self) -> HubName:
        return HubName(self.model)

    def options(self, *, offline: bool = False, update: bool = False, timeout_s: float = 5.0) -> FetchOptions:
        hub = Hub(self.hub.endpoint, timeout_s=timeout_s, tries=3, first_wait_s=0.01)
        return FetchOptions(self.cache, hub, offline, update)

    def fetch(self, *, update: bool = False, timeout_s: float = 5.0) -> Fetched:
        """With all licences accepted."""
        return fetch(self.name, self.options(update=update, timeout_s=timeout_s), accept=lambda repositories: True)

    def content(self, path: str) -> bytes:
        """A file of the model's own repository, as the hub has it."""
        repository = self.hub.repositories[self.model.main.name]
        return repository.commits[repository.branches["main"]][path]

    def partials(self) -> dict[str, int]:
        """Files that are not whole: name and bytes."""
        return {path.name: path.stat().st_size for path in self.cache.rglob("*.incomplete")}


@contextmanager
def hub_case(cache: Path) -> Iterator[HubCase]:
    """IndexTTS-2 in small, and nothing of it fetched."""
    with running_hub(small_hub_repositories(INDEXTTS_2)) as hub:
        yield HubCase(hub, cache, small_model())


def assert_whole(case: HubCase, found: Fetched) -> None:
    """Every wanted file is there, bit for bit, nothing else is, and nothing half-done is left."""
    for snapshot in found.snapshots:
        files = case.hub.repositories[snapshot.repository.name].commits[snapshot.commit]
        here = {path.relative_to(snapshot.folder).as_posix() for path in snapshot.folder.rglob("*") if path.is_file()}
        assert here == set(files) - set(NOT_WANTED)
        for path in here:
            assert (snapshot.folder / path).read_bytes() == files[path]
    assert case.partials() == {}
