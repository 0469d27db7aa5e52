"""Where the files of a public IndexTTS-2 or 2.5 lie: its own folder, and the other repositories it needs (spec 0, 9).

A folder that the reference project's download commands made works as it is: the model's own files in FOLDER, the other
repositories in the hub cache FOLDER/hf_cache, or, as its later versions have them, under short names in there. They may
as well lie in another hub cache, or as FOLDER/NAME.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from torch import Tensor

from ..errors import CheckpointError
from .config_file import CONFIG_FILE, top_level_fields
from .family import Family, tell_family
from .hub_cache import commits_here, default_cache, read_ref, snapshot_folder
from .layout import GLOSSARY_FILE, PUBLIC_WORDS_FOLDER, RANKS_FILE, SENTENCEPIECE_FILE
from .torch_file import as_state, read_torch_file

__all__ = [
    "OTHER_REPOSITORIES",
    "PublicFiles",
    "find_public_files",
    "is_public_folder",
    "read_t2s",
]

_OWN_CACHE = "hf_cache"


@dataclass(frozen=True, slots=True)
class PublicFiles:
    """Paths of one public model. All exist; only what is optional may be None."""

    folder: Path
    """The folder of the model's own repository."""
    family: Family
    config: Path
    gpt: Path
    s2mel: Path
    pieces: Path
    """bpe.model, or the ranks file of 2.5."""
    encoder_stats: Path
    """wav2vec2bert_stats.pt: mean and variance."""
    style_matrix: Path
    """feat1.pt"""
    emotion_matrix: Path
    """feat2.pt"""
    encoder: Path
    """model.safetensors of w2v-BERT."""
    codec: Path
    style_encoder: Path
    vocoder_config: Path
    vocoder: Path
    encoder_config: Path | None = None
    """config.json of w2v-BERT; without it, the public sizes."""
    emotion_model: Path | None = None
    """Folder of the language model that turns words into emotions."""
    glossary: Path | None = None

    def sources(self) -> tuple[Path, ...]:
        """All files that the networks are made of, in a fixed order: none of `emotion_model`, nor the glossary."""
        values = (getattr(self, field.name) for field in fields(self) if field.name not in _NO_SOURCES)
        return tuple(value for value in values if value is not None)


_NO_SOURCES = ("folder", "family", "emotion_model", "glossary")

_OWN_FILES = {
    "config": CONFIG_FILE,
    "gpt": "gpt.pth",
    "s2mel": "s2mel.pth",
    "pieces": SENTENCEPIECE_FILE,
    "encoder_stats": "wav2vec2bert_stats.pt",
    "style_matrix": "feat1.pt",
    "emotion_matrix": "feat2.pt",
}
_OWN_FILES_25 = _OWN_FILES | {"pieces": RANKS_FILE, "codec": "codec.pth"}
_NAMED_IN_CONFIG = {
    "gpt": "gpt_checkpoint",
    "s2mel": "s2mel_checkpoint",
    "encoder_stats": "w2v_stat",
    "style_matrix": "spk_matrix",
    "emotion_matrix": "emo_matrix",
}
"""Fields of config.yaml that may name the file otherwise: fine-tuned weights beside the released ones."""

OTHER_REPOSITORIES: Mapping[str, Mapping[str, str]] = {
    "facebook/w2v-bert-2.0": {"encoder": "model.safetensors"},
    "amphion/MaskGCT": {"codec": "semantic_codec/model.safetensors"},
    "funasr/campplus": {"style_encoder": "campplus_cn_common.bin"},
    "nvidia/bigvgan_v2_22khz_80band_256x": {"vocoder_config": "config.json", "vocoder": "bigvgan_generator.pt"},
}
"""What is needed of other repositories: the field of PublicFiles, and the file's path inside the repository."""

_SHORT_NAMES: Mapping[str, Mapping[str, str]] = {
    "facebook/w2v-bert-2.0": {"encoder": "w2v-bert-2.0/model.safetensors"},
    "amphion/MaskGCT": {"codec": "semantic_codec_model.safetensors"},
    "funasr/campplus": {"style_encoder": "campplus_cn_common.bin"},
    "nvidia/bigvgan_v2_22khz_80band_256x": {
        "vocoder_config": "bigvgan/config.json",
        "vocoder": "bigvgan/bigvgan_generator.pt",
    },
}
"""The same files in FOLDER/hf_cache without a cache's layout."""


def is_public_folder(folder: Path) -> bool:
    """Whether it is meant as a public model: a config.yaml, and weights as the public files have them."""
    if not (folder / CONFIG_FILE).is_file():
        return False
    return any((folder / _OWN_FILES[name]).is_file() for name in ("gpt", "s2mel")) or any(folder.glob("gpt*.pth"))


