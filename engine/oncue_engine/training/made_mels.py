"""Between S2M and the vocoder: mels that the trained model makes for training items, in step with their recordings.

The vocoder will read such mels, which are smoother than recorded ones. Each item is rendered at its own length from its
own codes and latents, with another clip of its speaker as prompt, so that frame f still describes the recording's
samples around frame f.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from tqdm import tqdm

from oncue_engine.model.codec import SemanticCodec
from oncue_engine.model.s2mel import S2Mel
from oncue_engine.training.s2mel import MelItem, S2MelTraining, batch_tensors, render, whole_item

__all__ = ["load_made_mels", "make_mels", "save_made_mels"]

_PROMPT_CODES = 30
"""1.2 s, as in synthesis (`s2m_prompt_limit_s`)."""

MadeMels = Mapping[tuple[str, int], npt.NDArray[np.float16]]
"""[F, 80] by sentence and speaker index."""


def make_mels(
    model: S2Mel, codec: SemanticCodec, items: Sequence[MelItem], steps: int, guidance: float, seed: int
) -> dict[int, npt.NDArray[np.float16]]:
    """[F, 80] by the item's index, as many frames as its codes have; the noise is decided by `seed`.

    An item whose speaker has no other clip that is long enough for a prompt has none.
    """
    by_speaker: dict[int, list[MelItem]] = defaultdict(list)
    for item in items:
        if len(item.codes) >= _PROMPT_CODES:
            by_speaker[item.speaker].append(item)
    modules, settings = nn.ModuleDict({"s2mel": model}), S2MelTraining()
    made = {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for number, item in enumerate(tqdm(items, desc="made mels", unit="item")):
            rng = random.Random(f"{seed}/{number}")
            prompts = [clip for clip in by_speaker[item.speaker] if clip is not item]
            if not prompts:
                continue
            batch = whole_item(rng.choice(prompts), _PROMPT_CODES, item)
            with torch.no_grad():
                data = batch_tensors(modules, codec, batch, latent_share=1.0)
                mel = render(model, data, settings, steps, guidance)[0, :, int(data["begins"][0]) :]
            made[number] = mel.T.numpy().astype(np.float16)
    return made


def save_made_mels(path: Path, keys: Sequence[tuple[str, int]], mels: Sequence[npt.NDArray[np.float16]]) -> None:
    """Write a shard: all mels end to end, with offsets, and the sentence and speaker of each."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial.npz")
    offsets = np.cumsum([0] + [len(mel) for mel in mels])
    np.savez(partial, mel=np.concatenate(mels), offsets=offsets, keys=np.array(json.dumps(keys)))
    partial.replace(path)


def load_made_mels(paths: Sequence[Path]) -> MadeMels:
    """All mels of some shards."""
    found: dict[tuple[str, int], npt.NDArray[np.float16]] = {}
    for path in paths:
        with np.load(path) as data:
            mel, offsets = data["mel"], data["offsets"]
            for i, (sentence, speaker) in enumerate(json.loads(str(data["keys"]))):
                found[sentence, speaker] = mel[offsets[i] : offsets[i + 1]]
    return found
