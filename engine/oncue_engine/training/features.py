"""Everything the stages read of the corpus, computed once per shard and kept in float16.

Rows of all items of a shard lie end to end; `semantic_offsets` and `mel_offsets` say where each item begins.
"""

from __future__ import annotations

import json
import os
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

from oncue_engine.frontend.mel import MelConfig, log_mel
from oncue_engine.frontend.phones import PHONES as SPOKEN
from oncue_engine.frontend.phones import phone_id
from oncue_engine.frontend.speech_features import speech_features
from oncue_engine.training.corpus import Item, load_shard, text_tokens
from oncue_engine.training.pitch import track_pitch
from oncue_engine.training.speakers import corpus_speakers
from oncue_engine.training.teacher import SAMPLE_RATE_HZ
from oncue_engine.training.virtual_speakers import EMOTION_RULES

__all__ = ["PHONES", "FeatureItem", "build_features", "load_features", "nano_mel_config"]

STRIDE = 4
TOKEN_RATE_HZ = 25.0
FRAMES_PER_TOKEN = 2.5
PHONES: tuple[str, ...] = ("pau", *SPOKEN)


@dataclass(frozen=True, slots=True, eq=False)
class FeatureItem:
    """One utterance: T semantic frames of 40 ms, F = trunc(2.5 T) mel frames of 16 ms, L text tokens."""

    speech: npt.NDArray[np.float16]
    """[T, 320]: the encoder's input."""
    mel: npt.NDArray[np.float16]
    """[F, 80] log mel."""
    phones: npt.NDArray[np.uint8]
    """[T, 2]: index into PHONES for each half of the frame."""
    pitch: npt.NDArray[np.float16]
    """[T]: log2 of F0 over the speaker's own F0; 0 where unvoiced."""
    voiced: npt.NDArray[np.bool_]
    energy: npt.NDArray[np.float16]
    """[T]: dB over the clip's mean."""
    text: tuple[int, ...]
    speaker: int
    emotion: int
    sentence: str


def nano_mel_config() -> MelConfig:
    """The embedded model's mel: 16 kHz, 80 bands, hop 256 (62.5 frames a second)."""
    return MelConfig(
        sample_rate_hz=SAMPLE_RATE_HZ, n_fft=1024, win_length=1024, hop_length=256, n_mels=80, fmin=0.0, fmax=None
    )


def _frame_phones(item: Item, num_frames: int) -> npt.NDArray[np.uint8]:
    times = (np.arange(num_frames)[:, None] * 0.04 + np.array([0.0175, 0.0375])[None]).ravel()
    which = np.minimum(np.searchsorted(np.array(item.phone_ends_s), times), len(item.phones) - 1)
    ids = np.array([PHONES.index(phone) if phone in PHONES else 0 for phone in item.phones], dtype=np.uint8)
    return ids[which].reshape(num_frames, 2)


def item_features(item: Item, speaker: int, base_f0_hz: float) -> FeatureItem:
    """Features of one item; `base_f0_hz` is the speaker's own mean F0."""
    wave = item.samples.astype(np.float32) / 32768.0
    tensor = torch.from_numpy(wave)
    speech, mask = speech_features(tensor, stride=STRIDE)
    num_frames = int(mask.sum())
    mel = log_mel(tensor[None], nano_mel_config())[0].T  # [F, 80]
    want = int(num_frames * FRAMES_PER_TOKEN)
    if mel.shape[0] < want:
        mel = torch.cat([mel, mel[-1:].expand(want - mel.shape[0], -1)])
    f0_hz, energy_db = track_pitch(wave, SAMPLE_RATE_HZ, TOKEN_RATE_HZ, num_frames)
    voiced = f0_hz > 0
    relative = np.where(voiced, np.log2(np.maximum(f0_hz, 1.0) / base_f0_hz), 0.0)
    return FeatureItem(
        speech=speech[:num_frames].numpy().astype(np.float16),
        mel=mel[:want].numpy().astype(np.float16),
        phones=_frame_phones(item, num_frames),
        pitch=np.clip(relative, -1.5, 1.5).astype(np.float16),
        voiced=voiced,
        energy=np.clip(energy_db - 10 * np.log10(np.mean(wave**2) + 1e-8), -40, 20).astype(np.float16),
        text=tuple(phone_id(token) for token in text_tokens(item.sentence, item.phones)),
        speaker=speaker,
        emotion=[rule.name for rule in EMOTION_RULES].index(item.emotion),
        sentence=item.sentence,
    )


def _build_shard(source: Path, target: Path) -> Path:
    if target.exists():
        return target
    torch.set_num_threads(1)
    speakers = {s.name: (i, s) for i, s in enumerate(corpus_speakers(source.parent))}
    items = []
    for item in load_shard(source):
        index, speaker = speakers[item.speaker]
        items.append(item_features(item, index, speaker.f0_hz))
    rows = [{"text": i.text, "speaker": i.speaker, "emotion": i.emotion, "sentence": i.sentence} for i in items]
    partial = target.with_suffix(f".{os.getpid()}.partial.npz")
    np.savez(
        partial,
        speech=np.concatenate([i.speech for i in items]),
        mel=np.concatenate([i.mel for i in items]),
        phones=np.concatenate([i.phones for i in items]),
        pitch=np.concatenate([i.pitch for i in items]),
        voiced=np.concatenate([i.voiced for i in items]),
        energy=np.concatenate([i.energy for i in items]),
        semantic_offsets=np.cumsum([0] + [len(i.speech) for i in items]),
        mel_offsets=np.cumsum([0] + [len(i.mel) for i in items]),
        rows=np.array(json.dumps(rows)),
    )
    partial.replace(target)
    return target


def build_features(corpus: Path, folder: Path, workers: int) -> list[Path]:
    """Features of every shard in `corpus` that has none yet; returns the feature files in order."""
    folder.mkdir(parents=True, exist_ok=True)
    shards = sorted(p for p in corpus.glob("*.npz") if "partial" not in p.name)
    with ProcessPoolExecutor(workers) as pool:
        jobs = [pool.submit(_build_shard, shard, folder / shard.name) for shard in shards]
        for job in tqdm(as_completed(jobs), total=len(jobs), desc="features", unit="shard"):
            job.result()
    return [folder / shard.name for shard in shards]


def load_features(paths: list[Path]) -> list[FeatureItem]:
    """All items of the given feature files, held in memory."""
    items: list[FeatureItem] = []
    for path in paths:
        with np.load(path) as data:
            d = {name: data[name] for name in data.files}
        semantic, mel = d["semantic_offsets"], d["mel_offsets"]
        for i, row in enumerate(json.loads(str(d["rows"]))):
            s, m = slice(semantic[i], semantic[i + 1]), slice(mel[i], mel[i + 1])
            items.append(
                FeatureItem(
                    d["speech"][s], d["mel"][m], d["phones"][s], d["pitch"][s], d["voiced"][s], d["energy"][s],
                    tuple(row["text"]), row["speaker"], row["emotion"], row["sentence"],
                )
            )  # fmt: skip
    return items
