"""A public model is converted once, whole or not at all, and costs hardly any memory from then on."""

from __future__ import annotations

import copy
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml

from oncue_engine.checkpoints.config import read_config
from oncue_engine.checkpoints.converted import converted
from oncue_engine.checkpoints.layout import WEIGHT_FILES, fingerprint
from oncue_engine.checkpoints.loaded import load_model
from oncue_engine.checkpoints.public_files import PublicFiles, find_public_files
from oncue_engine.checkpoints.public_sizes import public_sizes
from oncue_engine.checkpoints.random_folder import write_random_public
from oncue_engine.errors import CheckpointError


@pytest.fixture
def folder(small_public_dir: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(small_public_dir, tmp_path / "public"))


@pytest.fixture
def files(folder: Path) -> PublicFiles:
    return find_public_files(folder)


def _entries(home: Path) -> list[str]:
    return sorted(path.name for path in (home / "converted").iterdir() if path.suffix != ".lock")


def test_the_converted_form_is_a_whole_folder_of_ours(files: PublicFiles, tmp_path: Path) -> None:
    own = converted(files, tmp_path / "home")
    assert {*WEIGHT_FILES.values(), "config.yaml", "bpe.model"} < {path.name for path in own.folder.iterdir()}
    assert fingerprint(own.folder) == own.fingerprint == load_model(own.folder).fingerprint
    config = read_config(own.folder)
    assert not config.codec.has_decoder and config.semantic_encoder.num_hidden_layers == 4
    assert config.vocoder.upsample_rates == (8, 8, 4)
    # What belongs to the user stays as it was written.
    public = yaml.safe_load(files.config.read_text())
    assert yaml.safe_load((own.folder / "config.yaml").read_text())["gpt"] == public["gpt"]


def test_the_second_time_the_weights_of_the_sources_are_not_read(files: PublicFiles, tmp_path: Path) -> None:
    first = converted(files, tmp_path / "home")
    made = {path: path.stat().st_mtime_ns for path in first.folder.iterdir()}
    # Same size, times and ends: only who reads the middle would notice.
    status = files.gpt.stat()
    with files.gpt.open("r+b") as file:
        file.seek(status.st_size // 2)
        file.write(b"\xff" * 4096)
    os.utime(files.gpt, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert converted(files, tmp_path / "home") == first
    assert {path: path.stat().st_mtime_ns for path in first.folder.iterdir()} == made


def test_a_changed_source_is_converted_again_and_the_old_form_goes(files: PublicFiles, tmp_path: Path) -> None:
    home = tmp_path / "home"
    first = converted(files, home)
    torch.save(torch.load(files.emotion_matrix, weights_only=True) + 1.0, files.emotion_matrix)
    second = converted(files, home)
    assert second.fingerprint != first.fingerprint and _entries(home) == [second.folder.name]
    # The same files in another place are another source, whose form stays.
    other = Path(shutil.copytree(files.folder, tmp_path / "other"))
    os.utime(other / "gpt.pth")
    third = converted(find_public_files(other), home)
    assert third.fingerprint == second.fingerprint
    assert _entries(home) == sorted([second.folder.name, third.folder.name])


def test_a_source_that_changes_meanwhile_is_not_taken(
    files: PublicFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def copy_and_change(source: Path, target: Path) -> None:
        target.write_bytes(source.read_bytes())
        files.gpt.touch()

    monkeypatch.setattr(shutil, "copyfile", copy_and_change)
    with pytest.raises(CheckpointError, match="changed while they were being read"):
        converted(files, tmp_path / "home")
    monkeypatch.undo()
    assert _entries(tmp_path / "home") == []
    assert converted(files, tmp_path / "home").folder.is_dir()


def test_sources_are_left_as_they_are(files: PublicFiles, tmp_path: Path) -> None:
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files.sources()}
    listing = sorted(files.folder.rglob("*"))
    converted(files, tmp_path / "home")
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files.sources()} == before
    assert sorted(files.folder.rglob("*")) == listing


@pytest.mark.parametrize(
    "spoil",
    [
        lambda folder: (folder / "t2s.safetensors").unlink(),
        lambda folder: os.truncate(folder / "s2mel.safetensors", 1000),
        lambda folder: (folder / "manifest.json").write_text("{"),
        lambda folder: (folder / "manifest.json").unlink(),
    ],
)
def test_what_is_no_longer_whole_is_made_again(
    files: PublicFiles, tmp_path: Path, spoil: Callable[[Path], object]
) -> None:
    own = converted(files, tmp_path / "home")
    spoil(own.folder)
    assert converted(files, tmp_path / "home") == own
    assert fingerprint(own.folder) == own.fingerprint


def test_a_refused_source_leaves_nothing_behind(files: PublicFiles, tmp_path: Path) -> None:
    torch.save({"net": {}}, files.s2mel)
    with pytest.raises(CheckpointError):
        converted(files, tmp_path / "home")
    assert _entries(tmp_path / "home") == []


_CONVERT = """
import sys
from pathlib import Path
from oncue_engine.checkpoints.converted import converted
from oncue_engine.checkpoints.public_files import find_public_files

converted(find_public_files(Path(sys.argv[1])), Path(sys.argv[2]))
"""


def test_a_kill_in_the_middle_leaves_nothing_that_is_taken_for_whole(files: PublicFiles, tmp_path: Path) -> None:
    home = tmp_path / "home"
    process = subprocess.Popen([sys.executable, "-c", _CONVERT, str(files.folder), str(home)])
    try:
        # The first weight file is there, the last one not yet.
        deadline = time.monotonic() + 120.0
        while not list(home.glob("converted/.*.part/*.safetensors")):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.001)
    finally:
        process.kill()
        process.wait()
    left = _entries(home)
    assert len(left) == 1 and left[0].endswith(".part")
    own = converted(files, home)
    assert _entries(home) == [own.folder.name]
    assert fingerprint(own.folder) == own.fingerprint


