"""The emotion bank: a few reference embeddings for each emotion, from labelled clips (spec 4.1, 4.2).

Each row is a pair: the style of some speakers (feat1) and the emotion vector of how they act (feat2). Weights on an
emotion take the row whose style is nearest to the voice's, so the rows of one emotion should lie apart in style: the
clips are grouped by style, and a row is its group's mean. What one sentence or one speaker adds to an emotion vector
falls out of a mean; the emotion is what the group has in common.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, zip_longest
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from oncue_engine.checkpoints.config import ModelConfig
from oncue_engine.checkpoints.layout import EMOTION_BANK_FILE
from oncue_engine.frontend.audio import MIN_SECONDS, Waveform
from oncue_engine.frontend.fbank import fbank, minus_mean
from oncue_engine.frontend.resample import beginning_at, sinc_resample
from oncue_engine.frontend.speech_features import speech_features
from oncue_engine.model.campplus import CampPlus
from oncue_engine.model.emotion_bank import EMOTION_NAMES, EmotionBank
from oncue_engine.model.t2s import T2S
from oncue_engine.training.corpus import Item
from oncue_engine.training.teacher import SAMPLE_RATE_HZ

__all__ = [
    "ROWS_PER_EMOTION",
    "ActedClip",
    "PromptNetworks",
    "build_bank",
    "choose_actors",
    "embed_clip",
    "install_bank",
    "save_bank",
    "waveform",
]

ROWS_PER_EMOTION = 5
_ENCODER_RATE_HZ = 16_000
_GROUPING_ROUNDS = 20
_COUNTS_KEY = "emo_num"
_COUNTS_LINES = re.compile(rf"^{_COUNTS_KEY}:[^\n]*\n(?:[ \t]*-[^\n]*\n)*", re.MULTILINE)


@dataclass(frozen=True, slots=True, eq=False)
class PromptNetworks:
    """What makes a style and an emotion vector of a clip."""

    config: ModelConfig
    semantic: Callable[[Tensor, Tensor], Tensor]
    """Features [B,T,80*stride] and mask [B,T] -> normalised semantic features [B,T,D]."""
    style: CampPlus
    t2s: T2S


@dataclass(frozen=True, slots=True, eq=False)
class ActedClip:
    """One labelled clip, embedded."""

    emotion: str
    """Of EMOTION_NAMES."""
    style: Tensor
    """[S]"""
    vector: Tensor
    """[M], in the space that T2S adds to its latents (after `emo_layer`)."""


@torch.inference_mode()
def embed_clip(networks: PromptNetworks, clip: Waveform, emotion: str) -> ActedClip:
    """As prompts are embedded when they are used (spec 1.1), cut to the model's prompt limit."""
    speech = networks.config.speech

    def at(rate_hz: int) -> Tensor:
        return beginning_at(clip.samples, clip.sample_rate_hz, rate_hz, speech.prompt_limit_s)

    # Style is heard through the voice's path, by way of the native rate; emotion goes to 16 kHz directly.
    through_native = sinc_resample(at(speech.sample_rate_hz), speech.sample_rate_hz, _ENCODER_RATE_HZ)
    style = networks.style(minus_mean(fbank(through_native))[None])[0]
    features, mask = speech_features(at(_ENCODER_RATE_HZ), speech.feature_stride)
    semantic = networks.semantic(features[None], mask[None])
    vector = networks.t2s.emotion_vector(semantic, torch.tensor([semantic.shape[1]]))[0]
    return ActedClip(emotion, style.clone(), vector.clone())


def choose_actors(clips: Sequence[Item], per_emotion: int) -> list[Item]:
    """Up to `per_emotion` clips of the corpus for each emotion, spread evenly over the speakers who act it.

    Clips too short to be a prompt are passed over.
    """
    by_actor: dict[str, dict[str, list[Item]]] = defaultdict(lambda: defaultdict(list))
    for clip in clips:
        if len(clip.samples) >= MIN_SECONDS * SAMPLE_RATE_HZ:
            by_actor[clip.emotion][clip.speaker].append(clip)
    chosen = []
    for emotion in sorted(by_actor):
        rounds = zip_longest(*(by_actor[emotion][speaker] for speaker in sorted(by_actor[emotion])))
        turns = (clip for turn in rounds for clip in turn if clip is not None)
        chosen += list(islice(turns, per_emotion))
    return chosen


