"""Golden files are read by what is in them, and refused when they are something else."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from oncue_engine.errors import CheckpointError
from oncue_engine.parity.golden_file import read_golden

GOLDEN = Path(__file__).parents[2] / "golden"
FILES = sorted(GOLDEN.glob("*.safetensors"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_set_is_known_by_content_not_by_name(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "something_else.bin"
    shutil.copyfile(path, copy)
    golden = read_golden(copy)
    assert golden.set == path.stem
    assert golden.variant == "a"
    assert golden.outputs and golden.inputs and golden.config
    assert not any(name.startswith(("weights.", "in.", "out.")) for name in golden.weights)


def test_a_cast_leaves_integers_and_outputs_alone() -> None:
    golden = read_golden(GOLDEN / "gpt_t2s.safetensors")
    cast = golden.cast(torch.bfloat16)
    assert cast.inputs["cond_latents"].dtype == torch.bfloat16
    assert cast.inputs["codes"].dtype == torch.int64
    assert cast.outputs["latent"].dtype == torch.float32
    assert golden.inputs["cond_latents"].dtype == torch.float32


def saved(path: Path, names: list[str], config: str | None = "{}") -> Path:
    metadata = {"set": "a"} | ({"config": config} if config is not None else {})
    save_file({name: torch.ones(2) for name in names}, path, metadata=metadata)
    return path


@pytest.mark.parametrize(
    ("names", "config", "reason"),
    [
        (["in.x", "out.something"], "{}", "GOLDEN_UNKNOWN_SET"),
        (["weights.a.weight"], "{}", "GOLDEN_UNKNOWN_SET"),
        (["out.wav", "out.mel_basis"], "{}", "GOLDEN_UNKNOWN_SET"),  # of two sets at once
        (["out.wav", "stray"], "{}", "GOLDEN_INVALID"),
        (["out.wav"], None, "GOLDEN_INVALID"),
        (["out.wav"], "not json", "GOLDEN_INVALID"),
    ],
)
def test_other_files_are_refused(names: list[str], config: str | None, reason: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        read_golden(saved(tmp_path / "x.safetensors", names, config))
    assert caught.value.reason == reason


def test_no_safetensors_at_all(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    with pytest.raises(CheckpointError, match=r"x\.safetensors"):
        read_golden(path)
    path.write_text(json.dumps({"config": {}}))
    with pytest.raises(CheckpointError, match=r"x\.safetensors"):
        read_golden(path)
