"""Parity: our modules give the golden numbers, and one wrong number anywhere is seen."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from oncue_engine.model.weight_norm import fold
from oncue_engine.parity.golden_file import read_golden
from oncue_engine.parity.runner import check_file, main, run_parity

GOLDEN = Path(__file__).parents[2] / "golden"
FILES = sorted(GOLDEN.glob("*.safetensors"))


def lines(paths: list[Path], dtype: str = "float32") -> tuple[int, list[dict[str, object]]]:
    out = io.StringIO()
    code = run_parity(paths, dtype, out)
    return code, [json.loads(line) for line in out.getvalue().splitlines()]


def rewritten(path: Path, copy: Path, change: Callable[[dict[str, Tensor]], None]) -> Path:
    with safe_open(str(path), framework="pt") as file:
        metadata = file.metadata()
        names = list(file.keys())
        tensors = {name: file.get_tensor(name).clone() for name in names}
    change(tensors)
    save_file(tensors, copy, metadata=metadata)
    return copy


def bump(name: str, factor: float = 1.02) -> Callable[[dict[str, Tensor]], None]:
    """Change the one number of a tensor that is largest, by a factor, or by one where it is an integer."""

    def change(tensors: dict[str, Tensor]) -> None:
        flat = tensors[name].view(-1)
        index = flat.abs().argmax() if flat.is_floating_point() else 0
        flat[index] = flat[index] * factor if flat.is_floating_point() else flat[index] + 1

    return change


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_output_of_every_golden_file(path: Path) -> None:
    code, reports = lines([path])
    assert code == 0, [report for report in reports if not report["ok"]]
    assert {report["output"] for report in reports} == set(read_golden(path).outputs)
    for report in reports:
        assert set(report) == {"file", "output", "max_rel_err", "ok"}
        assert report["file"] == str(path)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_one_changed_number_in_any_output_fails_that_output(path: Path, tmp_path: Path) -> None:
    def change(tensors: dict[str, Tensor]) -> None:
        for name in tensors:
            if name.startswith("out."):
                bump(name)(tensors)

    code, reports = lines([rewritten(path, tmp_path / path.name, change)])
    assert code == 1
    assert [report["output"] for report in reports if report["ok"]] == []


@pytest.mark.parametrize(
    ("name", "tensor"),
    [
        ("bigvgan", "weights.ups.3.0.weight_g"),
        ("bigvgan", "weights.resblocks.7.activations.2.act.alpha"),
        ("bigvgan", "weights.activation_post.downsample.lowpass.filter"),
        ("bigvgan", "in.mel"),
        ("campplus", "weights.xvector.dense.linear.weight"),
        ("campplus", "weights.head.bn1.running_var"),
        ("mel_frontends", "in.wav_16000"),
    ],
)
def test_one_changed_number_in_weights_or_inputs_fails(name: str, tensor: str, tmp_path: Path) -> None:
    path = rewritten(GOLDEN / f"{name}.safetensors", tmp_path / "changed.safetensors", bump(tensor, 1.5))
    code, reports = lines([path])
    assert code == 1
    assert any(not report["ok"] for report in reports)


def test_a_missing_weight_is_one_failed_line(tmp_path: Path) -> None:
    def change(tensors: dict[str, Tensor]) -> None:
        del tensors["weights.head.conv1.weight"]

    path = rewritten(GOLDEN / "campplus.safetensors", tmp_path / "x.safetensors", change)
    code, [report] = lines([path])
    assert code == 1
    assert report["max_rel_err"] is None and "head.conv1.weight" in str(report["error"])


def test_an_unknown_set_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_file({"in.x": torch.ones(1), "out.unheard_of": torch.ones(1)}, path, metadata={"set": "a", "config": "{}"})
    code, [report] = lines([path])
    assert (code, report["ok"]) == (1, False)
    assert "unknown set" in str(report["error"])


def test_an_output_we_do_not_compute_fails(tmp_path: Path) -> None:
    def change(tensors: dict[str, Tensor]) -> None:
        tensors["out.another"] = torch.ones(3)

    code, reports = lines([rewritten(GOLDEN / "mel_frontends.safetensors", tmp_path / "x.safetensors", change)])
    assert code == 1
    assert [r["output"] for r in reports if not r["ok"]] == ["another"]


def test_wrong_shape_and_not_a_number_fail(tmp_path: Path) -> None:
    def change(tensors: dict[str, Tensor]) -> None:
        tensors["out.mel_22050"] = tensors["out.mel_22050"][..., 1:].contiguous()
        tensors["out.fbank_kaldi"][0, 0] = torch.nan

    path = rewritten(GOLDEN / "mel_frontends.safetensors", tmp_path / "x.safetensors", change)
    failed = {report.output: report.error for report in check_file(path) if not report.ok}
    assert set(failed) == {"mel_22050", "fbank_kaldi"}
    assert "shape" in failed["mel_22050"] and failed["fbank_kaldi"] == "not finite"


def test_one_bad_file_does_not_hide_the_others(tmp_path: Path) -> None:
    good = GOLDEN / "emo_mix.safetensors"
    code, reports = lines([tmp_path / "missing.safetensors", good])
    assert code == 1
    assert not reports[0]["ok"]
    assert all(report["ok"] for report in reports[1:]) and len(reports) > 2


def test_weights_alone_are_compared_with_the_fold_of_their_sibling(tmp_path: Path) -> None:
    source = GOLDEN / "bigvgan.safetensors"
    folded = tmp_path / "folded.safetensors"

    def to_folded(tensors: dict[str, Tensor]) -> None:
        weights = {name.removeprefix("weights."): v for name, v in tensors.items() if name.startswith("weights.")}
        tensors.clear()
        tensors.update({f"weights.{name}": value for name, value in fold(weights).items()})

    rewritten(source, folded, to_folded)
    code, [report] = lines([folded])
    assert code == 1 and "beside it" in str(report["error"])
    rewritten(source, tmp_path / "sibling.safetensors", lambda tensors: None)
    code, reports = lines([folded])
    assert code == 0 and len(reports) > 600
    rewritten(folded, folded, bump("weights.ups.0.0.weight"))
    code, reports = lines([folded])
    assert code == 1 and [r["output"] for r in reports if not r["ok"]] == ["ups.0.0.weight"]


@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
@pytest.mark.parametrize("name", ["campplus", "mel_frontends"])
def test_other_precisions(name: str, dtype: str) -> None:
    code, reports = lines([GOLDEN / f"{name}.safetensors"], dtype)
    assert code == 0, reports
    assert torch.get_default_dtype() == torch.float32


def test_half_precision_is_really_used() -> None:
    _, exact = lines([GOLDEN / "campplus.safetensors"])
    _, half = lines([GOLDEN / "campplus.safetensors"], "bfloat16")
    assert max(r["max_rel_err"] for r in half) > 100 * max(r["max_rel_err"] for r in exact)  # type: ignore[type-var]


def test_nothing_to_do_and_unknown_dtype_are_usage_errors(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_parity([]) == 2
    assert run_parity([GOLDEN / "emo_mix.safetensors"], "int3") == 2
    captured = capsys.readouterr()
    assert captured.out == "" and "dtype" in captured.err


def test_main_prints_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(GOLDEN / "emo_mix.safetensors"), "--dtype", "float32"]) == 0
    assert all(json.loads(line)["ok"] for line in capsys.readouterr().out.splitlines())
