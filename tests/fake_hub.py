"""A hub on a loopback port: real HTTP, the hub's protocol for files, and faults to order.

GET  /api/models/ORG/NAME/revision/REV   commit, files, sizes and digests
GET  /api/models/ORG/NAME/tree/REV       the same, as the hub's own tools ask for it
HEAD, GET /ORG/NAME/resolve/REV/PATH     a small file, or a redirect to where a large one lies
GET  /large/SHA256                       on another host name: a large file, or a part of it
"""

from __future__ import annotations

import hashlib
import json
import random
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

COMMIT = "a" * 40
LARGE_BYTES = 100_000
SMALL_BYTES = 900


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to one answer with a file's bytes."""

    cut_after: int | None = None
    """Bytes that come before the connection breaks."""
    status: int | None = None
    """An answer without the file."""
    content: bytes | None = None
    """Other bytes than the listing promises."""
    stall_s: float = 0.0
    """Silence in the middle."""
    ignores_range: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, as the hub saw it."""

    method: str
    path: str
    host: str
    range: str
    authorization: str


@dataclass(slots=True)
class FakeRepository:
    """Files of each commit, and what the branches are."""

    commits: dict[str, dict[str, bytes]]
    branches: dict[str, str]
    token: str = ""
    """Who does not send it gets 401."""

    def files(self, revision: str) -> tuple[str, dict[str, bytes]] | None:
        commit = self.branches.get(revision, revision)
        return (commit, self.commits[commit]) if commit in self.commits else None


@dataclass(slots=True)
class FakeHub:
    """What the server serves, and what it was asked."""

    repositories: dict[str, FakeRepository]
    endpoint: str = ""
    faults: dict[str, list[Fault]] = field(default_factory=dict)
    """A file's path to what happens to the next answers with its bytes, one after the other."""
    listing_statuses: list[int] = field(default_factory=list)
    """What the next questions for a listing are answered with instead."""
    listing_body: bytes | None = None
    """Instead of a listing."""
    asked: list[Asked] = field(default_factory=list)

    def bytes_asked(self) -> list[Asked]:
        """The questions for files' bytes."""
        return [one for one in self.asked if one.method == "GET" and not one.path.startswith("/api/")]

    def large(self, digest: str) -> tuple[str, bytes] | None:
        for repository in self.repositories.values():
            for files in repository.commits.values():
                for path, content in files.items():
                    if sha256(content) == digest:
                        return path, content
        return None


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def git_sha1(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def is_large(path: str) -> bool:
    """Kept beside git, as the public repositories keep weights."""
    return path.endswith((".pth", ".pt", ".bin", ".safetensors", "tokenizer.json"))


def made_bytes(path: str, seed: int = 0) -> bytes:
    """The same path and seed give the same bytes."""
    return random.Random(f"{path} {seed}").randbytes(LARGE_BYTES if is_large(path) else SMALL_BYTES)


@contextmanager
def running_hub(repositories: dict[str, FakeRepository]) -> Iterator[FakeHub]:
    """The hub, on a port of its own, until the block ends."""
    hub = FakeHub(repositories)

    class Handler(_Handler):
        fake = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    fake: FakeHub
    protocol_version = "HTTP/1.1"
    # Headers and body are two writes: without this, the second waits for the first to be acknowledged.
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        headers = (self.headers.get(name, "") for name in ("Host", "Range", "Authorization"))
        self.fake.asked.append(Asked(self.command, path, *headers))
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+?)(?:/(revision|tree)/([^/]+))?", path):
            self._listing(found[1], found[2] or "revision", found[3] or "main")
        elif found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            self._resolve(found[1], found[2], found[3])
        elif found := re.fullmatch(r"/large/([0-9a-f]{64})", path):
            large = self.fake.large(found[1])
            if large is None:
                self._whole(404, b"")
            else:
                self._file(*large, {"ETag": '"of the storage"'})
        else:
            self._whole(404, b"")

    def _allowed(self, name: str) -> FakeRepository | None:
        repository = self.fake.repositories.get(name)
        if repository is None:
            self._whole(404, b"", {"X-Error-Code": "RepoNotFound"})
        elif repository.token and self.headers.get("Authorization") != f"Bearer {repository.token}":
            self._whole(401, b"", {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access is restricted"})
        else:
            return repository
        return None

    def _listing(self, name: str, kind: str, revision: str) -> None:
        if self.fake.listing_statuses:
            self._whole(self.fake.listing_statuses.pop(0), b"")
            return
        if self.fake.listing_body is not None:
            self._whole(200, self.fake.listing_body)
            return
        if (repository := self._allowed(name)) is None:
            return
        if (found := repository.files(revision)) is None:
            self._whole(404, b"", {"X-Error-Code": "RevisionNotFound"})
            return
        commit, files = found
        entries = []
        for path, content in files.items():
            entry: dict[str, object] = {"size": len(content)}
            digest = git_sha1(content)
            entry |= (
                {"rfilename": path, "blobId": digest}
                if kind == "revision"
                else {"type": "file", "path": path, "oid": digest}
            )
            if is_large(path):
                key = "sha256" if kind == "revision" else "oid"
                entry["lfs"] = {key: sha256(content), "size": len(content), "pointerSize": 130}
            entries.append(entry)
        body: object = entries if kind == "tree" else {"id": name, "sha": commit, "siblings": entries, "tags": []}
        self._whole(200, json.dumps(body).encode(), {"Content-Type": "application/json"})

    def _resolve(self, name: str, revision: str, path: str) -> None:
        if (repository := self._allowed(name)) is None:
            return
        found = repository.files(revision)
        if found is None or path not in found[1]:
            self._whole(404, b"", {"X-Error-Code": "EntryNotFound" if found else "RevisionNotFound"})
            return
        commit, content = found[0], found[1][path]
        if not is_large(path):
            self._file(path, content, {"X-Repo-Commit": commit, "ETag": f'"{git_sha1(content)}"'})
            return
        headers = {
            "X-Repo-Commit": commit,
            "X-Linked-Etag": f'"{sha256(content)}"',
            "X-Linked-Size": str(len(content)),
            # Another name for this machine is another host for a client.
            "Location": f"{self.fake.endpoint.replace('127.0.0.1', 'localhost')}/large/{sha256(content)}",
        }
        self._whole(302, b"", headers)

    def _file(self, path: str, content: bytes, headers: dict[str, str]) -> None:
        faults = self.fake.faults.get(path, [])
        fault = faults.pop(0) if faults and self.command == "GET" else Fault()
        if fault.status is not None:
            self._whole(fault.status, b"")
            return
        content = content if fault.content is None else fault.content
        status, start = 200, 0
        if (found := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))) and not fault.ignores_range:
            status, start = 206, int(found[1])
            if start >= len(content):
                self._whole(416, b"")
                return
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        part = content[start:]
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(part)), "Accept-Ranges": "bytes"}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        try:
            if fault.stall_s:
                self.wfile.write(part[: len(part) // 2])
                time.sleep(fault.stall_s)
                part = part[len(part) // 2 :]
            self.wfile.write(part if fault.cut_after is None else part[: fault.cut_after])
        except ConnectionError:
            # Who asked has gone.
            self.close_connection = True
        if fault.cut_after is not None:
            self.close_connection = True

    def _whole(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for key, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
