"""A public model, converted once to our layout: one safetensors file per network, mapped into memory from then on.

    ONCUE_HOME/converted/KEY/     config.yaml, the files of layout.WEIGHT_FILES, emotion_bank.safetensors, bpe.model or
                                  a ranks file, manifest.json; KEY follows from the sources
    ONCUE_HOME/converted/.KEY.*   one that is being written: it gets its name when it is whole

The sources are only read. One process converts, others wait for it.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn

from ..errors import CheckpointError
from .config import ModelConfig, read_config
from .file_ends import file_ends
from .layout import EMOTION_BANK_FILE, WEIGHT_FILES, assign, fingerprint, read_bare_tensor
from .networks import empty_networks
from .public_config import whole_config
from .public_files import PublicFiles
from .public_weights import read_public_state, source_of
from .semantic_encoder import SemanticEncoder, check_statistics

__all__ = ["Converted", "converted"]

_FORMAT = 1
_MANIFEST = "manifest.json"
_SPARE_BYTES = 64 * 2**20
_FREQUENCIES = ".freqs"
"""Ends the keys of tables that a network computes, but takes from a file where that has them exactly."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Converted:
    """A whole model folder in our layout."""

    folder: Path
    fingerprint: str


def converted(files: PublicFiles, home: Path) -> Converted:
    """The converted form of these files under `home`, made now if it is not there yet.

    Where it is there, the sources' sizes, times and ends are read, nothing else of them. CheckpointError names every
    missing, extra or misshapen key and whatever is not finite; DISK_FULL where the disk is too small
    (metadata `needed_bytes`, `free_bytes`).
    """
    root = home / "converted"
    key = _key(files)
    target = root / key
    if (found := _whole(target)) is not None:
        return found
    try:
        root.mkdir(parents=True, exist_ok=True)
        with _alone(root / f".{key}.lock"):
            if (found := _whole(target)) is not None:
                return found
            for left in root.glob(f".{key}.*.part"):
                shutil.rmtree(left, ignore_errors=True)
            shutil.rmtree(target, ignore_errors=True)
            part = Path(mkdtemp(prefix=f".{key}.", suffix=".part", dir=root))
            try:
                _convert(files, part)
                if _key(files) != key:
                    raise CheckpointError(f"{files.folder}: the files changed while they were being read")
                part.rename(target)
            finally:
                shutil.rmtree(part, ignore_errors=True)
            _remove_older(root, key, files.folder)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise CheckpointError(f"{root}: {error}", reason="DISK_FULL" if full else "") from error
    found = _whole(target)
    if found is None:
        raise CheckpointError(f"{target} is not whole though it has just been written")
    return found


def _key(files: PublicFiles) -> str:
    """Changes with any change of a source."""
    digest = hashlib.sha256(f"{_FORMAT}".encode())
    for path in files.sources():
        digest.update(file_ends(path) + f"{path.stat().st_mtime_ns}\0".encode())
    return digest.hexdigest()[:20]


def _whole(folder: Path) -> Converted | None:
    """None unless the manifest is there, and every file as long as it says."""
    try:
        manifest = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
        sizes: Mapping[str, int] = manifest["sizes"]
        if all((folder / name).stat().st_size == size for name, size in sizes.items()):
            return Converted(folder, str(manifest["fingerprint"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass
    return None


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _convert(files: PublicFiles, folder: Path) -> None:
    _logger.info("converting %s once, into %s", files.folder, folder.parent)
    (folder / "config.yaml").write_text(yaml.safe_dump(whole_config(files), sort_keys=False), encoding="utf-8")
    config = read_config(folder)
    networks = empty_networks(config).named()
    _check_space(folder, networks)
    for block in WEIGHT_FILES:
        # Each goes before the next one is read.
        _convert_block(files, block, networks.pop(block), config, folder / WEIGHT_FILES[block])
        _logger.info("converted %s", source_of(files, block).name)
    bank = {"feat1": read_bare_tensor(files.style_matrix), "feat2": read_bare_tensor(files.emotion_matrix)}
    _check_finite(bank, f"{files.style_matrix.name}, {files.emotion_matrix.name}")
    _save(bank, folder / EMOTION_BANK_FILE)
    shutil.copyfile(files.pieces, folder / files.pieces.name)
    sizes = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
    manifest = {"fingerprint": fingerprint(folder), "source": str(files.folder.resolve()), "sizes": sizes}
    (folder / _MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    for path in folder.iterdir():
        _sync(path)
    _sync(folder)


def _convert_block(files: PublicFiles, block: str, network: nn.Module, config: ModelConfig, path: Path) -> None:
    name = source_of(files, block).name
    state = _as_float32(read_public_state(files, block, config.speech.encoder_layer))
    _check_finite(state, name)
    assign(network, state, name)
    if isinstance(network, SemanticEncoder):
        check_statistics(network, files.encoder_stats.name)
    tables = {key: value for key, value in state.items() if key.endswith(_FREQUENCIES)}
    _save({**network.state_dict(), **tables}, path)


def _as_float32(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Floating tensors as float32, but for rounded tables, which are computed better than they are stored."""
    return {
        key: value.to(torch.float32) if value.is_floating_point() else value
        for key, value in state.items()
        if not (key.endswith(_FREQUENCIES) and value.dtype != torch.float32)
    }


def _check_finite(state: Mapping[str, Tensor], name: str) -> None:
    bad = []
    for key, value in state.items():
        if value.is_floating_point() and value.numel():
            # Both carry a NaN on, and need no memory.
            least, most = torch.aminmax(value)
            if not (torch.isfinite(least) and torch.isfinite(most)):
                bad.append(key)
    if bad:
        raise CheckpointError(f"{name}: not finite: {', '.join(bad)}", reason="CHECKPOINT_NOT_FINITE")


def _save(tensors: Mapping[str, Tensor], path: Path) -> None:
    apart: dict[str, Tensor] = {}
    storages: set[int] = set()
    for key, value in tensors.items():
        whole = value.detach().contiguous()
        if whole.untyped_storage().data_ptr() in storages:
            whole = whole.clone()  # the file format knows no tied weights
        storages.add(whole.untyped_storage().data_ptr())
        apart[key] = whole
    try:
        save_file(apart, path)
    except SafetensorError as error:
        full = "No space left" in str(error)
        raise CheckpointError(f"{path} cannot be written: {error}", reason="DISK_FULL" if full else "") from error


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _check_space(folder: Path, networks: Mapping[str, nn.Module]) -> None:
    needed = _SPARE_BYTES + sum(
        value.numel() * value.element_size() for network in networks.values() for value in network.state_dict().values()
    )
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise CheckpointError(
            f"converting the model takes {needed} bytes in {folder.parent}, which has {free} (ONCUE_HOME may name "
            "another place)",
            reason="DISK_FULL",
            metadata={"needed_bytes": str(needed), "free_bytes": str(free)},
        )


def _remove_older(root: Path, key: str, source: Path) -> None:
    """What an earlier state of the same source was converted to; who has it mapped keeps it until he ends."""
    for path in root.glob(f"*/{_MANIFEST}"):
        try:
            if path.parent.name != key and json.loads(path.read_text())["source"] == str(source.resolve()):
                shutil.rmtree(path.parent, ignore_errors=True)
        except (OSError, ValueError, KeyError, TypeError):
            continue