def find_public_files(
    folder: Path, caches: Sequence[Path] = (), snapshots: Mapping[str, Path] = MappingProxyType({})
) -> PublicFiles:
    """All files of the public model in `folder`, the other repositories in its own places, then in hub caches.

    `snapshots`: where to take a repository from and from nowhere else, by its name. `caches`: hub caches to search for
    the others; none: `default_cache()`. CheckpointError (CHECKPOINT_FILE_MISSING) that names all
    that is missing and where it was looked for.
    """
    found: dict[str, Path | None] = {}
    missing: list[str] = []
    family, names = _own_names(folder)
    for field, name in names.items():
        if (folder / name).is_file():
            found[field] = folder / name
        else:
            missing.append(f"{name} ({folder})")
    searched = (folder / _OWN_CACHE, *(caches or (default_cache(),)))
    for repository, wanted in OTHER_REPOSITORIES.items():
        if wanted.keys() <= names.keys():
            continue  # 2.5 has a codec of its own
        # All of one repository from one place: a config of one revision does not describe weights of another.
        choices = _choices(folder, repository, searched, snapshots.get(repository))
        choice = next((choice for choice in choices if all(path.is_file() for path in choice.values())), None)
        if choice is not None:
            found |= choice
            continue
        looked = ", ".join(str(path) for path in (folder / repository.split("/")[1], *searched))
        missing.append(f"{', '.join(wanted.values())} of {repository} ({looked})")
    if missing:
        raise CheckpointError(
            f"{folder} is not a whole public model; missing are: {'; '.join(missing)}", reason="CHECKPOINT_FILE_MISSING"
        )
    if (encoder := found["encoder"]) is not None and (config := encoder.with_name("config.json")).is_file():
        found["encoder_config"] = config
    if (words := folder / PUBLIC_WORDS_FOLDER).is_dir():
        found["emotion_model"] = words
    if (glossary := folder / GLOSSARY_FILE).is_file():
        found["glossary"] = glossary
    return PublicFiles(folder=folder, family=family, **found)  # type: ignore[arg-type]


def _choices(folder: Path, repository: str, caches: Sequence[Path], snapshot: Path | None) -> Iterator[dict[str, Path]]:
    """Fields of PublicFiles to where a repository's files may lie, the first place to look at first."""
    wanted = OTHER_REPOSITORIES[repository]
    if snapshot is not None:
        yield {field: snapshot / path for field, path in wanted.items()}
        return
    yield {field: folder / repository.split("/")[1] / path for field, path in wanted.items()}
    yield {field: folder / _OWN_CACHE / path for field, path in _SHORT_NAMES[repository].items()}
    for place in _snapshots(repository, caches):
        yield {field: place / path for field, path in wanted.items()}


def _own_names(folder: Path) -> tuple[Family, dict[str, str]]:
    """Which model it is, and its own files, by the name that config.yaml gives where there is such a file.

    The weights tell which model it is; where they are missing, its other files.
    """
    names = dict(_OWN_FILES)
    config = top_level_fields(folder)
    for field, key in _NAMED_IN_CONFIG.items():
        value = config.get(key)
        # Some released configs hold paths of the machine they were written on: only the name counts.
        name = PurePosixPath(value).name if isinstance(value, str) else ""
        if name and (folder / name).is_file():
            names[field] = name
    family: Family = "indextts2.5" if (folder / RANKS_FILE).is_file() else "indextts2"
    if (folder / names["gpt"]).is_file():
        family = tell_family({key: tuple(value.shape) for key, value in read_t2s(folder / names["gpt"]).items()})
    if family == "indextts2.5":
        names = _OWN_FILES_25 | {field: names[field] for field in _NAMED_IN_CONFIG}
    return family, names


def read_t2s(path: Path) -> dict[str, Tensor]:
    """Tensors of `gpt.pth`, still on disk: a bare state dict, or one under `model`. CheckpointError."""
    raw = read_torch_file(path)
    inner = raw.get("model") if isinstance(raw, Mapping) else None
    return as_state(inner if isinstance(inner, Mapping) else raw, path.name)


def _snapshots(repository: str, caches: Sequence[Path]) -> Iterator[Path]:
    """Snapshots of a repository: of each cache the one that refs/main names, then all others, newest first."""
    for cache in caches:
        main = read_ref(cache, repository, "main")
        places = [snapshot_folder(cache, repository, commit) for commit in commits_here(cache, repository)]
        places.sort(key=lambda path: path.stat().st_mtime_ns, reverse=True)
        yield from sorted(places, key=lambda path: path.name != main)
