"""The synthetic corpus: shards of read sentences, made in parallel and resumable.

A shard is one `.npz`: all samples in one int16 row with offsets, phones with their end times, and who read it how.
Shard k is decided by (seed, k) alone, so any number of processes may build any of them in any order.
"""

from __future__ import annotations

import json
import os
import random
import re
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from oncue_engine.training.sentences import everyday_sentences, harvest_sentences
from oncue_engine.training.teacher import TeacherFailed, read_aloud
from oncue_engine.training.virtual_speakers import EMOTION_RULES, training_speakers

__all__ = ["CorpusConfig", "Item", "build_corpus", "load_shard", "text_tokens", "write_shard"]

_MARKS = {",": ",", ";": ",", ":": ",", ".": ".", "?": "?", "!": "!"}


@dataclass(frozen=True, slots=True)
class CorpusConfig:
    items: int = 16000
    items_per_shard: int = 500
    everyday_share: float = 0.3
    emotional_share: float = 0.45
    paired_share: float = 0.08
    """Items that join two sentences, so that long utterances occur."""
    seed: int = 20261122


@dataclass(frozen=True, slots=True, eq=False)
class Item:
    samples: npt.NDArray[np.int16]
    """[num_samples] at 16 kHz."""
    phones: tuple[str, ...]
    """flite's phones with `pau` for silence."""
    phone_ends_s: tuple[float, ...]
    sentence: str
    speaker: str
    emotion: str


def text_tokens(sentence: str, phones: tuple[str, ...]) -> list[str]:
    """The text side of an item: its phones, with a mark for each pause inside and the closing mark.

    Pauses take the sentence's own marks when their numbers agree, else a comma.
    """
    marks = [_MARKS[mark] for mark in re.findall(r"[,;:.?!](?=\s|$)", sentence)]
    closing = marks.pop() if marks else "."
    inner = list(phones)
    while inner and inner[0] == "pau":
        inner.pop(0)
    while inner and inner[-1] == "pau":
        inner.pop()
    pauses = inner.count("pau")
    names = iter(marks if len(marks) == pauses else [","] * pauses)
    return [next(names) if phone == "pau" else phone for phone in inner] + [closing]


def _shard_plan(config: CorpusConfig, shard: int, sentences: list[str]) -> list[tuple[str, int, int, float]]:
    """(sentence, speaker index, emotion index, speed) for each item of a shard."""
    rng = random.Random(f"{config.seed}/{shard}")
    speakers = training_speakers()
    begin = shard * config.items_per_shard
    plan = []
    for i in range(begin, begin + config.items_per_shard):
        sentence = sentences[i % len(sentences)]
        if rng.random() < config.paired_share:
            sentence = f"{sentence} {rng.choice(sentences)}"
        speaker = rng.randrange(len(speakers))
        emotion = rng.randrange(1, len(EMOTION_RULES)) if rng.random() < config.emotional_share else 0
        speed = 1.0 if rng.random() < 0.4 else rng.uniform(0.78, 1.28)
        if emotion != 0:
            speed = 1.0 + 0.3 * (speed - 1.0)  # pace is a cue of the emotion
        plan.append((sentence, speaker, emotion, speed))
    return plan


def corpus_sentences(config: CorpusConfig) -> list[str]:
    """All sentences in the order in which items use them."""
    everyday = everyday_sentences(int(config.items * config.everyday_share), config.seed)
    harvested = harvest_sentences()
    rng = random.Random(config.seed)
    rng.shuffle(harvested)
    chosen = everyday + harvested[: config.items - len(everyday)]
    rng.shuffle(chosen)
    return chosen


def _build_shard(config: CorpusConfig, shard: int, folder: Path, sentences: list[str]) -> Path:
    target = folder / f"shard-{shard:04d}.npz"
    if target.exists():
        return target
    speakers = training_speakers()
    items = []
    for sentence, speaker, emotion, speed in _shard_plan(config, shard, sentences):
        try:
            reading = read_aloud(sentence, speakers[speaker], EMOTION_RULES[emotion], speed)
        except TeacherFailed:
            continue
        items.append(
            Item(
                reading.samples, reading.phones, reading.phone_ends_s, sentence, speakers[speaker].name,
                EMOTION_RULES[emotion].name,
            )
        )  # fmt: skip
    write_shard(target, items)
    return target


def write_shard(target: Path, items: Sequence[Item]) -> None:
    """At least one item; `target` appears only once it is whole."""
    rows = [
        {
            "sentence": item.sentence,
            "phones": item.phones,
            "ends": item.phone_ends_s,
            "speaker": item.speaker,
            "emotion": item.emotion,
        }
        for item in items
    ]
    offsets = np.cumsum([0] + [len(item.samples) for item in items])
    samples = np.concatenate([item.samples for item in items])
    partial = target.with_suffix(f".{os.getpid()}.partial.npz")
    np.savez(partial, samples=samples, offsets=offsets, rows=np.array(json.dumps(rows)))
    partial.replace(target)


def load_shard(path: Path) -> list[Item]:
    """All items of a shard."""
    with np.load(path) as data:
        samples, offsets, rows = data["samples"], data["offsets"], json.loads(str(data["rows"]))
    return [
        Item(
            samples[offsets[i] : offsets[i + 1]],
            tuple(row["phones"]),
            tuple(row["ends"]),
            row["sentence"],
            row["speaker"],
            row["emotion"],
        )
        for i, row in enumerate(rows)
    ]


def build_corpus(config: CorpusConfig, folder: Path, workers: int) -> list[Path]:
    """Build what is missing of the corpus in `folder`; returns the shards in order."""
    folder.mkdir(parents=True, exist_ok=True)
    sentences = corpus_sentences(config)
    shards = -(-config.items // config.items_per_shard)
    with ProcessPoolExecutor(workers) as pool:
        jobs = [pool.submit(_build_shard, config, k, folder, sentences) for k in range(shards)]
        for job in tqdm(as_completed(jobs), total=shards, desc="corpus", unit="shard"):
            job.result()
    return sorted(folder.glob("shard-[0-9][0-9][0-9][0-9].npz"))
