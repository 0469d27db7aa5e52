"""Which files a model folder has, and reading them without mercy: a wrong key or shape is an error, never skipped.

    config.yaml                                                     sizes (config.py)
    encoder.safetensors                                             semantic encoder, and stats.mean, stats.var
    codec / t2s / s2mel / campplus / bigvgan .safetensors           one network each, public key names
    text.json                                                       natural pace (pace.py)
    emotion_bank.safetensors (feat1, feat2), or feat1.pt and feat2.pt of the public files; bpe.model, or a ranks file
                                                                    where the model has them
    glossary.yaml                                                   how terms are said (frontend/glossary.py), where it
                                                                    has that
    emotion_words/, or qwen0.6bemo4-merge/ of the public files      words to emotion weights, where it has that

Weights may be float16 on disk; they are computed with as float32. Weight norm may be there or folded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import CheckpointError
from ..model.weight_norm import fold
from ..tensor_file import load_tensor_file
from .config_file import CONFIG_FILE
from .torch_file import read_torch_file

__all__ = [
    "EMOTION_BANK_FILE",
    "EMOTION_WORDS_FOLDER",
    "GLOSSARY_FILE",
    "PACE_FILE",
    "PUBLIC_WORDS_FOLDER",
    "RANKS_FILE",
    "SENTENCEPIECE_FILE",
    "WEIGHT_FILES",
    "assign",
    "file_digest",
    "fill",
    "fingerprint",
    "read_bare_tensor",
    "read_emotion_bank",
    "read_tensors",
]

WEIGHT_FILES = {
    "encoder": "encoder.safetensors",
    "codec": "codec.safetensors",
    "t2s": "t2s.safetensors",
    "s2mel": "s2mel.safetensors",
    "style": "campplus.safetensors",
    "vocoder": "bigvgan.safetensors",
}
PACE_FILE = "text.json"
EMOTION_BANK_FILE = "emotion_bank.safetensors"
EMOTION_BANK_TENSORS = {"feat1": "feat1.pt", "feat2": "feat2.pt"}
"""The bank's two tensors, and the public files that hold one each."""
EMOTION_WORDS_FOLDER = "emotion_words"
PUBLIC_WORDS_FOLDER = "qwen0.6bemo4-merge"
"""As the public model calls its language model for that (spec 0)."""
SENTENCEPIECE_FILE = "bpe.model"
RANKS_FILE = "multilingual_zh_ja_yue_char_del.tiktoken"
GLOSSARY_FILE = "glossary.yaml"


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a file, floating ones as float32. CheckpointError for a missing or damaged file."""
    raw = load_tensor_file(path)
    return {key: value.to(torch.float32) if value.is_floating_point() else value for key, value in raw.items()}


def read_emotion_bank(folder: Path) -> dict[str, Tensor] | None:
    """feat1 [R,S] and feat2 [R,M], float32; None where the model has no emotion bank.

    EMOTION_BANK_FILE goes before the public pair of files. CheckpointError for damaged files, half a pair, or a file
    that holds anything else.
    """
    path = folder / EMOTION_BANK_FILE
    if path.exists():
        tensors = read_tensors(path)
        if tensors.keys() != EMOTION_BANK_TENSORS.keys():
            raise CheckpointError(
                f"{path.name} holds {', '.join(sorted(tensors))}; needed are {', '.join(EMOTION_BANK_TENSORS)}",
                reason="CHECKPOINT_KEYS",
            )
        return tensors
    paths = {key: folder / name for key, name in EMOTION_BANK_TENSORS.items()}
    there = [path for path in paths.values() if path.exists()]
    if not there:
        return None
    for path in paths.values():
        if path not in there:
            raise CheckpointError(f"{path} is missing beside {there[0].name}", reason="CHECKPOINT_FILE_MISSING")
    return {key: read_bare_tensor(path) for key, path in paths.items()}


def read_bare_tensor(path: Path) -> Tensor:
    """A public `.pt` file that is one tensor, as float32. CheckpointError for any other file."""
    value = read_torch_file(path)
    if not isinstance(value, Tensor) or not value.is_floating_point():
        raise CheckpointError(f"{path.name} is not one tensor of numbers", reason="CHECKPOINT_KEYS")
    return value.to(torch.float32)


def fill(network: nn.Module, path: Path, *, unused: Callable[[str], bool] = lambda key: False) -> None:
    """Load a weight file into `network`, every key and every shape; then freeze it in eval mode.

    float32 weights stay in the file, which is mapped into memory. `unused` tells keys of the file that this network
    does without. CheckpointError names every missing, extra or misshapen key.
    """
    assign(network, {key: value for key, value in read_tensors(path).items() if not unused(key)}, path.name)


def assign(network: nn.Module, tensors: Mapping[str, Tensor], name: str) -> None:
    """These very tensors, weight norm folded, as the network's parameters and buffers; then freeze it in eval mode.

    CheckpointError, with `name` in it, names every missing, extra or misshapen key.
    """
    try:
        network.load_state_dict(fold(tensors), strict=True, assign=True)
    except CheckpointError as error:
        raise CheckpointError(f"{name}: {error}", reason="CHECKPOINT_KEYS") from error
    except RuntimeError as error:
        # PyTorch's message lists every missing, unexpected and misshapen key.
        raise CheckpointError(f"{name}: {error}", reason="CHECKPOINT_KEYS") from error
    network.eval()
    network.requires_grad_(False)


def fingerprint(folder: Path) -> str:
    """First 16 hex digits of a SHA-256 over all that decides how the model sounds.

    That is config, weights, pace, emotion bank, pieces, glossary, and the files of the model that turns words into
    weights.
    """
    names = [CONFIG_FILE, *WEIGHT_FILES.values(), PACE_FILE, EMOTION_BANK_FILE, *EMOTION_BANK_TENSORS.values()]
    folders = (folder / EMOTION_WORDS_FOLDER, folder / PUBLIC_WORDS_FOLDER)
    words = sorted(path for words_folder in folders for path in words_folder.rglob("*") if path.is_file())
    own = (SENTENCEPIECE_FILE, RANKS_FILE, GLOSSARY_FILE, *(path.relative_to(folder).as_posix() for path in words))
    return file_digest(folder, (*names, *own))


def file_digest(folder: Path, names: Iterable[str]) -> str:
    """First 16 hex digits of a SHA-256 over those of the files that are there, in this order, names included."""
    digest = hashlib.sha256()
    for name in names:
        path = folder / name
        if not path.is_file():
            continue
        with path.open("rb") as file:
            digest.update(name.encode() + b"\0" + hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]
