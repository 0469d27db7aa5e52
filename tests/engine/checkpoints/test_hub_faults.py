"""A hub, a network and a disk that fail: the right error or none, nothing half-written, and a later fetch is whole."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from oncue_engine.checkpoints.hub_snapshot import look
from oncue_engine.errors import CheckpointError

from ...fake_hub import COMMIT, LARGE_BYTES, Fault, made_bytes, sha256
from ...hub_case import HubCase, assert_whole, at_commit, hub_case

CONTENT = made_bytes("IndexTeam/IndexTTS-2/gpt.pth")


@pytest.fixture
def case(tmp_path: Path) -> Iterator[HubCase]:
    with hub_case(tmp_path / "cache") as ready:
        yield ready


def ranges(case: HubCase, path: str) -> list[str]:
    """What was asked of a large file, in order."""
    digest = sha256(case.content(path))
    return [one.range for one in case.hub.asked if one.path == f"/large/{digest}"]


def test_a_cut_connection_is_gone_on_from(case: HubCase) -> None:
    case.hub.faults["gpt.pth"] = [Fault(cut_after=30_000), Fault(cut_after=20_000)]
    assert_whole(case, case.fetch())
    assert ranges(case, "gpt.pth") == ["", "bytes=30000-", "bytes=50000-"]


def test_progress_is_patience(case: HubCase) -> None:
    case.hub.faults["gpt.pth"] = [Fault(cut_after=10_000)] * 8
    assert_whole(case, case.fetch())


def test_a_later_fetch_goes_on_where_one_was_given_up(case: HubCase) -> None:
    case.hub.faults["gpt.pth"] = [Fault(cut_after=30_000)] + [Fault(cut_after=0)] * 3
    with pytest.raises(CheckpointError, match=r"gpt\.pth.*30,000 of 100,000 bytes are kept") as caught:
        case.fetch()
    assert caught.value.reason == "HUB_UNREACHABLE"
    assert list(case.partials().values()) == [30_000]
    assert "gpt.pth" in look(case.name, case.cache)[0].missing
    assert_whole(case, case.fetch())
    assert ranges(case, "gpt.pth")[-1] == "bytes=30000-"


def test_a_hub_that_cannot_take_up_in_the_middle(case: HubCase) -> None:
    case.hub.faults["gpt.pth"] = [Fault(cut_after=30_000), Fault(ignores_range=True)]
    assert_whole(case, case.fetch())


def test_a_partial_file_that_is_longer_than_the_file_is_begun_anew(case: HubCase) -> None:
    partial = case.cache / "models--IndexTeam--IndexTTS-2" / "blobs" / f"{sha256(CONTENT)}.incomplete"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(bytes(LARGE_BYTES + 1))
    assert_whole(case, case.fetch())


def test_a_partial_file_of_other_bytes_is_found_out_and_removed(case: HubCase) -> None:
    partial = case.cache / "models--IndexTeam--IndexTTS-2" / "blobs" / f"{sha256(CONTENT)}.incomplete"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(bytes(500))
    with pytest.raises(CheckpointError, match=r"gpt\.pth is not what it should be") as caught:
        case.fetch()
    assert caught.value.reason == "HUB_HASH_MISMATCH"
    assert_whole(case, case.fetch())


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("gpt.pth", bytes(LARGE_BYTES)),
        ("gpt.pth", bytes(LARGE_BYTES + 1)),
        ("config.yaml", b"<html>Please log in</html>".ljust(900)),
    ],
)
def test_wrong_content_is_named_and_removed(case: HubCase, path: str, content: bytes) -> None:
    case.hub.faults[path] = [Fault(content=content)]
    with pytest.raises(CheckpointError, match=path.replace(".", r"\.")) as caught:
        case.fetch()
    assert caught.value.reason == "HUB_HASH_MISMATCH"
    assert path in look(case.name, case.cache)[0].missing
    assert sum(case.partials().values()) == 0
    assert_whole(case, case.fetch())


def test_content_that_stays_too_short_is_given_up(case: HubCase) -> None:
    case.hub.faults["gpt.pth"] = [Fault(content=CONTENT[:70_000])] * 2
    with pytest.raises(CheckpointError, match=r"gpt\.pth: the hub's file ends before byte 70000") as caught:
        case.fetch()
    assert caught.value.reason == "HUB_ANSWER_INVALID"
    assert_whole(case, case.fetch())


def test_a_mirror_that_lists_another_file_than_the_pinned_one_is_refused(case: HubCase) -> None:
    _pin(case, "gpt.pth", "0" * 64)
    with pytest.raises(CheckpointError, match=r"has another gpt\.pth") as caught:
        case.fetch()
    assert caught.value.reason == "HUB_HASH_MISMATCH"
    assert case.hub.bytes_asked() == []


def test_a_small_file_is_held_against_its_pinned_digest_too(case: HubCase) -> None:
    _pin(case, "config.yaml", "0" * 64)
    with pytest.raises(CheckpointError, match=r"config\.yaml is not what it should be.*0000") as caught:
        case.fetch()
    assert caught.value.reason == "HUB_HASH_MISMATCH"
    _pin(case, "config.yaml", sha256(case.content("config.yaml")))
    assert_whole(case, case.fetch())


def _pin(case: HubCase, path: str, digest: str) -> None:
    main = case.model.main
    files = tuple(replace(file, sha256=digest) if file.path == path else file for file in main.files)
    case.model = replace(case.model, main=replace(main, files=files))


# ---- answers without a file


def test_a_hub_that_is_busy_is_asked_again(case: HubCase) -> None:
    case.hub.listing_statuses = [503, 429]
    case.hub.faults["gpt.pth"] = [Fault(status=503), Fault(status=500)]
    assert_whole(case, case.fetch())


def test_a_hub_that_stays_busy_is_given_up(case: HubCase) -> None:
    case.hub.listing_statuses = [503] * 3
    with pytest.raises(CheckpointError, match=r"answers 503 \(3 tries\)") as caught:
        case.fetch()
    assert caught.value.reason == "HUB_UNREACHABLE"
    case.hub.faults["gpt.pth"] = [Fault(status=503)] * 3
    with pytest.raises(CheckpointError, match=r"gpt\.pth.*answers 503 \(3 tries\); 0 of 100,000") as caught:
        case.fetch()
    assert caught.value.reason == "HUB_UNREACHABLE"
    assert_whole(case, case.fetch())


def test_what_the_hub_does_not_have(case: HubCase) -> None:
    case.hub.faults["gpt.pth"] = [Fault(status=404)]
    with pytest.raises(CheckpointError, match=r"gpt\.pth: .* does not have it") as caught:
        case.fetch()
    assert caught.value.reason == "HUB_NOT_FOUND"
    assert_whole(case, case.fetch())
    codec = case.hub.repositories.pop("amphion/MaskGCT")
    case.cache = case.cache.with_name("other")
    with pytest.raises(CheckpointError, match="amphion/MaskGCT") as caught:
        case.fetch()
    assert caught.value.reason == "HUB_NOT_FOUND"
    case.hub.repositories["amphion/MaskGCT"] = replace(codec, commits={"c" * 40: {}})
    with pytest.raises(CheckpointError, match=f"amphion/MaskGCT@{COMMIT}") as caught:
        case.fetch()
    assert caught.value.reason == "HUB_NOT_FOUND"


def test_a_gated_repository_wants_a_login_that_stays_with_the_hub(
    case: HubCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    case.hub.repositories[case.model.main.name].token = "hf_secret"
    with pytest.raises(CheckpointError, match=r"IndexTeam/IndexTTS-2.*answers 401.*HF_TOKEN") as caught:
        case.fetch()
    assert caught.value.reason == "HUB_ACCESS_DENIED"
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    assert_whole(case, case.fetch())
    elsewhere = [one for one in case.hub.asked if one.host.startswith("localhost")]
    assert elsewhere
    assert {one.authorization for one in elsewhere} == {""}


def test_silence_ends_and_is_gone_on_from(case: HubCase) -> None:
    case.hub.faults["gpt.pth"] = [Fault(stall_s=1.0)]
    assert_whole(case, case.fetch(timeout_s=0.3))
    assert ranges(case, "gpt.pth") == ["", "bytes=50000-"]


def test_no_hub_at_all(case: HubCase) -> None:
    case.hub.endpoint = "http://127.0.0.1:9"
    with pytest.raises(CheckpointError, match=r"http://127\.0\.0\.1:9 does not answer") as caught:
        case.fetch()
    assert caught.value.reason == "HUB_UNREACHABLE"
    case.hub.endpoint = "not-an-address"
    with pytest.raises(CheckpointError, match="not-an-address is not a hub's address") as caught:
        case.fetch()
    assert caught.value.reason == "HUB_ENDPOINT_INVALID"


def _listing(**changes: object) -> bytes:
    entry = {"rfilename": "qwen0.6bemo4-merge/vocab.json", "size": 1, "blobId": "0" * 40, **changes}
    return json.dumps({"id": "IndexTeam/IndexTTS-2", "sha": COMMIT, "siblings": [entry]}).encode()


@pytest.mark.parametrize(
    "body",
    [
        b"<html>Please log in</html>",
        b'{"id": "IndexTeam/IndexTTS-2"}',
        b'{"id": "IndexTeam/IndexTTS-2", "sha": "../../x", "siblings": []}',
        _listing(rfilename="qwen0.6bemo4-merge/../../../../x"),
        _listing(blobId="../../x"),
        _listing(size=None),
    ],
)
def test_answers_that_are_none(case: HubCase, body: bytes) -> None:
    case.hub.listing_body = body
    with pytest.raises(CheckpointError) as caught:
        case.fetch()
    assert caught.value.reason == "HUB_ANSWER_INVALID"
    case.hub.listing_body = None
    assert_whole(case, case.fetch())


# ---- the disk

_FETCH = """
import resource, sys
from pathlib import Path
from oncue_engine.checkpoints.hub import FetchOptions, fetch
from oncue_engine.checkpoints.hub_requests import Hub
from oncue_engine.checkpoints.repositories import parse_hub_name
from oncue_engine.errors import CheckpointError
name, cache, endpoint, largest_bytes = sys.argv[1:]
resource.setrlimit(resource.RLIMIT_FSIZE, (int(largest_bytes), int(largest_bytes)))
try:
    fetch(parse_hub_name(name), FetchOptions(Path(cache), Hub(endpoint)), accept=lambda one: True)
