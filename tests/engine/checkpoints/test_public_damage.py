"""Public weights are read without mercy: every key and shape, nothing but tensors, only numbers that are finite."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from torch import Tensor

from oncue_engine.checkpoints.loaded import load_model
from oncue_engine.checkpoints.public_files import find_public_files
from oncue_engine.errors import CheckpointError

from .public_edits import rewrite_torch


@pytest.fixture
def folder(small_public_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy to spoil, and a place of its own for what is made of it."""
    monkeypatch.setenv("ONCUE_HOME", str(tmp_path / "home"))
    return Path(shutil.copytree(small_public_dir, tmp_path / "public"))


def _net(change: Callable[[dict[str, Any]], object]) -> Callable[[Any], Any]:
    def changed(raw: Any) -> Any:
        change(raw["net"])
        return raw

    return changed


@pytest.mark.parametrize(
    ("field", "key"),
    [
        ("gpt", "gpt.h.0.attn.c_attn.weight"),
        ("encoder", "encoder.layers.1.ffn1.intermediate_dense.weight"),
        ("codec", "quantizer.quantizers.0.codebook.weight"),
        ("vocoder", "conv_pre.bias"),
    ],
)
def test_a_missing_an_extra_and_a_misshapen_key_are_named(folder: Path, field: str, key: str) -> None:
    path: Path = getattr(find_public_files(folder), field)
    safe = path.suffix == ".safetensors"
    raw = load_file(path) if safe else torch.load(path, weights_only=True)
    state = raw["generator"] if field == "vocoder" else raw
    bad = (
        {name: value for name, value in state.items() if name != key},
        {**state, "no.such.key": torch.zeros(3)},
        {**state, key: torch.zeros(3, 5)},
    )
    for tensors, named in zip(bad, (key, "no.such.key", key), strict=True):
        if safe:
            save_file(tensors, path)
        else:
            torch.save({"generator": tensors} if field == "vocoder" else tensors, path)
        with pytest.raises(CheckpointError) as caught:
            load_model(folder)
        assert named in str(caught.value) and path.name in str(caught.value)
        assert caught.value.reason == "CHECKPOINT_KEYS"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (_net(lambda net: net["cfm"].pop("estimator.conv1.weight")), "cfm.estimator.conv1.weight"),
        (_net(lambda net: net["cfm"].update({"estimator.more": torch.ones(1)})), "cfm.estimator.more"),
        (_net(lambda net: net["gpt_layer"].update({"0.weight": torch.ones(2, 2)})), "gpt_layer.0.weight"),
        (_net(lambda net: net["cfm"].update({"estimator.conv1.bias": torch.ones(32).long()})), "estimator.conv1.bias"),
        (_net(lambda net: net.pop("length_regulator")), "needed are cfm, length_regulator, gpt_layer"),
        (_net(lambda net: net.update(more={})), "more"),
        (_net(lambda net: net.update(cfm="weights")), "net.cfm is no state dict"),
        (_net(lambda net: net["cfm"].pop("estimator.final_layer.linear.weight_g")), "final_layer.linear.weight_v"),
        (lambda raw: {"optimizer": raw["optimizer"]}, "net is missing"),
        (lambda raw: [1, 2], "net is missing"),
    ],
)
def test_what_is_wrong_in_s2mel_is_named(folder: Path, change: Callable[[Any], Any], named: str) -> None:
    rewrite_torch(folder / "s2mel.pth", change)
    with pytest.raises(CheckpointError) as caught:
        load_model(folder)
    assert named in str(caught.value) and "s2mel.pth" in str(caught.value)
    assert caught.value.reason == "CHECKPOINT_KEYS"


@pytest.mark.parametrize("number", [torch.nan, torch.inf])
def test_a_weight_that_is_not_finite_is_named(folder: Path, number: float) -> None:
    def spoil(raw: dict[str, Tensor]) -> dict[str, Tensor]:
        raw["final_norm.weight"][3] = number
        return raw

    rewrite_torch(folder / "gpt.pth", spoil)
    with pytest.raises(CheckpointError, match=r"gpt\.pth: not finite: final_norm\.weight") as caught:
        load_model(folder)
    assert caught.value.reason == "CHECKPOINT_NOT_FINITE"


def test_statistics_and_matrices_must_be_what_they_are(folder: Path) -> None:
    def refused(named: str) -> None:
        with pytest.raises(CheckpointError, match=named):
            load_model(folder)

    path = folder / "wav2vec2bert_stats.pt"
    stats = torch.load(path, weights_only=True)
    torch.save({**stats, "std": stats["var"]}, path)
    refused(r"wav2vec2bert_stats\.pt holds mean, std, var")
    torch.save({**stats, "var": -stats["var"]}, path)
    refused(r"wav2vec2bert_stats\.pt: the statistics' var must be positive")
    torch.save(stats, path)
    torch.save(torch.full((73, 24), torch.nan), folder / "feat1.pt")
    refused(r"feat1\.pt.*not finite: feat1")
    torch.save(torch.ones(72, 24), folder / "feat1.pt")
    refused(r"feat1 is \(72, 24\)")


class _Code:
    """Runs when it is unpickled."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return (open, ("/nowhere/at/all",))


@pytest.mark.parametrize(
    ("name", "zipped"), [("gpt.pth", True), ("gpt.pth", False), ("s2mel.pth", True), ("feat1.pt", False)]
)
def test_code_in_a_file_is_refused_and_never_runs(folder: Path, name: str, zipped: bool) -> None:
    torch.save({"net": _Code()}, folder / name, _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match=f"{name} is refused: it holds more than tensors, .*open") as caught:
        load_model(folder)
    assert caught.value.reason == "CHECKPOINT_UNSAFE"


@pytest.mark.parametrize(
    ("field", "share"),
    [
        ("gpt", 0.5),
        ("s2mel", 0.5),
        ("codec", 0.5),
        ("encoder", 0.9),
        ("emotion_matrix", 0),
        ("pieces", 0.5),
        ("pieces", 0),
    ],
)
def test_part_of_a_file_and_an_empty_one_are_named(folder: Path, field: str, share: float) -> None:
    path: Path = getattr(find_public_files(folder), field)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(CheckpointError, match=path.name):
        load_model(folder)


def test_a_damaged_config_is_named(folder: Path) -> None:
    vocoder = find_public_files(folder).vocoder_config
    good = vocoder.read_text()
    vocoder.write_text("{")
    with pytest.raises(CheckpointError, match=r"config\.json cannot be read"):
        load_model(folder)
    vocoder.write_text(good.replace('"num_mels": 80', '"num_mels": 100'))
    with pytest.raises(CheckpointError, match=r"vocoder.num_mels is 100"):
        load_model(folder)
    vocoder.write_text(good)
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["gpt"]["layers"] = 3
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(CheckpointError, match=r"gpt\.h\.2\.ln_1\.weight"):
        load_model(folder)
