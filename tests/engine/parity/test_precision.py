"""Errors of rounded precisions: of plain modules, and of the forms that serve; choices told as shares."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from oncue_engine.kernels.library import load
from oncue_engine.model import packed_gpt
from oncue_engine.parity.comparison import compare
from oncue_engine.parity.runner import check_file, main, run_parity
from oncue_engine.parity.served import SERVED

GOLDEN = Path(__file__).parents[2] / "golden"
FILES = sorted(GOLDEN.glob("*.safetensors"))
CHOICES = {"row_index", "ids", "ids_batch2", "greedy_codes", "greedy_codes_rep10", "beam3_codes", "beam3_codes_rep10"}
kernels = pytest.mark.skipif(load() is None, reason="no kernels: packed forms are the modules")


def lines(name: str, dtype: str, *, served: bool = False) -> dict[str, dict[str, Any]]:
    out = io.StringIO()
    code = run_parity([GOLDEN / f"{name}.safetensors"], dtype, out, served=served)
    reports = [json.loads(line) for line in out.getvalue().splitlines()]
    assert code == 0, [report for report in reports if not report["ok"]]
    return {report["output"]: report for report in reports}


def worst(reports: dict[str, dict[str, Any]]) -> float:
    return max(report["max_rel_err"] for report in reports.values() if report["max_rel_err"] is not None)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_block_in_half_precision(path: Path, dtype: str) -> None:
    reports = lines(path.stem, dtype)
    for name, report in reports.items():
        if name in CHOICES:
            assert report["max_rel_err"] is None and 0.0 < report["agreement"] <= 1.0
        else:
            assert "agreement" not in report and report["max_rel_err"] >= 0.0
    if path.stem != "mel_frontends":
        assert worst(reports) > 1e-5, "nothing was rounded"
    # Masks are no choices: rounding has nothing to do with them.
    for mask in ("encoder_mask", "w2v_attention_mask"):
        assert reports.get(mask, {"max_rel_err": 0.0})["max_rel_err"] == 0.0


def test_times_of_the_flow_are_never_rounded() -> None:
    """Their angles are a thousand times larger: a rounded 0.37 is another time, and costs twenty times the error."""
    reports = lines("s2mel", "bfloat16")
    assert reports["dit_t_embedder"]["max_rel_err"] < 0.02
    assert reports["cfm_7steps_cfg0.7"]["max_rel_err"] < 2 * reports["cfm_4steps_cfg0.7"]["max_rel_err"]


def test_in_float32_choices_are_equal_or_wrong() -> None:
    wanted = {"greedy_codes": torch.tensor([[1, 2, 3]])}
    [report] = compare("f", "gpt_t2s", wanted, {"greedy_codes": torch.tensor([[1, 2, 4]])}, "float32")
    assert not report.ok and report.agreement is None
    [report] = compare("f", "gpt_t2s", wanted, {"greedy_codes": torch.tensor([[1, 2, 4]])}, "bfloat16")
    assert report.ok and report.agreement == pytest.approx(2 / 3) and report.max_rel_err is None
    [report] = compare("f", "gpt_t2s", wanted, {"greedy_codes": torch.tensor([[1]])}, "int8")
    assert report.ok and report.agreement == pytest.approx(1 / 3)
    for wrong in (torch.tensor([1, 2, 3]), torch.tensor([[1.0, 2.0, 3.0]])):
        [report] = compare("f", "gpt_t2s", wanted, {"greedy_codes": wrong}, "bfloat16")
        assert not report.ok and "expected" in report.error


def test_what_follows_from_another_choice_is_left_out() -> None:
    codes, logits = torch.tensor([[5, 6, 7]]), torch.ones(1, 3, 4)
    other = logits.clone()
    other[0, 2] = 9.0
    wanted = {"greedy_codes": codes, "greedy_logits": logits}

    def ok(found: Tensor, drawn: Tensor) -> bool:
        reports = compare("f", "gpt_t2s", wanted, {"greedy_codes": drawn, "greedy_logits": found}, "bfloat16")
        return {report.output: report.ok for report in reports}["greedy_logits"]

    assert not ok(other, codes)
    assert not ok(other, torch.tensor([[5, 6, 1]]))  # drawn after the logits that are wrong
    assert ok(other, torch.tensor([[5, 1, 7]]))  # drawn before them
    rows = {"ids": torch.tensor([[1, 2]]), "emb": torch.ones(1, 2, 3)}
    found = {"ids": torch.tensor([[1, 4]]), "emb": torch.tensor([[[1.0] * 3, [8.0] * 3]])}
    assert all(report.ok for report in compare("f", "semantic_codec", rows, found, "float16"))
    assert not all(report.ok for report in compare("f", "semantic_codec", rows, found, "float32"))


@pytest.mark.parametrize("name", SERVED)
def test_packed_forms_in_float32_give_the_golden_numbers(name: str) -> None:
    reports = lines(name, "float32", served=True)
    assert worst(reports) < 1e-5
    assert all(report["form"] for report in reports.values())


@kernels
@pytest.mark.parametrize(
    ("name", "dtype", "least", "most"),
    [
        ("gpt_t2s", "bfloat16", 3e-4, 0.01),
        ("gpt_t2s", "int8", 3e-3, 0.03),
        ("s2mel", "bfloat16", 5e-4, 0.02),
        ("bigvgan", "bfloat16", 5e-4, 0.03),
    ],
)
def test_packed_forms_round_as_they_should(name: str, dtype: str, least: float, most: float) -> None:
    reports = lines(name, dtype, served=True)
    forms = {report["form"] for report in reports.values()}
    if any("float32" in form for form in forms):
        pytest.skip("this machine has no such products")
    assert all(dtype in form for form in forms)
    assert least < worst(reports) < most


def test_without_kernels_it_says_what_ran(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed_gpt, "load", lambda: None)
    reports = lines("gpt_t2s", "int8")
    assert {report["form"] for report in reports.values()} == {"modules, float32"}
    assert worst(reports) < 1e-5


def test_a_wrong_weight_is_seen_through_the_rounding(tmp_path: Path) -> None:
    source, copy = GOLDEN / "gpt_t2s.safetensors", tmp_path / "gpt_t2s.safetensors"
    with safe_open(str(source), framework="pt") as file:
        metadata = file.metadata()
        names = list(file.keys())
        tensors = {name: file.get_tensor(name).clone() for name in names}
    tensors["weights.gpt.h.1.mlp.c_proj.weight"] *= 1.5
    save_file(tensors, copy, metadata=metadata)
    for dtype in ("bfloat16", "int8"):
        reports = check_file(copy, dtype, served=True)
        assert reports and not all(report.ok for report in reports)


def test_blocks_that_serve_in_float32_alone_are_run_so() -> None:
    reports = lines("campplus", "bfloat16", served=True)
    assert worst(reports) < 2e-5
    assert {report["form"] for report in reports.values()} == {"modules, float32"}


def test_what_has_no_form_in_int8_is_left_out_and_said(capsys: pytest.CaptureFixture[str]) -> None:
    paths = [GOLDEN / f"{name}.safetensors" for name in ("campplus", "gpt_t2s")]
    assert main([*map(str, paths), "--dtype", "int8"]) == 0
    said = capsys.readouterr()
    assert {json.loads(line)["file"] for line in said.out.splitlines()} == {str(paths[1])}
    assert "campplus" in said.err and "no int8 form" in said.err


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_nothing_serves_in_them(dtype: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_parity([FILES[0]], dtype, served=True) == 2
    assert "serves" in capsys.readouterr().err


def test_a_device_that_is_not_there(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for device in ("cuda", "tpu"):
        assert run_parity([FILES[0]], device=device) == 2
        assert device in capsys.readouterr().err


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_block_on_a_gpu(path: Path, dtype: str) -> None:
    reports = check_file(path, dtype, device="cuda")
    assert reports and all(report.ok for report in reports), [report for report in reports if not report.ok]
