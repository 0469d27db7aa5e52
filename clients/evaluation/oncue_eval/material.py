"""The evaluation's fixed sentences and clips. data/README.md says where they come from."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable

import numpy as np
import numpy.typing as npt
import soundfile  # type: ignore[import-untyped]

__all__ = [
    "RATE_HZ",
    "RecordedClip",
    "emotion_clips",
    "emotion_words",
    "everyday_sentences",
    "plain_seconds",
    "readings",
    "voice_clips",
]

RATE_HZ = 16000
"""Rate of all clips, and the one that the judges listen at."""


@dataclass(frozen=True, slots=True, eq=False)
class RecordedClip:
    """A teacher clip as it is sent, and as it is heard."""

    speaker: str
    emotion: str
    text: str
    encoded: bytes
    """FLAC."""
    samples: npt.NDArray[np.float32]
    """[num_samples] in [-1, 1] at RATE_HZ."""


def everyday_sentences(limit: int | None = None) -> list[str]:
    """The thirty sentences of data/sentences.txt, or the first `limit` of them."""
    lines = (_data() / "sentences.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line][:limit]


def voice_clips() -> dict[str, RecordedClip]:
    """By held-out speaker: what its voice is registered from. All say one sentence."""
    return {clip.speaker: clip for clip in _clips("voices")}


def readings() -> list[RecordedClip]:
    """Each everyday sentence in its order, read neutrally by the held-out speakers in turn: the ground truth."""
    return _clips("readings")


def emotion_clips() -> list[RecordedClip]:
    """Every emotion acted by some of the held-out speakers, in sentences that are not among the everyday ones."""
    return _clips("emotions")


def emotion_words() -> Mapping[str, list[str]]:
    """Descriptions of each emotion in words."""
    loaded: dict[str, list[str]] = json.loads((_data() / "emotion_words.json").read_text(encoding="utf-8"))
    return loaded


def plain_seconds(text: str) -> float:
    """How long a plain teacher voice speaks one of the fixed sentences, without its silences. KeyError for others."""
    return float(json.loads((_data() / "plain_seconds.json").read_text(encoding="utf-8"))[text])


def _data() -> Traversable:
    return resources.files("oncue_eval") / "data"


def _clips(folder: str) -> list[RecordedClip]:
    listed = json.loads((_data() / folder / "clips.json").read_text(encoding="utf-8"))
    return [_clip(_data() / folder / row["file"], row["speaker"], row["emotion"], row["text"]) for row in listed]


def _clip(path: Traversable, speaker: str, emotion: str, text: str) -> RecordedClip:
    encoded = path.read_bytes()
    samples, rate_hz = soundfile.read(io.BytesIO(encoded), dtype="float32")
    if rate_hz != RATE_HZ:
        raise ValueError(f"{path.name} is at {rate_hz} Hz, not at {RATE_HZ} Hz")
    return RecordedClip(speaker, emotion, text, encoded, samples)
