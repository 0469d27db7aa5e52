"""What is asked of the hub, or of a mirror: which files a revision has, and the bytes of one from a place on.

Requests go through `huggingface_hub`: its session, its token (HF_TOKEN or a login) and its rule that nothing is asked
in offline mode. A token stays with the host that it was meant for: where a file lies elsewhere, the redirect drops it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

import httpx2
from huggingface_hub import constants, get_session, get_token, hf_hub_url
from huggingface_hub.errors import OfflineModeIsEnabled

from ..errors import CheckpointError
from .hub_state import ListedFile

__all__ = [
    "FileStream",
    "Hub",
    "Listing",
    "TryAgain",
    "default_endpoint",
    "is_commit",
    "is_digest",
    "list_files",
    "open_file",
]

_COMMIT = re.compile(r"[0-9a-f]{40}")
_DIGEST = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_PASSING_STATUSES = (408, 425, 429, 500, 502, 503, 504)


@dataclass(frozen=True, slots=True)
class Hub:
    """Where the hub is, and how long one that does not answer is borne with."""

    endpoint: str
    """HTTP address without a slash at its end."""
    timeout_s: float = 20.0
    """To connect, and between two pieces of an answer."""
    tries: int = 5
    """In a row without a new byte."""
    first_wait_s: float = 1.0
    """Before the second try; twice that before the third, and so on."""

    def wait_s(self, failures: int) -> float:
        """How long to wait after so many failures in a row."""
        return float(self.first_wait_s * 2 ** (failures - 1))


class TryAgain(Exception):
    """The hub or the way to it failed in a manner that may pass."""


@dataclass(frozen=True, slots=True)
class Listing:
    """A revision as the hub has it."""

    commit: str
    files: Mapping[str, ListedFile]


@dataclass(frozen=True, slots=True)
class FileStream:
    """An answer that carries a file's bytes from `start` on."""

    start: int
    """Where the hub began: 0 where it does not take up in the middle."""
    pieces: Iterator[bytes]


def is_commit(revision: str) -> bool:
    """Whether it is a commit's full name, and no branch or tag."""
    return _COMMIT.fullmatch(revision) is not None


def is_digest(text: str) -> bool:
    """Whether it is a SHA-256, or git's SHA-1, in hex."""
    return _DIGEST.fullmatch(text) is not None


def default_endpoint() -> str:
    """HF_ENDPOINT, or the public hub."""
    return constants.ENDPOINT


def list_files(hub: Hub, name: str, revision: str) -> Listing:
    """The commit that `revision` is, and its files.

    CheckpointError: HUB_UNREACHABLE when the tries are used up, HUB_ANSWER_INVALID for what is not a hub's answer, and
    what the hub refuses with.
    """
    failures = 0
    while True:
        try:
            return _list_once(hub, name, revision)
        except TryAgain as error:
            failures += 1
            if failures >= hub.tries:
                raise CheckpointError(f"{error} ({failures} tries)", reason="HUB_UNREACHABLE") from error
            time.sleep(hub.wait_s(failures))


def _list_once(hub: Hub, name: str, revision: str) -> Listing:
    what = f"{name}@{revision}"
    url = f"{hub.endpoint}/api/models/{name}/revision/{quote(revision, safe='')}"
    try:
        # With sizes and digests.
        response = get_session().get(url, params={"blobs": True}, headers=_headers(), timeout=hub.timeout_s)
    except OfflineModeIsEnabled as error:
        raise CheckpointError(f"{what}: the hub's offline mode is on", reason="HUB_OFFLINE") from error
    except (httpx2.UnsupportedProtocol, httpx2.InvalidURL) as error:
        raise CheckpointError(
            f"{hub.endpoint} is not a hub's address: {error}", reason="HUB_ENDPOINT_INVALID"
        ) from error
    except httpx2.RequestError as error:
        raise TryAgain(f"{what}: {_in_words(error, hub)}") from error
    if response.status_code != 200:
        raise _refusal(response.status_code, what, hub)
    try:
        answer = response.json()
        listing = Listing(str(answer["sha"]), dict(_listed(entry) for entry in answer["siblings"]))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        # A login page of the network, or a mirror that has only the files.
        raise CheckpointError(
            f"{what}: what {hub.endpoint} answers is not a hub's list of files ({error!r})", reason="HUB_ANSWER_INVALID"
        ) from error
    if not is_commit(listing.commit):
        raise CheckpointError(f"{what}: {hub.endpoint} names no commit", reason="HUB_ANSWER_INVALID")
    return listing