except CheckpointError as error:
    print(error.reason, error)
"""
"""`fetch` in a process of its own, whose files may not become longer than so many bytes."""


def fetching(case: HubCase, largest_bytes: int) -> subprocess.Popen[str]:
    arguments = (at_commit(case.model), str(case.cache), case.hub.endpoint, str(largest_bytes))
    return subprocess.Popen([sys.executable, "-c", _FETCH, *arguments], stdout=subprocess.PIPE, text=True)


def test_a_disk_that_fills_up(case: HubCase) -> None:
    stdout = fetching(case, 60_000).communicate(timeout=60)[0]
    assert stdout.startswith("DISK_FULL ")
    assert "gpt.pth" in stdout
    assert list(case.partials().values()) == [60_000]
    assert_whole(case, case.fetch())
    assert ranges(case, "gpt.pth")[-1] == "bytes=60000-"


def test_a_process_that_is_killed_is_gone_on_from(case: HubCase) -> None:
    case.hub.faults["gpt.pth"] = [Fault(stall_s=20.0)]
    process = fetching(case, 10**9)
    ends_at = time.monotonic() + 60.0
    while list(case.partials().values()) != [LARGE_BYTES // 2] and time.monotonic() < ends_at:
        time.sleep(0.01)
    process.kill()
    process.communicate()
    assert list(case.partials().values()) == [LARGE_BYTES // 2]
    assert "gpt.pth" in look(case.name, case.cache)[0].missing
    assert_whole(case, case.fetch())
    assert ranges(case, "gpt.pth") == ["", f"bytes={LARGE_BYTES // 2}-"]
