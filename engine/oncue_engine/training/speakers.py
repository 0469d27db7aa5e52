"""Who speaks in a corpus: names in the order of their indices, and each one's own pitch.

A corpus of recordings says so in `speakers.json`; without that file the speakers are the virtual ones.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from oncue_engine.training.virtual_speakers import training_speakers

__all__ = ["CorpusSpeaker", "corpus_speakers", "write_speakers"]

_FILE = "speakers.json"
_VOICE_F0_HZ = {"slt": 168.0, "rms": 100.0, "awb": 127.0, "kal16": 95.0}


@dataclass(frozen=True, slots=True)
class CorpusSpeaker:
    name: str
    f0_hz: float
    """The speaker's own middle F0, against which intonation is told."""


def corpus_speakers(corpus: Path) -> tuple[CorpusSpeaker, ...]:
    """The speakers of the corpus in the folder `corpus`; an item's speaker index is the place in it."""
    path = corpus / _FILE
    if path.exists():
        return tuple(CorpusSpeaker(**row) for row in json.loads(path.read_text(encoding="utf-8")))
    return tuple(
        CorpusSpeaker(speaker.name, _VOICE_F0_HZ[speaker.base] * speaker.f0_shift * speaker.warp)
        for speaker in training_speakers()
    )


def write_speakers(corpus: Path, speakers: Sequence[CorpusSpeaker]) -> None:
    """Beside the shards."""
    text = json.dumps([asdict(speaker) for speaker in speakers], indent=1)
    (corpus / _FILE).write_text(text + "\n", encoding="utf-8")
