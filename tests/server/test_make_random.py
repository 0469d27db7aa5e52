"""`oncue models make-random`: a folder of any kind that `verify` and `serve` take by its path."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from oncue_server.models_command import models


@pytest.mark.parametrize(
    ("kind", "size"), [("indextts2", "nano"), ("indextts2", "small"), ("indextts2.5", "small"), ("cosyvoice2", "nano")]
)
def test_a_random_folder_of_each_kind_is_written_and_verified(
    kind: str, size: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONCUE_HOME", str(tmp_path / "home"))
    folder, runner = tmp_path / "model", CliRunner()
    made = runner.invoke(models, ["make-random", str(folder), "--kind", kind, "--size", size])
    assert made.exit_code == 0 and made.stdout.strip() == str(folder)
    verified = runner.invoke(models, ["verify", str(folder)])
    assert verified.exit_code == 0 and json.loads(verified.stdout)["ok"]
    again = runner.invoke(models, ["make-random", str(folder), "--kind", kind, "--size", size])
    assert again.exit_code == 1 and "not empty" in again.output


@pytest.mark.parametrize(
    ("options", "words"),
    [(["--kind", "else"], ("else", "cosyvoice2")), (["--kind", "cosyvoice2", "--size", "full"], ("full", "nano"))],
)
def test_what_there_is_not_is_named_and_nothing_is_written(
    options: list[str], words: tuple[str, ...], tmp_path: Path
) -> None:
    made = CliRunner().invoke(models, ["make-random", str(tmp_path / "model"), *options])
    assert made.exit_code == 1 and all(word in made.output for word in words)
    assert not (tmp_path / "model").exists()
