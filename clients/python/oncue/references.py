"""Reference clips on their way to the server: read, measured against the inline limit, cut into parts."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from oncue.v1 import audio_pb2

__all__ = [
    "INLINE_LIMIT_BYTES",
    "ClipSource",
    "ReferenceClip",
    "clip_bytes",
    "options_message",
    "parts",
    "reference_clip",
]

ClipSource = str | Path | bytes
"""A path to a WAV, FLAC, Ogg or MP3 file, or the bytes of one."""

INLINE_LIMIT_BYTES = 3 * 1024 * 1024
"""Largest clip that goes inside one request; larger ones are uploaded in parts."""

_PART_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class ReferenceClip:
    """What the server knows of a clip behind a voice or an emotion."""

    sha256: str
    size_bytes: int
    duration_s: float
    sample_rate_hz: int
    loudness_dbfs: float
    peak: float
    clipped_share: float
    silent_share: float
    warnings: tuple[str, ...]
    """What may make the clip a poor prompt, for people."""
    trim_silence: bool
    keep_level: bool
    """How the clip becomes a prompt, as it was asked for."""
    applied_gain_db: float
    """How much louder it is as a prompt; 0: as it came."""
    trimmed_start_s: float
    trimmed_end_s: float
    """Silence that is cut off its ends."""


async def clip_bytes(source: ClipSource) -> bytes:
    """The file's bytes. Raises OSError when a path cannot be read."""
    if isinstance(source, bytes):
        return source
    return await asyncio.to_thread(Path(source).read_bytes)


def parts(data: bytes) -> Iterator[bytes]:
    """`data` in pieces that an upload takes."""
    for begin in range(0, len(data), _PART_BYTES):
        yield data[begin : begin + _PART_BYTES]


def options_message(trim_silence: bool, keep_level: bool) -> audio_pb2.ReferenceOptions | None:
    """The message of options; None where they are the defaults."""
    if not trim_silence and not keep_level:
        return None
    return audio_pb2.ReferenceOptions(trim_silence=trim_silence, keep_level=keep_level)


def reference_clip(message: audio_pb2.ReferenceAudio) -> ReferenceClip:
    """The value of a message."""
    return ReferenceClip(
        sha256=message.sha256,
        size_bytes=message.size_bytes,
        duration_s=message.duration.ToNanoseconds() / 1e9,
        sample_rate_hz=message.sample_rate_hz,
        loudness_dbfs=message.loudness_dbfs,
        peak=message.quality.peak,
        clipped_share=message.quality.clipped_share,
        silent_share=message.quality.silent_share,
        warnings=tuple(message.quality.warnings),
        trim_silence=message.options.trim_silence,
        keep_level=message.options.keep_level,
        applied_gain_db=message.quality.applied_gain_db,
        trimmed_start_s=message.quality.trimmed_start.ToNanoseconds() / 1e9,
        trimmed_end_s=message.quality.trimmed_end.ToNanoseconds() / 1e9,
    )
