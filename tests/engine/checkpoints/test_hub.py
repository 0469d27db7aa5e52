"""Fetching a public model from a hub: what is asked, what is kept, and what is refused before the first byte."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import hf_hub_download, snapshot_download

from oncue_engine.checkpoints.hub import Fetched, fetch, fetched, verify_files
from oncue_engine.checkpoints.hub_local import verify_downloads
from oncue_engine.checkpoints.hub_snapshot import look
from oncue_engine.checkpoints.named import load_named
from oncue_engine.checkpoints.public_files import find_public_files
from oncue_engine.checkpoints.repositories import HubName, Repository
from oncue_engine.errors import CheckpointError

from ...fake_hub import COMMIT, FakeRepository, Fault, running_hub, sha256
from ...hub_case import (
    NOT_WANTED,
    HubCase,
    assert_whole,
    hub_case,
    hub_repositories_of,
    small_files,
    small_model,
)

NEWER = "b" * 40


@pytest.fixture
def case(tmp_path: Path) -> Iterator[HubCase]:
    with hub_case(tmp_path / "cache") as ready:
        yield ready


def test_all_files_come_and_then_no_question_is_asked(case: HubCase) -> None:
    found = case.fetch()
    assert_whole(case, found)
    assert found.folder == case.cache / "models--IndexTeam--IndexTTS-2" / "snapshots" / COMMIT
    asked = len(case.hub.asked)
    assert case.fetch() == found
    assert fetched(case.name, case.cache) == found
    assert len(case.hub.asked) == asked


def test_what_is_not_of_the_model_is_not_fetched(case: HubCase) -> None:
    case.fetch()
    assert not any(one.path.endswith(name) for one in case.hub.asked for name in NOT_WANTED)


def test_the_hubs_own_tools_find_what_was_fetched(case: HubCase) -> None:
    case.fetch()
    asked = len(case.hub.asked)
    path = hf_hub_download(
        "IndexTeam/IndexTTS-2", "gpt.pth", revision=COMMIT, cache_dir=case.cache, endpoint=case.hub.endpoint
    )
    assert Path(path).read_bytes() == case.content("gpt.pth")
    assert len(case.hub.asked) == asked


def test_what_other_tools_fetched_is_found_and_no_licence_is_asked(case: HubCase) -> None:
    for repository in case.model.repositories:
        snapshot_download(
            repository.name,
            cache_dir=case.cache,
            endpoint=case.hub.endpoint,
            ignore_patterns=list(NOT_WANTED),
            revision=COMMIT,
        )
    bytes_asked = len(case.hub.bytes_asked())
    assert_whole(case, fetched(case.name, case.cache))
    found = fetch(case.name, case.options())
    assert_whole(case, found)
    assert len(case.hub.bytes_asked()) == bytes_asked


def test_what_other_tools_fetched_needs_no_hub(case: HubCase) -> None:
    for repository in case.model.repositories:
        snapshot_download(repository.name, cache_dir=case.cache, endpoint=case.hub.endpoint, revision=COMMIT)
    case.hub.listing_statuses = [503] * 100
    assert case.fetch().folder.is_dir()


def test_a_file_of_another_commit_is_not_fetched_again(case: HubCase) -> None:
    case.fetch()
    main = case.hub.repositories[case.model.main.name]
    main.commits[NEWER] = {**main.commits[COMMIT], "feat1.pt": b"another"}
    case.hub.asked.clear()
    found = fetch(HubName(case.model, {case.model.main.name: NEWER}), case.options(), accept=lambda one: True)
    assert_whole(case, found)
    assert [one.path.rsplit("/", 1)[1] for one in case.hub.bytes_asked()] == ["feat1.pt", sha256(b"another")]


def test_no_network_names_what_is_missing(case: HubCase) -> None:
    with pytest.raises(CheckpointError, match=r"gpt\.pth.*amphion/MaskGCT.*oncue models fetch hub:IndexTeam") as caught:
        fetch(case.name, case.options(offline=True))
    assert caught.value.reason == "HUB_OFFLINE"
    case.fetch()
    (case.cache / "models--funasr--campplus" / "snapshots" / COMMIT / "campplus_cn_common.bin").unlink()
    with pytest.raises(CheckpointError, match=r"Missing in [^:]*: funasr/campplus@aaaaaaaa: campplus_cn_common\.bin\."):
        fetched(case.name, case.cache)


def test_a_named_hub_model_is_never_fetched_while_loading(case: HubCase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(case.cache))
    with pytest.raises(CheckpointError) as caught:
        load_named("hub:IndexTeam/IndexTTS-2")
    assert caught.value.reason == "HUB_OFFLINE"
    assert case.hub.asked == []


def test_files_are_of_the_commit_that_was_asked_for(small_public_dir: Path, tmp_path: Path) -> None:
    with running_hub(hub_repositories_of(small_public_dir)) as hub:
        case = HubCase(hub, tmp_path / "cache", small_model())
        found = case.fetch()
        campplus = hub.repositories["funasr/campplus"]
        campplus.commits[NEWER] = {"campplus_cn_common.bin": b"another"}
        campplus.branches["main"] = NEWER
        snapshot_download("funasr/campplus", cache_dir=case.cache, endpoint=hub.endpoint)
    newer = find_public_files(found.folder, (case.cache,)).style_encoder
    assert newer.read_bytes() == b"another"
    files = find_public_files(found.folder, snapshots=found.places)
    assert files.style_encoder.read_bytes() == campplus.commits[COMMIT][newer.name]
    assert files.vocoder.is_file()


# ---- licences


def test_nothing_comes_before_the_licences_are_accepted(case: HubCase) -> None:
    with pytest.raises(CheckpointError, match=r"bilibili.*CC BY-NC 4\.0 \(amphion/MaskGCT\)") as caught:
        fetch(case.name, case.options())
    assert caught.value.reason == "LICENCE_NOT_ACCEPTED"
    assert case.hub.bytes_asked() == []
    assert not list(case.cache.rglob("snapshots"))


def test_a_licence_is_asked_once_and_again_when_it_changes(case: HubCase) -> None:
    asked: list[str] = []

    def accept(repositories: tuple[Repository, ...]) -> bool:
        asked.extend(one.name for one in repositories)
        return True

    found = fetch(case.name, case.options(), accept)
    assert asked == [one.name for one in case.model.repositories]
    _forget(found, "gpt.pth")
    assert_whole(case, fetch(case.name, case.options(), accept))
    assert len(asked) == 5

    main = replace(case.model.main, licence=replace(case.model.main.licence, key="bilibili-model-use/2"))
    case.model = replace(case.model, main=main)
    _forget(found, "gpt.pth")
    fetch(case.name, case.options(), accept)
    assert asked[5:] == ["IndexTeam/IndexTTS-2"]


def _forget(found: Fetched, path: str) -> None:
    (found.folder / path).resolve().unlink()


# ---- room


def test_too_little_room_is_said_with_both_numbers_before_the_first_byte(case: HubCase) -> None:
    needed = sum(
        len(content)
        for repository in case.model.repositories
        for path, content in small_files(repository).items()
        if path not in NOT_WANTED
    )
    with pytest.raises(CheckpointError, match=f"{needed:,} bytes .* room for {needed - 1:,}") as caught:
        fetch(case.name, case.options(), lambda one: True, room=lambda folder: needed - 1)
    assert caught.value.reason == "DISK_FULL"
    assert caught.value.metadata == {"needed_bytes": str(needed), "free_bytes": str(needed - 1)}
    assert case.hub.bytes_asked() == []
    assert_whole(case, fetch(case.name, case.options(), lambda one: True, room=lambda folder: needed))


def test_room_is_needed_only_for_what_is_still_to_come(case: HubCase) -> None:
    case.hub.faults["s2mel.pth"] = [Fault(cut_after=60_000)] + [Fault(cut_after=0)] * 3
    with pytest.raises(CheckpointError):
        case.fetch()
    (kept,) = case.partials().values()
    left = sum(snapshot.files[path].size_bytes for snapshot in look(case.name, case.cache) for path in snapshot.missing)
    with pytest.raises(CheckpointError) as caught:
        fetch(case.name, case.options(), lambda one: True, room=lambda folder: 0)
    assert caught.value.metadata["needed_bytes"] == str(left - kept)


# ---- revisions


def test_what_main_was_first_is_what_it_stays(case: HubCase) -> None:
    case.model = small_model(revision="")
    first = case.fetch()
    state = json.loads((case.cache / "oncue.json").read_text())
    assert state["revisions"] == {f"{one.name}@main": COMMIT for one in case.model.repositories}

    main = case.hub.repositories[case.model.main.name]
    main.commits[NEWER] = small_files(case.model.main, seed=1)
    main.branches["main"] = NEWER
    _forget(first, "gpt.pth")
    again = case.fetch()
    assert again.snapshots[0].commit == COMMIT
    assert_whole(case, again)

    updated = case.fetch(update=True)
    assert updated.snapshots[0].commit == NEWER
    assert_whole(case, updated)
    assert fetched(case.name, case.cache) == updated


def test_a_name_may_say_other_revisions(case: HubCase) -> None:
    codec = case.hub.repositories["amphion/MaskGCT"]
    codec.commits[NEWER] = small_files(case.model.companions[1], seed=1)
    codec.branches["fresh"] = NEWER
    name = HubName(case.model, {"amphion/MaskGCT": "fresh"})
    found = fetch(name, case.options(), lambda one: True)
    assert [snapshot.commit for snapshot in found.snapshots] == [COMMIT, COMMIT, NEWER, COMMIT, COMMIT]
    assert_whole(case, found)


# ---- several at once, and damage


def test_two_that_fetch_at_once_share_the_work(case: HubCase) -> None:
    case.hub.faults["gpt.pth"] = [Fault(stall_s=0.3)]
    with ThreadPoolExecutor(2) as two:
        found = list(two.map(lambda _: case.fetch(), range(2)))
    assert found[0] == found[1]
    assert_whole(case, found[0])
    asked = [one.path for one in case.hub.bytes_asked()]
    assert len(asked) == len(set(asked))


def test_verify_names_every_file_that_is_another(case: HubCase) -> None:
    found = case.fetch()
    assert verify_files(found) == sum(len(snapshot.files) for snapshot in found.snapshots)
    for path in ("s2mel.pth", "config.yaml"):
        blob = (found.folder / path).resolve()
        blob.write_bytes(bytes(blob.stat().st_size))
    with pytest.raises(CheckpointError) as caught:
        verify_files(found)
    assert caught.value.reason == "HUB_HASH_MISMATCH"
    for path in ("s2mel.pth", "config.yaml"):
        assert str((found.folder / path).resolve()) in str(caught.value)
    assert str((found.folder / "gpt.pth").resolve()) not in str(caught.value)


def test_files_that_other_tools_put_into_a_folder_are_verified_too(case: HubCase, tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    snapshot_download(
        case.model.main.name,
        local_dir=folder,
        cache_dir=case.cache,
        endpoint=case.hub.endpoint,
        ignore_patterns=list(NOT_WANTED),
    )
    assert verify_downloads(folder) == len(small_files(case.model.main)) - len(NOT_WANTED)
    times = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    for path in (folder / "gpt.pth", folder / "feat1.pt"):
        path.write_bytes(bytes(path.stat().st_size))
    # One went bad on the disk, the other was written to later: by somebody, as it seems, who tuned it.
    os.utime(folder / "gpt.pth", ns=(times[folder / "gpt.pth"],) * 2)
    os.utime(folder / "feat1.pt", ns=(times[folder / "feat1.pt"] + 10**11,) * 2)
    with pytest.raises(CheckpointError) as caught:
        verify_downloads(folder)
    assert caught.value.reason == "HUB_HASH_MISMATCH"
    assert str(folder / "gpt.pth") in str(caught.value)
    assert "feat1.pt" not in str(caught.value)
    assert verify_downloads(tmp_path / "no such folder") == 0


def test_a_file_that_was_cut_short_on_disk_is_fetched_again(case: HubCase) -> None:
    found = case.fetch()
    with (found.folder / "gpt.pth").resolve().open("r+b") as file:
        file.truncate(10)
    assert_whole(case, case.fetch())


def test_a_damaged_state_is_said(case: HubCase) -> None:
    case.fetch()
    (case.cache / "oncue.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"oncue\.json") as caught:
        case.fetch()
    assert caught.value.reason == "HUB_STATE_CORRUPT"


def test_a_cache_that_cannot_be_written_is_said(case: HubCase, tmp_path: Path) -> None:
    case.cache = tmp_path / "file" / "cache"
    case.cache.parent.write_text("not a folder")
    with pytest.raises(CheckpointError) as caught:
        case.fetch()
    assert caught.value.reason == "HUB_CACHE_UNWRITABLE"


def test_a_repository_that_lacks_a_file_is_said(case: HubCase) -> None:
    main = case.hub.repositories[case.model.main.name]
    case.hub.repositories[case.model.main.name] = FakeRepository(
        {COMMIT: {path: content for path, content in main.commits[COMMIT].items() if path != "feat2.pt"}}, main.branches
    )
    with pytest.raises(CheckpointError, match=r"does not have feat2\.pt") as caught:
        case.fetch()
    assert caught.value.reason == "HUB_FILE_MISSING"