def _listed(entry: Mapping[str, Any]) -> tuple[str, ListedFile]:
    """One file of an answer. ValueError and its like where it does not say what it must."""
    path, large = str(entry["rfilename"]), entry.get("lfs")
    digest = str(large["sha256"] if large else entry["blobId"])
    size_bytes = int(large["size"] if large else entry["size"])
    # The digest becomes a file's name, and the path a place in the snapshot.
    if not is_digest(digest) or not _stays_inside(path) or size_bytes < 0:
        raise ValueError(f"{path!r}, {digest!r}, {size_bytes} bytes")
    return path, ListedFile(size_bytes, digest)


def _headers() -> dict[str, str]:
    """Who asks. Not the library's own, which ask the public hub before they can ask a mirror."""
    token = None if constants.HF_HUB_DISABLE_IMPLICIT_TOKEN else get_token()
    return {"User-Agent": "oncue"} | ({"Authorization": f"Bearer {token}"} if token else {})


@contextmanager
def open_file(hub: Hub, name: str, commit: str, path: str, start: int) -> Iterator[FileStream]:
    """One file's bytes from `start` on. TryAgain, also while reading; CheckpointError where the hub refuses."""
    what = f"{name}@{commit[:8]}: {path}"
    # Compressed on the way, bytes could not be counted.
    headers = _headers() | {"Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    url = hf_hub_url(name, path, revision=commit, endpoint=hub.endpoint)
    try:
        with get_session().stream("GET", url, headers=headers, timeout=hub.timeout_s) as response:
            if response.status_code == 416:
                raise CheckpointError(f"{what}: the hub's file ends before byte {start}", reason="HUB_ANSWER_INVALID")
            if response.status_code not in (200, 206):
                raise _refusal(response.status_code, what, hub)
            yield FileStream(_first_byte(response), response.iter_bytes())
    except OfflineModeIsEnabled as error:
        raise CheckpointError(f"{what}: the hub's offline mode is on", reason="HUB_OFFLINE") from error
    except httpx2.RequestError as error:
        raise TryAgain(f"{what}: {_in_words(error, hub)}") from error


def _first_byte(response: httpx2.Response) -> int:
    if response.status_code == 200:
        return 0
    found = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    if found is None:
        raise TryAgain("an answer with a part of the file does not say which part")
    return int(found.group(1))


def _refusal(status: int, what: str, hub: Hub) -> Exception:
    if status in _PASSING_STATUSES:
        return TryAgain(f"{what}: {hub.endpoint} answers {status}")
    if status in (401, 403):
        return CheckpointError(
            f"{what}: {hub.endpoint} answers {status}: it wants a login that may read this repository (set HF_TOKEN, "
            "after agreeing to the repository's terms on its page), or there is no such repository",
            reason="HUB_ACCESS_DENIED",
        )
    if status == 404:
        return CheckpointError(f"{what}: {hub.endpoint} does not have it", reason="HUB_NOT_FOUND")
    return CheckpointError(f"{what}: {hub.endpoint} answers {status}", reason="HUB_REFUSED")


def _stays_inside(path: str) -> bool:
    parts = PurePosixPath(path).parts
    return bool(parts) and not path.startswith("/") and ".." not in parts and "\\" not in path


def _in_words(error: Exception, hub: Hub) -> str:
    return f"{hub.endpoint} does not answer ({str(error) or type(error).__name__})"
