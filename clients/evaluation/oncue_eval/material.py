"""The evaluation's fixed sentences and clips. data/README.md says where they come from."""

from __future__ import annotations

import io
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable

import numpy as np
import numpy.typing as npt
import soundfile  # type: ignore[import-untyped]

__all__ = ["RATE_HZ", "RecordedClip", "emotion_clips", "everyday_sentences", "speaker_clips"]

RATE_HZ = 16000
"""Rate of all clips, and the one that the judges listen at."""


@dataclass(frozen=True, slots=True, eq=False)
class RecordedClip:
    """A clip as it is sent, and as it is heard."""

    encoded: bytes
    """FLAC."""
    samples: npt.NDArray[np.float32]
    """[num_samples] in [-1, 1] at RATE_HZ."""


def everyday_sentences(limit: int | None = None) -> list[str]:
    """The thirty sentences of data/sentences.txt, or the first `limit` of them."""
    lines = (_data() / "sentences.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line][:limit]


def speaker_clips() -> dict[str, dict[str, RecordedClip]]:
    """By speaker, then by sentence (`a`, `b`, `c`): the same sentences in the same order by all speakers."""
    found: dict[str, dict[str, RecordedClip]] = {}
    for path in sorted((_data() / "speakers").iterdir(), key=lambda path: path.name):
        speaker, _, letter = path.name.removesuffix(".flac").rpartition("-")
        found.setdefault(speaker, {})[letter] = _clip(path)
    return found


def emotion_clips() -> dict[str, RecordedClip]:
    """By emotion: one actor, one sentence. `calm` is the neutral one."""
    folder = _data() / "emotions"
    return {path.name.removesuffix(".flac"): _clip(path) for path in sorted(folder.iterdir(), key=lambda p: p.name)}


def _data() -> Traversable:
    return resources.files("oncue_eval") / "data"


def _clip(path: Traversable) -> RecordedClip:
    encoded = path.read_bytes()
    samples, rate_hz = soundfile.read(io.BytesIO(encoded), dtype="float32")
    if rate_hz != RATE_HZ:
        raise ValueError(f"{path.name} is at {rate_hz} Hz, not at {RATE_HZ} Hz")
    return RecordedClip(encoded, samples)