def test_two_at_once_make_it_once(files: PublicFiles, tmp_path: Path) -> None:
    """The lock is a file's, so that threads wait for each other as processes do."""
    home = tmp_path / "home"
    with ThreadPoolExecutor(2) as threads:
        made = list(threads.map(lambda _: converted(files, home), range(2)))
    assert made[0] == made[1] and _entries(home) == [made[0].folder.name]
    first = {path.stat().st_mtime_ns for path in made[0].folder.iterdir()}
    assert converted(files, home) == made[0]
    assert {path.stat().st_mtime_ns for path in made[0].folder.iterdir()} == first


def test_a_disk_without_room_is_told_before_anything_is_written(
    files: PublicFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1_000_000))
    with pytest.raises(CheckpointError, match="ONCUE_HOME") as caught:
        converted(files, tmp_path / "home")
    assert caught.value.reason == "DISK_FULL"
    assert caught.value.metadata["free_bytes"] == "1000000" and int(caught.value.metadata["needed_bytes"]) > 4e6
    assert _entries(tmp_path / "home") == []


def test_a_home_that_cannot_be_written_is_an_error_of_ours(files: PublicFiles, tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file")
    with pytest.raises(CheckpointError, match="home"):
        converted(files, tmp_path / "home")


# Memory

_MEASURE = """
import gc, json, re, sys
from pathlib import Path
from oncue_engine.checkpoints.loaded import load_model

def kilobytes(name):
    return int(re.search(name + r":\\s+(\\d+)", Path("/proc/self/status").read_text()).group(1))

def peak_of_size(folder):
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again
    before = kilobytes("VmRSS")
    model = load_model(Path(folder))
    networks = (model.encoder, model.codec, model.style, model.t2s, model.s2mel, model.vocoder)
    size = sum(v.numel() * v.element_size() for network in networks for v in network.state_dict().values())
    assert size > 150e6 or folder == sys.argv[1], size
    return (kilobytes("VmHWM") - before) * 1024 / size

peak_of_size(sys.argv[1])  # what libraries keep for themselves is there before
print(json.dumps([peak_of_size(sys.argv[2]), peak_of_size(sys.argv[2])]))
"""


@pytest.fixture
def medium_public_dir(tmp_path: Path) -> Path:
    """200 MB of weights, half of them in the S2M, whose file has 200 MB of an optimizer beside them."""
    sizes = public_sizes("small")
    config = copy.deepcopy(dict(sizes.config))
    config["gpt"] |= {"model_dim": 512, "heads": 8, "layers": 8}
    s2mel = config["s2mel"]
    s2mel["gpt_layer_widths"] = [512, 32, 32, 32]
    s2mel["DiT"] |= {"hidden_dim": 256, "depth": 13, "content_dim": 256}
    s2mel["length_regulator"]["channels"] = 256
    s2mel["wavenet"] |= {"hidden_dim": 256, "num_layers": 8}
    return write_random_public(tmp_path / "medium", replace(sizes, config=config))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_loading_never_holds_more_than_the_model(
    small_public_dir: Path, medium_public_dir: Path, tmp_path: Path
) -> None:
    """Converting, and from the converted form."""
    answer = subprocess.run(
        [sys.executable, "-c", _MEASURE, str(small_public_dir), str(medium_public_dir)],
        env={**os.environ, "ONCUE_HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "1"},
        check=True,
        stdout=subprocess.PIPE,
    )
    converting, again = json.loads(answer.stdout)
    assert converting < 1.15 and again < 0.3, (converting, again)
