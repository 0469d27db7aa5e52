"""The whole command against real servers with the tiny random model: few utterances, every figure."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import oncue
from oncue_eval.bench.fullsize import FullSize, full_size_figures, prompt_clip
from oncue_eval.bench.load import drive
from oncue_eval.bench.rows import gap_free_share
from oncue_eval.bench.settings import Setting
from oncue_eval.bench.systems import Pipeline, connected, started
from oncue_eval.figures import verdict

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]  # Servers start, and listeners listen in real time.

_PROGRAM = "import typer; from oncue_eval.bench.command import bench; typer.run(bench)"


def _bench(*arguments: str, code: int = 0) -> tuple[list[dict[str, Any]], str]:
    """The figures that the command prints, and its stderr."""
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, "--json", *arguments], capture_output=True, text=True, timeout=500, check=False
    )
    assert done.returncode == code, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def _one(rows: list[dict[str, Any]], figure: str, **conditions: object) -> dict[str, Any]:
    (found,) = [
        row
        for row in rows
        if row["figure"] == figure and all(row.get(name) == value for name, value in conditions.items())
    ]
    return found


def test_the_quick_run_has_every_figure_and_every_row_its_conditions(tiny_model_dir: Path, tmp_path: Path) -> None:
    small = ("--model", str(tiny_model_dir), "--concurrency", "2", "--utterances", "2", "--sentences", "2")
    rows, _ = _bench(*small)
    for row in rows:
        assert row["system"] in ("oncue", "naive", "crossfade") and row["model"] == "tiny" and row["load"] >= 0.0
        assert (row["value"] is None) == ("why" in row), row
    ours = [row for row in rows if row["system"] == "oncue"]
    assert _one(ours, "ttfa_ms_first")["value"] > 0
    for sentences in (1, 2):
        setting = {"concurrency": 2, "sentences": sentences, "pacing": "realtime"}
        p50, p95 = (_one(ours, f"ttfa_ms_p{percent}", **setting)["value"] for percent in (50, 95))
        assert 0 < p50 <= p95
        assert 0.0 <= _one(ours, "gap_free_share", **setting)["value"] <= 1.0
        assert _one(ours, "gap_ms_total", **setting)["value"] >= 0.0
        assert 0 < _one(ours, "cores_busy", **setting)["value"] < 64
        shares = [
            row["value"]
            for row in ours
            if row["figure"] == "stage_share" and all(row[name] == value for name, value in setting.items())
        ]
        # Of the wall time, and two lanes work side by side.
        assert len(shares) >= 4 and 0 < sum(shares) <= 2.1
    unpaced = {"concurrency": 2, "sentences": 2, "pacing": "unpaced"}
    rate, tokens = (_one(ours, name, **unpaced)["value"] for name in ("audio_s_per_s", "tokens_per_s"))
    # The tiny model's tokens last 0.04 s; pauses between sentences have none.
    assert rate > 0 and 20 <= tokens / rate <= 26
    assert _one(ours, "cpu_s_per_audio_s", **unpaced)["value"] > 0
    assert _one(ours, "peak_rss_mb", **unpaced)["value"] > 50
    assert _one(ours, "ttfa_length_ratio")["value"] > 0
    assert 0 <= _one(ours, "gap_free_streams")["value"] <= 2
    assert _one(ours, "equal_tokens_share", deterministic=False)["value"] == 1.0
    assert _one(ours, "crowd_difference", deterministic=False)["value"] <= 1e-3
    assert {row["system"] for row in rows if row["figure"] == "seam_ratio"} == {"oncue", "crossfade"}
    assert _one(rows, "speedup_whole")["system"] == "oncue"

    earlier = tmp_path / "earlier.jsonl"
    earlier.write_text("\n".join(map(json.dumps, rows)))
    only = ("--systems", "crossfade", "--baseline", str(earlier))
    again, _ = _bench(*small, *only)
    assert {row["system"] for row in again} == {"crossfade"}
    assert all(("ratio" in row) == (row["value"] is not None) for row in again)


def test_of_a_running_server_only_what_a_client_can_see(server_address: str) -> None:
    rows, _ = _bench("--server", server_address, "--concurrency", "1", "--utterances", "1", "--sentences", "1")
    assert {row["model"] for row in rows} == {"tiny"}
    for name in ("cpu_s_per_audio_s", "peak_rss_mb"):
        assert all("of the benchmark's own" in row["why"] for row in rows if row["figure"] == name)
    assert any(row["figure"] == "stage_share" and row["value"] for row in rows)
    assert not any(row["figure"] in ("seam_ratio", "speedup_whole") for row in rows)


def test_a_soak_tells_how_memory_drifts(tiny_model_dir: Path) -> None:
    rows, _ = _bench("--soak", "--model", str(tiny_model_dir), "--utterances", "24", "--concurrency", "4")
    drift = _one(rows, "memory_drift")
    assert drift["voices"] == 20 and drift["utterances"] == 24 and drift["live_after"] == 0
    assert drift["value"] == pytest.approx(drift["last_quarter_mb"] / drift["second_quarter_mb"] - 1, abs=1e-4)
    assert drift["target"] == "at most 0.02"


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("--quick", "--soak"), "choose one"),
        (("--systems", "oncue,other"), "crossfade"),
        (("--server", "localhost:1", "--model", "nano"), "running server"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: tuple[str, ...], word: str) -> None:
    _, errors = _bench(*arguments, code=2)
    assert word in errors


async def test_random_arrivals_are_listened_to_the_end(server_address: str) -> None:
    async with connected(server_address, [prompt_clip(3.0)]) as system:
        told: list[str] = []
        run = await drive(system, Setting(2, 1, 3, poisson=True), told.append)
    assert len(run.heard) == 3 and len(told) == 3 and "Poisson" in told[0]
    assert all(heard.stats is not None for heard in run.heard)
    calls_s = sorted(heard.called_s for heard in run.heard)
    assert calls_s[0] < calls_s[1] < calls_s[2]
    assert gap_free_share(run) in (0.0, pytest.approx(1 / 3), pytest.approx(2 / 3), 1.0)


async def test_who_is_refused_has_no_gap_free_stream(tiny_model_dir: Path) -> None:
    """Above the most utterances that may be live, the rest is refused at the door."""
    async with started(Pipeline.ONCUE, str(tiny_model_dir), [prompt_clip(3.0)]) as system:
        run = await drive(system, Setting(80, 1, 80), str)
    refused = [heard for heard in run.heard if heard.refused is not None]
    assert refused and {heard.refused for heard in refused} == {"OVERLOADED"}
    assert all(heard.stats is None and heard.first_audio_s is None for heard in refused)
    assert gap_free_share(run) <= 1 - len(refused) / 80


async def test_the_public_size_is_asked_for_an_exact_length(tiny_model_dir: Path) -> None:
    """With the tiny model in its place; a server without one of the options gives figures without a value."""
    job = FullSize(audio_s=2.0, prompt_s=3.0, utterances=1, fewest_steps=2)
    figures = [figure async for figure in full_size_figures(str(tiny_model_dir), list(Pipeline), job, str)]
    speedups = {(f.name, f.conditions["steps"]): f for f in figures if f.name.startswith("speedup")}
    assert set(speedups) == {
        (name, s) for name in ("speedup_whole", "speedup_first_audio") for s in ("equal", "fewest")
    }
    for figure in speedups.values():
        assert (verdict(figure) == "not measured") == ("why" in figure.conditions)
    assert {figure.conditions.get("audio_s", 2.0) for figure in figures} == {2.0}


async def test_a_prompt_has_exactly_the_length_asked_for(server_address: str) -> None:
    async with oncue.connect(server_address) as client:
        voice = await client.voices.create("bench-exact", prompt_clip(5.0))
        await client.voices.delete(voice.name)
    assert voice.reference.duration_s == 5.0
