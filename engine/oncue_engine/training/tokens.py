"""Stage 3: every item as codes, with its normalised features (prompts) and the text token spoken at each code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from tqdm import tqdm

from oncue_engine.model.codec import SemanticCodec
from oncue_engine.training.codec import Statistics
from oncue_engine.training.corpus import load_shard
from oncue_engine.training.encoder import encode
from oncue_engine.training.features import TOKEN_RATE_HZ, load_features

__all__ = ["TokenItem", "build_tokens", "spoken_text_index"]


@dataclass(frozen=True, slots=True, eq=False)
class TokenItem:
    """What T2S and S2M train on: N codes of 40 ms, F mel frames, L text tokens."""

    codes: npt.NDArray[np.int16]
    """[N]"""
    features: npt.NDArray[np.float16]
    """[N, D] normalised: this item as a prompt."""
    mel: npt.NDArray[np.float16]
    """[F, 80]"""
    text: tuple[int, ...]
    spoken: npt.NDArray[np.int16]
    """[N]: index into `text` of the token spoken at each code; -1 before the first phone."""
    speaker: int
    emotion: int
    sentence: str


def spoken_text_index(
    phones: Sequence[str], ends_s: Sequence[float], num_text: int, num_codes: int
) -> npt.NDArray[np.int16]:
    """[num_codes] index of the text token spoken at the middle of each code; -1 in the leading silence.

    The text is the phones without outer silence, and one closing mark (corpus.text_tokens).
    """
    leading = next((i for i, phone in enumerate(phones) if phone != "pau"), 0)
    middles = (np.arange(num_codes) + 0.5) / TOKEN_RATE_HZ
    which = np.searchsorted(np.array(ends_s), middles) - leading
    return np.clip(which, -1, num_text - 1).astype(np.int16)


def build_tokens(
    encoder: nn.Module,
    codec: SemanticCodec,
    statistics: Statistics,
    corpus: Path,
    features: Path,
    folder: Path,
    limit: int | None = None,
) -> list[Path]:
    """Codes and features of every shard that has none yet in `folder`, as .npz; returns the files in order."""
    folder.mkdir(parents=True, exist_ok=True)
    done = []
    sources = sorted(features.glob("shard-[0-9][0-9][0-9][0-9].npz"))[:limit]
    for source in tqdm(sources, desc="tokens", unit="shard"):
        target = folder / source.name
        done.append(target)
        if target.exists():
            continue
        items = load_features([source])
        read = load_shard(corpus / source.name)
        codes: list[npt.NDArray[np.int16]] = [np.zeros(0, np.int16)] * len(items)
        rows: list[npt.NDArray[np.float16]] = [np.zeros((0, 0), np.float16)] * len(items)
        order = sorted(range(len(items)), key=lambda i: len(items[i].speech))
        for begin in range(0, len(order), 24):
            picked = order[begin : begin + 24]
            with torch.inference_mode():
                hidden, mask = encode(encoder, [items[i] for i in picked])
                x = statistics.normalise(hidden)
                ids, _ = codec.quantize(x, mask.sum(1))
            for row, i in enumerate(picked):
                n = len(items[i].speech)
                codes[i] = ids[row, :n].numpy().astype(np.int16)
                rows[i] = x[row, :n].numpy().astype(np.float16)
        spoken = [
            spoken_text_index(r.phones, r.phone_ends_s, len(i.text), len(i.speech))
            for r, i in zip(read, items, strict=True)
        ]
        partial = target.with_suffix(".partial.npz")
        np.savez(partial, codes=np.concatenate(codes), features=np.concatenate(rows), spoken=np.concatenate(spoken))
        partial.replace(target)
    return done


def load_tokens(features: Path, tokens: Sequence[Path]) -> list[TokenItem]:
    """All items of the given token files, joined with their mel and text."""
    out = []
    for path in tokens:
        items = load_features([features / path.name])
        with np.load(path) as data:
            codes, rows, spoken = data["codes"], data["features"], data["spoken"]
        begin = 0
        for item in items:
            s = slice(begin, begin + len(item.speech))
            begin = s.stop
            out.append(
                TokenItem(codes[s], rows[s], item.mel, item.text, spoken[s], item.speaker, item.emotion, item.sentence)
            )
    return out