def waveform(clip: Item) -> Waveform:
    """A clip of the corpus as a reference clip."""
    return Waveform(torch.from_numpy(clip.samples.astype(np.float32) / 32768.0), SAMPLE_RATE_HZ)


def build_bank(clips: Sequence[ActedClip], rows_per_emotion: int = ROWS_PER_EMOTION) -> EmotionBank:
    """Up to `rows_per_emotion` rows for each emotion that has clips, in the order of EMOTION_NAMES.

    Decided by the clips alone, whatever their order. ValueError where there are none, or for an unknown emotion.
    """
    by_emotion: dict[str, list[ActedClip]] = defaultdict(list)
    for clip in clips:
        by_emotion[clip.emotion].append(clip)
    unknown = sorted(set(by_emotion) - set(EMOTION_NAMES))
    if unknown or not clips:
        raise ValueError(f"no emotion is called {', '.join(unknown)}" if unknown else "no clips for an emotion bank")
    styles, vectors, counts = [], [], []
    for name in EMOTION_NAMES:
        acted = sorted(by_emotion[name], key=lambda clip: clip.style.tolist())
        groups = _group_by_style(torch.stack([clip.style for clip in acted]), rows_per_emotion) if acted else []
        counts.append(len(groups))
        for group in groups:
            styles.append(functional.normalize(torch.stack([acted[i].style for i in group]), dim=1).mean(0))
            vectors.append(torch.stack([acted[i].vector for i in group]).mean(0))
    return EmotionBank(torch.stack(styles), torch.stack(vectors), tuple(counts))


def _group_by_style(styles: Tensor, most: int) -> list[list[int]]:
    """Indices of styles [n,S] in at most `most` groups that lie together by angle: spherical k-means.

    It begins with the style nearest to the mean, and then each time the one farthest from those taken.
    """
    unit = functional.normalize(styles.double(), dim=1)
    first = int((unit @ unit.mean(0)).argmax())
    nearest = unit @ unit[first]
    centres = [unit[first]]
    while len(centres) < min(most, len(unit)):
        farthest = int(nearest.argmin())
        if nearest[farthest] > 1.0 - 1e-9:
            break  # the rest are copies of what is taken
        centres.append(unit[farthest])
        nearest = torch.maximum(nearest, unit @ unit[farthest])
    stacked = torch.stack(centres)
    for _ in range(_GROUPING_ROUNDS):
        label = (unit @ stacked.T).argmax(1)
        sums = torch.stack([unit[label == k].sum(0) for k in range(len(stacked))])
        emptied = sums.norm(dim=1, keepdim=True) == 0.0
        stacked = torch.where(emptied, stacked, functional.normalize(sums, dim=1))
    label = (unit @ stacked.T).argmax(1)
    groups = [torch.nonzero(label == k).flatten().tolist() for k in range(len(stacked))]
    return [group for group in groups if group]


def save_bank(bank: EmotionBank, path: Path) -> None:
    """feat1 [R,S] and feat2 [R,M] in float16, and the counts beside them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {"feat1": bank.styles, "feat2": bank.emotions}
    save_file(
        {key: value.to(torch.float16).contiguous() for key, value in tensors.items()},
        path,
        metadata={_COUNTS_KEY: ",".join(str(count) for count in bank.counts)},
    )
    path.chmod(0o644)


def install_bank(source: Path, folder: Path) -> Mapping[str, int]:
    """Put a saved bank into a model folder, and its counts into that folder's config. Returns rows by emotion."""
    with safe_open(source, framework="pt") as file:
        counts = [int(count) for count in file.metadata()[_COUNTS_KEY].split(",")]
    target, config = folder / EMOTION_BANK_FILE, folder / "config.yaml"
    target.write_bytes(source.read_bytes())
    text = config.read_text(encoding="utf-8")
    if not text.endswith("\n"):
        text += "\n"
    line = f"{_COUNTS_KEY}: [{', '.join(str(count) for count in counts)}]\n"
    # Edited as text: a config's comments are worth keeping.
    config.write_text(
        _COUNTS_LINES.sub(line, text, count=1) if _COUNTS_LINES.search(text) else text + line, encoding="utf-8"
    )
    return dict(zip(EMOTION_NAMES, counts, strict=True))
