"""The store on a real disk: whole or not at all, and there again after a restart."""

from __future__ import annotations

import dataclasses
import json
import os
import threading
import time
from pathlib import Path

import pytest

from oncue_server.errors import AlreadyExists, EtagMismatch, NotFound, StoreCorrupt
from oncue_server.store import Clip, Record, Store

CLIP = Clip(
    sha256="ab" * 32,
    size_bytes=3,
    duration_s=1.5,
    sample_rate_hz=16000,
    loudness_dbfs=-20.0,
    peak=0.5,
    clipped_share=0.0,
    silent_share=0.25,
    warnings=("short",),
)


def record(id_: str, **changes: object) -> Record:
    base = Record(id=id_, display_name="Ann", labels={"k": "v"}, create_time_ns=1, update_time_ns=1, clip=CLIP)
    return dataclasses.replace(base, **changes)


def keep(store: Store, made: Record, clip: bytes = b"abc") -> None:
    staged = store.stage()
    (staged / Store.REFERENCE).write_bytes(clip)
    store.commit(staged, made)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "voices", "voice")


def test_what_is_kept_reads_back_after_a_restart(store: Store, tmp_path: Path) -> None:
    weights = record("gloomy", clip=None, weights=(0.0, 0.5, 0, 0, 0, 0, 0, 1.2))
    keep(store, record("ann"))
    keep(store, weights)
    words = record("weary", clip=None, words="tired, but proud")
    keep(store, words)
    again = Store(tmp_path / "voices", "voice")
    assert again.get("ann") == record("ann")
    assert again.get("gloomy") == weights
    assert again.get("weary") == words
    assert again.reference_path("ann").read_bytes() == b"abc"
    assert again.get("ann").etag == record("ann").etag


def test_a_record_from_before_there_were_words(store: Store, tmp_path: Path) -> None:
    keep(store, record("ann"))
    path = tmp_path / "voices" / "ann" / "record.json"
    old = {key: value for key, value in json.loads(path.read_text()).items() if key != "words"}
    path.write_text(json.dumps(old))
    assert store.get("ann") == record("ann")


def test_unknown_id(store: Store) -> None:
    with pytest.raises(NotFound) as caught:
        store.get("nobody", "utterance.voice")
    assert (caught.value.reason, caught.value.field) == ("VOICE_NOT_FOUND", "utterance.voice")
    assert caught.value.metadata == {"name": "voices/nobody"}


def test_a_taken_id_keeps_its_first_owner(store: Store) -> None:
    keep(store, record("ann"), b"first")
    with pytest.raises(AlreadyExists) as caught:
        keep(store, record("ann", display_name="Other"), b"second")
    assert caught.value.reason == "VOICE_EXISTS"
    assert store.get("ann").display_name == "Ann"
    assert store.reference_path("ann").read_bytes() == b"first"


def test_of_many_creators_of_one_id_exactly_one_wins(store: Store) -> None:
    outcomes: list[str] = []
    barrier = threading.Barrier(8)

    def create(number: int) -> None:
        barrier.wait()
        try:
            keep(store, record("ann", display_name=str(number)))
            outcomes.append("won")
        except AlreadyExists:
            outcomes.append("lost")

    threads = [threading.Thread(target=create, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["lost"] * 7 + ["won"]


def test_pages_cover_everything_once(store: Store) -> None:
    names = [f"v{number:03}" for number in range(7)]
    for name in reversed(names):
        keep(store, record(name))
    seen: list[str] = []
    after = ""
    while True:
        page, more = store.page(after, 3)
        seen += [each.id for each in page]
        if not more:
            break
        after = page[-1].id
    assert seen == names
    assert store.page("", 0) == ([], True)


def test_a_page_after_a_removed_resource_goes_on_behind_it(store: Store) -> None:
    for name in ("aaa", "bbb", "ccc"):
        keep(store, record(name))
    store.delete("bbb", etag=None)
    assert [each.id for each in store.page("bbb", 5)[0]] == ["ccc"]


def test_update_changes_only_what_it_names(store: Store) -> None:
    keep(store, record("ann"))
    old = store.get("ann")
    new = store.update("ann", etag=old.etag, display_name="Bea")
    assert (new.display_name, dict(new.labels), new.clip) == ("Bea", {"k": "v"}, CLIP)
    assert new.update_time_ns > old.update_time_ns
    assert new.etag != old.etag
    assert store.get("ann") == new


def test_a_stale_etag_changes_nothing(store: Store) -> None:
    keep(store, record("ann"))
    stale = store.get("ann").etag
    current = store.update("ann", etag="", labels={})
    with pytest.raises(EtagMismatch) as caught:
        store.update("ann", etag=stale, display_name="Bea")
    assert caught.value.metadata == {"current_etag": current.etag}
    with pytest.raises(EtagMismatch):
        store.delete("ann", etag=stale)
    assert store.get("ann") == current


def test_delete_removes_all_of_it(store: Store, tmp_path: Path) -> None:
    keep(store, record("ann"))
    store.delete("ann", etag=store.get("ann").etag)
    assert list((tmp_path / "voices").iterdir()) == []
    with pytest.raises(NotFound):
        store.delete("ann", etag=None)
    keep(store, record("ann"))


def test_a_discarded_upload_leaves_nothing(store: Store, tmp_path: Path) -> None:
    staged = store.stage()
    (staged / Store.REFERENCE).write_bytes(b"half")
    assert store.ids() == []
    store.discard(staged)
    assert list((tmp_path / "voices").iterdir()) == []


def test_uploads_that_crashed_long_ago_are_cleared_and_running_ones_are_not(store: Store, tmp_path: Path) -> None:
    old, new = store.stage(), store.stage()
    long_ago = time.time() - 7200
    os.utime(old, (long_ago, long_ago))
    Store(tmp_path / "voices", "voice")
    assert not old.exists()
    assert new.exists()


@pytest.mark.parametrize("raw", [b"", b"{", b"{}", b"[]", b"\xff"])
def test_a_damaged_record_hides_no_other(store: Store, raw: bytes) -> None:
    keep(store, record("aaa"))
    keep(store, record("bbb"))
    (store.reference_path("aaa").parent / "record.json").write_bytes(raw)
    with pytest.raises(StoreCorrupt):
        store.get("aaa")
    assert [each.id for each in store.page("", 5)[0]] == ["bbb"]


def test_the_record_on_disk_is_plain_json(store: Store) -> None:
    keep(store, record("ann", display_name="Änne"))
    raw = (store.reference_path("ann").parent / "record.json").read_text(encoding="utf-8")
    assert json.loads(raw)["display_name"] == "Änne"
