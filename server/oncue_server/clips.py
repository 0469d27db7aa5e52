"""Reference clips on their way from a request into a store: received, measured, prepared, kept."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from oncue_engine.engine import Engine
from oncue_engine.errors import InvalidRequest, ReferenceRejected
from oncue_engine.requests import Reference, ReferenceOptions
from oncue_server import limits
from oncue_server.store import Clip, Record, Store

__all__ = ["Intake", "Names", "inspect", "new_record", "receive", "write_clip"]

_AT_A_TIME = 2


@dataclass(frozen=True, slots=True)
class Names:
    """What the caller calls a new resource."""

    id: str
    display_name: str
    labels: dict[str, str]


def inspect(engine: Engine, path: Path, sha256: str, options: ReferenceOptions) -> Clip:
    """Measures a clip. Blocks. Raises ReferenceRejected (REFERENCE_NOT_AUDIO, REFERENCE_SILENT, ...)."""
    quality = engine.inspect_reference(path, options)
    return Clip(
        sha256=sha256,
        size_bytes=path.stat().st_size,
        duration_s=quality.duration_s,
        sample_rate_hz=quality.sample_rate_hz,
        loudness_dbfs=quality.loudness_dbfs,
        peak=quality.peak,
        clipped_share=quality.clipped_share,
        silent_share=quality.silent_share,
        warnings=tuple(quality.warnings),
        options=options,
        applied_gain_db=quality.applied_gain_db,
        trimmed_start_s=quality.trimmed_start_s,
        trimmed_end_s=quality.trimmed_end_s,
    )


def write_clip(path: Path, audio: bytes) -> str:
    """Writes the bytes of a clip and returns their SHA-256. Blocks."""
    path.write_bytes(audio)
    return hashlib.sha256(audio).hexdigest()


def _opened(path: Path) -> BinaryIO:
    """Opened on the event loop: a cancel while another thread opens it would leave nobody to close it."""
    return path.open("wb")


async def receive(parts: AsyncIterator[bytes], path: Path) -> str:
    """Writes an upload's parts to `path` as they come, and returns the SHA-256 of the whole.

    Raises InvalidRequest (REFERENCE_EMPTY, REFERENCE_TOO_LARGE, UPLOAD_PART_EMPTY, UPLOAD_PART_TOO_LARGE).
    """
    digest, total = hashlib.sha256(), 0
    with _opened(path) as file:
        async for part in parts:
            if not part:
                raise InvalidRequest("a part is empty", reason="UPLOAD_PART_EMPTY", field="data")
            if len(part) > limits.MAX_UPLOAD_PART_BYTES:
                raise InvalidRequest(
                    f"a part has {len(part)} bytes; at most {limits.MAX_UPLOAD_PART_BYTES}",
                    reason="UPLOAD_PART_TOO_LARGE",
                    field="data",
                    metadata={"max_bytes": str(limits.MAX_UPLOAD_PART_BYTES), "bytes": str(len(part))},
                )
            total += len(part)
            if total > limits.MAX_UPLOAD_BYTES:
                raise InvalidRequest(
                    "the reference audio is over 64 MiB",
                    reason="REFERENCE_TOO_LARGE",
                    field="data",
                    metadata={"max_bytes": str(limits.MAX_UPLOAD_BYTES)},
                )
            digest.update(part)
            await asyncio.to_thread(file.write, part)
    if total == 0:
        raise InvalidRequest("the reference audio is empty", reason="REFERENCE_EMPTY", field="data")
    return digest.hexdigest()


class Intake:
    """Makes clips into resources, a few at a time: the prompt encoders take long, and others need the threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._turns = asyncio.Semaphore(_AT_A_TIME)

    async def keep(
        self,
        store: Store,
        names: Names,
        fill: Callable[[Path], Awaitable[str]],
        options: ReferenceOptions,
        prepare: Callable[[Reference], int],
        field: str,
    ) -> tuple[Record, int]:
        """Has the clip written by `fill(path) -> sha256`, measures and prepares it as `options` say, and makes it a
        resource.

        Returns its record and the encoder passes it took. Raises ReferenceRejected with `field`, AlreadyExists, and
        what `fill` raises; then nothing is left behind.
        """
        await asyncio.to_thread(store.check_free, names.id)
        staged = await asyncio.to_thread(store.stage)
        try:
            sha256 = await fill(staged / store.REFERENCE)
            async with self._turns:
                return await asyncio.to_thread(self._keep, store, names, staged, sha256, options, prepare)
        except ReferenceRejected as error:
            error.field = field
            raise
        finally:
            await asyncio.to_thread(store.discard, staged)

    def _keep(
        self,
        store: Store,
        names: Names,
        staged: Path,
        sha256: str,
        options: ReferenceOptions,
        prepare: Callable[[Reference], int],
    ) -> tuple[Record, int]:
        path = staged / store.REFERENCE
        clip = inspect(self._engine, path, sha256, options)
        encodes = prepare(Reference(path, sha256, options))
        record = new_record(names, clip=clip)
        store.commit(staged, record)
        return record, encodes


def new_record(
    names: Names, *, clip: Clip | None = None, weights: tuple[float, ...] | None = None, words: str | None = None
) -> Record:
    """A record made now."""
    now_ns = time.time_ns()
    return Record(
        id=names.id,
        display_name=names.display_name,
        labels=names.labels,
        create_time_ns=now_ns,
        update_time_ns=now_ns,
        clip=clip,
        weights=weights,
        words=words,
    )
