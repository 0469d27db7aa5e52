"""A corpus from real recordings: the same shards as the virtual speakers' (corpus.py), so that every stage reads it.

    python -m oncue_engine.training.recordings FOLDER      or in recipe.yaml    corpus: {recordings: FOLDER}

The front end gives each word its phones, and forced alignment their times: by the phone head of the trained encoder
where the training folder has one, else by Gaussians learnt from the recordings themselves (phone_alignment.py). The
head is better, and must not be a condition: the encoder is trained on this very corpus. After a first training the
corpus may be built again, with the times of the encoder's head.

A pause becomes the mark that stands there, or a comma; a mark without a pause is left out, as in the virtual corpus.
One gain for each speaker brings the middle clip to the level of the virtual ones: how loud clips are among each other
belongs to their emotion. What cannot be used is skipped and reported, with the reason, in `skipped.jsonl`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from oncue_engine.errors import EngineError
from oncue_engine.frontend.audio import decode_reference
from oncue_engine.frontend.resample import resample
from oncue_engine.training.corpus import Item, write_shard
from oncue_engine.training.phone_alignment import (
    AlignmentFailed,
    EncoderScorer,
    PhoneScorer,
    Samples,
    align,
    learn_gaussians,
)
from oncue_engine.training.pitch import track_pitch
from oncue_engine.training.speakers import CorpusSpeaker, write_speakers
from oncue_engine.training.spoken_words import Reader, SpokenWords
from oncue_engine.training.teacher import SAMPLE_RATE_HZ
from oncue_engine.training.transcripts import Recording, Skipped, find_recordings
from oncue_engine.training.virtual_speakers import EMOTION_RULES

__all__ = ["Report", "build_from_recordings"]

_LONGEST_S = 16.0
_LEVEL_RMS = 0.06
_PITCH_CLIPS = 40
_LEARNT_CLIPS = 400
_EMOTIONS = tuple(rule.name for rule in EMOTION_RULES)
_NEUTRAL = ("", "neutral")
_SKIPPED = "skipped.jsonl"
_BY_ENCODER = "the encoder's phone head"
_BY_GAUSSIANS = "Gaussians from a flat start"


@dataclass(frozen=True, slots=True)
class Report:
    shards: list[Path]
    clips: int
    seconds: float
    skipped: list[Skipped]
    aligned_by: str


@dataclass(frozen=True, slots=True)
class _Clip:
    """A recording that was opened and found usable."""

    recording: Recording
    emotion: str
    words: SpokenWords
    seconds: float
    rms: float


def _samples(path: Path) -> Samples:
    """[n] at 16 kHz, mono. Raises ReferenceRejected, or AlignmentFailed for what is too long."""
    wave = decode_reference(path)
    if wave.seconds > _LONGEST_S:
        raise AlignmentFailed(f"it is {wave.seconds:.1f} s long; at most {_LONGEST_S:g} s can be learnt in one piece")
    return resample(wave.samples, wave.sample_rate_hz, SAMPLE_RATE_HZ).numpy()


def _opened(recording: Recording, reader: Reader) -> _Clip | Skipped:
    emotion = _EMOTIONS[0] if recording.emotion in _NEUTRAL else recording.emotion
    if emotion not in _EMOTIONS:
        return Skipped(recording.path, f"emotion {recording.emotion!r} is not one of {', '.join(_EMOTIONS)}")
    try:
        words = reader.read(recording.text)
        samples = _samples(recording.path)
    except (EngineError, AlignmentFailed) as error:
        return Skipped(recording.path, str(error))
    return _Clip(recording, emotion, words, len(samples) / SAMPLE_RATE_HZ, float(np.sqrt(np.mean(samples**2))))


def _pitch_hz(clips: Sequence[_Clip]) -> float:
    """Median F0 of voiced frames over some clips, calm ones first."""
    calm_first = sorted(clips, key=lambda clip: clip.emotion != _EMOTIONS[0])[:_PITCH_CLIPS]
    voiced = []
    for clip in calm_first:
        samples = _samples(clip.recording.path)
        f0_hz, _ = track_pitch(samples, SAMPLE_RATE_HZ, 50.0, max(1, int(clip.seconds * 50)))
        voiced.append(f0_hz[f0_hz > 0])
    together = np.concatenate(voiced)
    return float(np.median(together)) if len(together) else 120.0


def _item(clip: _Clip, gain: float, scorer: PhoneScorer) -> Item:
    """Raises AlignmentFailed when words and sound do not fit each other."""
    samples = _samples(clip.recording.path)
    told = scorer.score(samples)
    path, fit = align(told.scores, clip.words.states())
    if fit < scorer.floor:
        raise AlignmentFailed(f"its words do not fit its sound: score {fit:.1f}, under {scorer.floor:.1f}")
    ends = told.begin_s + told.frame_s * (np.flatnonzero(np.diff(path, append=-1)) + 1)
    spoken = clip.words.spoken(path[np.flatnonzero(np.diff(path, append=-1))], ends, clip.seconds)
    loud = samples * gain
    loud = loud * min(1.0, 0.98 / (float(np.abs(loud).max()) + 1e-9))
    return Item(
        np.round(loud * 32767.0).astype(np.int16), spoken.phones, spoken.ends_s, spoken.sentence,
        clip.recording.speaker, clip.emotion,
    )  # fmt: skip


def _build_shard(target: Path, clips: Sequence[_Clip], gains: dict[str, float], scorer: PhoneScorer) -> list[Skipped]:
    torch.set_num_threads(1)
    items, skipped = [], []
    for clip in clips:
        try:
            items.append(_item(clip, gains[clip.recording.speaker], scorer))
        except (EngineError, AlignmentFailed) as error:
            skipped.append(Skipped(clip.recording.path, str(error)))
    if items:
        write_shard(target, items)
    return skipped


def _learnt(clips: Sequence[_Clip]) -> PhoneScorer:
    step = max(1, len(clips) // _LEARNT_CLIPS)
    return learn_gaussians([(_samples(clip.recording.path), clip.words.states()) for clip in clips[::step]])


class _Progress:
    """What a corpus folder was begun with, in `recordings.json`, and the report once it is whole."""

    def __init__(self, corpus: Path, recordings: Sequence[Recording]) -> None:
        self._corpus = corpus
        self._path = corpus / "recordings.json"
        text = "\n".join(f"{r.path}|{r.path.stat().st_size}|{r.text}|{r.speaker}|{r.emotion}" for r in recordings)
        self._digest = hashlib.sha256(text.encode()).hexdigest()

    def begin(self, aligned_by: str) -> str:
        """How this corpus is aligned: as it was begun. Raises ValueError where another one was begun here."""
        if any(self._corpus.glob("shard-*.npz")):
            begun = self._read()
            if begun.get("recordings") != self._digest:
                raise ValueError(f"{self._corpus} was begun from other recordings: remove it to build it anew")
            return str(begun["aligned_by"])
        self._write({"recordings": self._digest, "aligned_by": aligned_by})
        return aligned_by

    def finished(self) -> Report | None:
        found = self._read()
        if found.get("recordings") != self._digest or "clips" not in found:
            return None
        rows = [json.loads(line) for line in (self._corpus / _SKIPPED).read_text(encoding="utf-8").splitlines()]
        return Report(
            [self._corpus / name for name in found["shards"]], found["clips"], found["seconds"],
            [Skipped(Path(row["file"]), row["reason"]) for row in rows], found["aligned_by"],
        )  # fmt: skip

    def finish(self, report: Report) -> None:
        names = [path.name for path in report.shards]
        self._write(
            {
                "recordings": self._digest, "aligned_by": report.aligned_by, "clips": report.clips,
                "seconds": round(report.seconds, 3), "shards": names,
            }
        )  # fmt: skip

    def _read(self) -> dict[str, Any]:
        return json.loads(self._path.read_text(encoding="utf-8")) if self._path.exists() else {}

    def _write(self, content: dict[str, Any]) -> None:
        self._path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def build_from_recordings(
    folder: Path, corpus: Path, workers: int, encoder: EncoderScorer | None = None, items_per_shard: int = 500
) -> Report:
    """Build the corpus in the folder `corpus` from the recordings under `folder`; shards that are there stay.

    Raises FileNotFoundError without the folder, ValueError when nothing in it can be used or when `corpus` holds
    another corpus.
    """
    recordings, skipped = find_recordings(folder)
    corpus.mkdir(parents=True, exist_ok=True)
    progress = _Progress(corpus, recordings)
    if report := progress.finished():
        return report
    aligned_by = progress.begin(_BY_ENCODER if encoder else _BY_GAUSSIANS)
    if aligned_by == _BY_ENCODER and encoder is None:
        raise ValueError(f"{corpus} was begun with {_BY_ENCODER}, and now there is no encoder")
    reader = Reader.load()
    clips = []
    for recording in tqdm(recordings, desc="recordings", unit="clip"):
        found = _opened(recording, reader)
        (skipped if isinstance(found, Skipped) else clips).append(found)  # type: ignore[arg-type]
    if not clips:
        raise ValueError(f"no recording under {folder} can be used{_first(skipped)}")
    by_speaker: dict[str, list[_Clip]] = defaultdict(list)
    for clip in clips:
        by_speaker[clip.recording.speaker].append(clip)
    write_speakers(corpus, [CorpusSpeaker(name, _pitch_hz(own)) for name, own in sorted(by_speaker.items())])
    gains = {name: _LEVEL_RMS / float(np.median([c.rms for c in own])) for name, own in by_speaker.items()}
    scorer = encoder if encoder and aligned_by == _BY_ENCODER else _learnt(clips)
    jobs = [
        (corpus / f"shard-{k:04d}.npz", clips[begin : begin + items_per_shard])
        for k, begin in enumerate(range(0, len(clips), items_per_shard))
    ]
    with ProcessPoolExecutor(workers) as pool:
        waiting = [pool.submit(_build_shard, path, part, gains, scorer) for path, part in jobs if not path.exists()]
        for job in tqdm(waiting, desc="alignment", unit="shard"):
            skipped.extend(job.result())
    _report_skipped(corpus, skipped)
    shards = [path for path, _ in jobs if path.exists()]
    if not shards:
        raise ValueError(f"no recording under {folder} fits its words{_first(skipped)}")
    left = {skip.path for skip in skipped}
    kept = [clip for clip in clips if clip.recording.path not in left]
    report = Report(shards, len(kept), sum(clip.seconds for clip in kept), skipped, aligned_by)
    progress.finish(report)
    return report


def _first(skipped: Sequence[Skipped]) -> str:
    return "".join(f"\n{skip.path}: {skip.reason}" for skip in skipped[:5])


def _report_skipped(corpus: Path, skipped: Sequence[Skipped]) -> None:
    """Added to what earlier, interrupted calls reported."""
    path = corpus / _SKIPPED
    rows = dict.fromkeys(path.read_text(encoding="utf-8").splitlines() if path.exists() else ())
    rows |= dict.fromkeys(json.dumps({"file": str(skip.path), "reason": skip.reason}) for skip in skipped)
    path.write_text("".join(f"{line}\n" for line in rows), encoding="utf-8")


def _lines(report: Report) -> Iterator[str]:
    yield f"{report.clips} clips, {report.seconds / 3600:.2f} h, aligned by {report.aligned_by}"
    for skip in report.skipped:
        yield f"skipped {skip.path}: {skip.reason}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m oncue_engine.training.recordings", description=__doc__)
    parser.add_argument("folder", type=Path, help="recordings with their transcripts")
    parser.add_argument("--corpus", type=Path, required=True, help="where the shards go")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    try:
        report = build_from_recordings(options.folder, options.corpus, options.workers)
    except (ValueError, FileNotFoundError) as error:
        raise SystemExit(str(error)) from None
    print("\n".join(_lines(report)))


if __name__ == "__main__":
    main()
