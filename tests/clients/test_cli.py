"""The `oncue` program against a real server, each call in a process of its own."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import wave
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import soundfile

TEXT = "Please close the window before you leave."

Program = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def oncue(server_address: str, tmp_path: Path) -> Program:
    """Runs `oncue ARGUMENTS` in an empty folder; commands use the shared server unless `env` says otherwise."""

    def run(*arguments: str | Path, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "oncue.cli", *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=200,
            cwd=tmp_path,
            env={**os.environ, "ONCUE_SERVER": server_address, "NO_COLOR": "1", "COLUMNS": "200", **(env or {})},
        )

    return run


@pytest.fixture
def cli_voice(oncue: Program, clip: Path, new_id: str) -> str:
    assert oncue("voices", "create", new_id, clip).returncode == 0
    return new_id


def wav_format(path: Path) -> tuple[int, int, int, int]:
    """Rate, channels, bytes of a sample, samples."""
    with wave.open(str(path)) as read:
        return read.getframerate(), read.getnchannels(), read.getsampwidth(), read.getnframes()


def test_say_writes_exactly_the_samples_asked_for(oncue: Program, cli_voice: str, tmp_path: Path) -> None:
    planned = oncue("plan", TEXT, "--voice", cli_voice, "--sample-rate", "48000", "--json")
    duration_s = round(json.loads(planned.stdout)["natural_samples"] / 48000 + 0.1, 3)
    said = oncue(
        "say", TEXT, "-o", "b.wav", "--voice", cli_voice, "--duration", f"{duration_s}", "--sample-rate", "48000"
    )
    assert said.returncode == 0, said.stderr
    assert wav_format(tmp_path / "b.wav") == (48000, 1, 2, round(duration_s * 48000))
    last = said.stderr.splitlines()[-1]
    assert last.startswith("b.wav: first audio after ")
    assert f"{duration_s:.3f} s of audio, RTF " in last
    assert said.stdout == ""


def test_say_is_the_same_for_the_same_seed(oncue: Program, cli_voice: str, tmp_path: Path) -> None:
    for name in ("one.wav", "two.wav"):
        assert oncue("say", TEXT, "-o", name, "--voice", cli_voice, "--seed", "7").returncode == 0
    assert (tmp_path / "one.wav").read_bytes() == (tmp_path / "two.wav").read_bytes()


def test_say_with_clips_registers_them_for_the_call_only(oncue: Program, clip: Path, tmp_path: Path) -> None:
    said = oncue("say", TEXT, "-o", "c.wav", "--voice", clip, "--emotion", clip, "--emotion-strength", "0.5")
    assert said.returncode == 0, said.stderr
    assert wav_format(tmp_path / "c.wav")[3] > 0
    for kind in ("voices", "emotions"):
        assert "say-" not in oncue(kind, "list").stdout


def test_say_with_an_emotion_vector(oncue: Program, cli_voice: str, tmp_path: Path) -> None:
    heard = set()
    for name, vector in (("h.wav", "happy=0.8,sad=0.1"), ("s.wav", "sad=0.8"), ("t.wav", "happy=0.8,sad=0.1")):
        said = oncue("say", TEXT, "-o", name, "--voice", cli_voice, "--seed", "1", "--emotion-vector", vector)
        assert said.returncode == 0, said.stderr
        heard.add((tmp_path / name).read_bytes())
    assert len(heard) == 2
    vector = ("--voice", cli_voice, "--seed", "1", "--emotion-vector", "happy=1.2,calm=1")
    for number, options in enumerate(((), ("--emotion-bias",), ("--emotion-bias", "--emotion-cap"))):
        said = oncue("say", TEXT, "-o", f"{number}.wav", *vector, *options)
        assert said.returncode == 0, said.stderr
    assert len({(tmp_path / f"{number}.wav").read_bytes() for number in range(3)}) == 3
    refused = oncue("say", TEXT, "-o", "c.wav", "--voice", cli_voice, "--emotion-random")
    assert refused.returncode != 0 and "needs an emotion" in refused.stderr
    refused = oncue("say", TEXT, "-o", "m.wav", "--voice", cli_voice, "--emotion-vector", "melancholic=0.5")
    assert refused.returncode == 1
    assert "EMOTION_UNSUPPORTED" in refused.stderr and "supported: happy,angry,sad" in refused.stderr
    assert "field: utterance.emotion.inline.weights.melancholic" in refused.stderr


def test_say_tokens(oncue: Program, cli_voice: str) -> None:
    refused = oncue("say", TEXT, "-o", "t.wav", "--voice", cli_voice, "--tokens", "1")
    assert (refused.returncode, "DURATION_INFEASIBLE" in refused.stderr) == (1, True)
    assert oncue("say", TEXT, "-o", "t.wav", "--voice", cli_voice, "--tokens", "1", "--force").returncode == 0


def test_say_with_a_priority_and_a_start_deadline(oncue: Program, cli_voice: str) -> None:
    arguments = ("say", TEXT, "-o", "p.wav", "--voice", cli_voice)
    assert oncue(*arguments, "--priority", "high", "--start-deadline", "60").returncode == 0
    late = oncue(*arguments, "--start-deadline", "0")
    assert (late.returncode, "START_DEADLINE_OUT_OF_RANGE" in late.stderr) == (1, True)
    assert "field: scheduling.start_deadline" in late.stderr and "max_s: 3600" in late.stderr
    unknown = oncue(*arguments, "--priority", "urgent")
    assert (unknown.returncode, "background, normal, high" in unknown.stderr) == (2, True)


def test_say_and_plan_in_a_language(oncue: Program, cli_voice: str) -> None:
    for command in (("say", "Hello.", "-o", "a.wav", "--voice", cli_voice), ("plan", "Hello.")):
        assert oncue(*command, "--language", "en-GB").returncode == 0
        refused = oncue(*command, "--language", "ja")
        assert refused.returncode == 1
        assert "LANGUAGE_UNSUPPORTED" in refused.stderr and "utterance.language" in refused.stderr


def test_refusals_tell_code_reason_field_and_limit(oncue: Program, cli_voice: str, tmp_path: Path) -> None:
    refused = oncue("say", "", "-o", "x.wav", "--voice", cli_voice)
    assert refused.returncode == 1
    head, field, *_ = refused.stderr.splitlines()
    assert head.startswith("error: INVALID_ARGUMENT TEXT_EMPTY: ")
    assert field.strip().startswith("field: ") and field.endswith("text")
    refused = oncue("say", TEXT, "-o", "x.wav", "--voice", cli_voice, "--sample-rate", "7999")
    assert refused.returncode == 1
    assert "8000" in refused.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("say", TEXT),
        ("say", "-o", "x.wav"),
        ("say", TEXT, "-o", "x.wav", "--duration", "1", "--tokens", "9"),
        ("say", TEXT, "-o", "x.wav", "--emotion", "calm-one", "--emotion-text", "calm"),
        ("say", TEXT, "-o", "x.wav", "--emotion-vector", "happy"),
        ("say", TEXT, "-o", "x.wav", "--emotion-vector", "happy=much"),
        ("say", "--file", "none.txt", "-o", "out"),
        ("emotions", "create", "some-emotion"),
    ],
)
def test_calls_that_make_no_sense(oncue: Program, arguments: tuple[str, ...]) -> None:
    assert oncue(*arguments).returncode == 2


def test_say_a_file_of_lines(oncue: Program, cli_voice: str, tmp_path: Path) -> None:
    (tmp_path / "lines.txt").write_text("Good morning.\n\nbad\t...\nlast\tGood night.\n")
    said = oncue("say", "--file", "lines.txt", "-o", "out", "--voice", cli_voice)
    assert said.returncode == 1
    assert "out/bad.wav: error: INVALID_ARGUMENT TEXT_UNPRONOUNCEABLE" in said.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["0001.wav", "last.wav"]


def test_say_a_file_keeps_to_its_folder(oncue: Program, tmp_path: Path) -> None:
    (tmp_path / "lines.txt").write_text("../escape\tGood morning.\n")
    assert oncue("say", "--file", "lines.txt", "-o", "out").returncode == 2


def test_play_hands_the_samples_to_the_player(oncue: Program, cli_voice: str, tmp_path: Path) -> None:
    player = tmp_path / "bin" / "aplay"
    player.parent.mkdir()
    player.write_text('#!/bin/sh\necho "$@" > arguments.txt\ncat > heard.raw\n')
    player.chmod(player.stat().st_mode | stat.S_IXUSR)
    env = {"PATH": f"{player.parent}{os.pathsep}{os.environ['PATH']}"}
    said = oncue("say", "Good morning.", "--play", "-o", "p.wav", "--voice", cli_voice, env=env)
    assert said.returncode == 0, said.stderr
    with wave.open(str(tmp_path / "p.wav")) as read:
        assert (tmp_path / "heard.raw").read_bytes() == read.readframes(read.getnframes())
    assert "-r 16000" in (tmp_path / "arguments.txt").read_text()


def test_play_without_a_player(oncue: Program, cli_voice: str, tmp_path: Path) -> None:
    said = oncue("say", TEXT, "--play", "--voice", cli_voice, env={"PATH": str(tmp_path)})
    assert said.returncode == 1
    assert "aplay" in said.stderr


def test_voices(oncue: Program, clip: Path, new_id: str) -> None:
    created = oncue("voices", "create", new_id, clip, "--display-name", "Harbour", "--label", "mood=calm", "--json")
    assert created.returncode == 0, created.stderr
    assert json.loads(created.stdout)["labels"] == {"mood": "calm"}
    assert f"{new_id}\t5.3 s\tHarbour\n" in oncue("voices", "list").stdout
    assert new_id in [
        voice["name"].removeprefix("voices/") for voice in json.loads(oncue("voices", "list", "--json").stdout)
    ]
    shown = oncue("voices", "show", new_id).stdout
    assert f"name: voices/{new_id}\n" in shown
    assert "reference.sample_rate_hz: 16000\n" in shown
    assert oncue("voices", "delete", new_id).returncode == 0
    gone = oncue("voices", "show", new_id)
    assert gone.returncode == 1
    assert gone.stderr.startswith("error: NOT_FOUND VOICE_NOT_FOUND: ")
    assert oncue("voices", "create", new_id, "none.wav").returncode == 1


def test_options_of_a_clip(oncue: Program, clip: Path, new_id: str, tmp_path: Path) -> None:
    samples, rate_hz = soundfile.read(clip)
    quiet = tmp_path / "quiet.aiff"
    soundfile.write(quiet, np.concatenate((np.zeros(rate_hz), 0.05 * samples)), rate_hz, subtype="PCM_24")

    def reference(kind: str, id_: str, *options: str) -> dict[str, object]:
        made = oncue(kind, "create", id_, quiet, *options, "--json")
        assert made.returncode == 0, made.stderr
        told: dict[str, object] = json.loads(made.stdout)["reference"]
        return told

    for kind in ("voices", "emotions"):
        usual = reference(kind, f"{new_id}-{kind}-a")
        assert usual["applied_gain_db"] > 10 and usual["trimmed_start_s"] == 0.0
        chosen = reference(kind, f"{new_id}-{kind}-b", "--trim-silence", "--keep-level")
        assert (chosen["trim_silence"], chosen["keep_level"], chosen["applied_gain_db"]) == (True, True, 0.0)
        assert chosen["trimmed_start_s"] == pytest.approx(1.1, abs=0.1)  # the clip has a silence of its own
    shown = oncue("voices", "show", f"{new_id}-voices-b").stdout
    assert "reference.trim_silence: True\n" in shown


def test_emotions(oncue: Program, clip: Path, new_id: str) -> None:
    assert oncue("emotions", "create", new_id, clip).returncode == 0
    assert f"{new_id}\t5.3 s\t\n" in oncue("emotions", "list").stdout
    assert json.loads(oncue("emotions", "show", new_id, "--json").stdout)["weights"] is None
    assert oncue("emotions", "delete", new_id).returncode == 0
    assert oncue("emotions", "create", new_id, "--vector", "happy=0.8,sad=0.1").returncode == 0
    assert f"{new_id}\thappy=0.8,sad=0.1\t\n" in oncue("emotions", "list").stdout
    refused = oncue("emotions", "create", f"{new_id}-b", "--vector", "melancholic=0.8")
    assert refused.returncode == 1
    assert "EMOTION" in refused.stderr.splitlines()[0]


def test_info(oncue: Program) -> None:
    told = json.loads(oncue("info", "--json").stdout)
    assert (told["native_rate_hz"], told["languages"]) == (16000, ["en"])
    assert "limits.max_sample_rate_hz: 48000\n" in oncue("info").stdout


def test_a_server_that_is_not_there(oncue: Program) -> None:
    told = oncue("info", "--server", "127.0.0.1:1")
    assert told.returncode == 1
    assert told.stderr.startswith("error: UNAVAILABLE")


def test_say_without_a_server_runs_one(oncue: Program, tiny_model_dir: Path, clip: Path, tmp_path: Path) -> None:
    env = {"ONCUE_SERVER": "", "ONCUE_MODEL": str(tiny_model_dir), "HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
    said = oncue("say", "Good morning.", "--voice", clip, "-o", "own.wav", env=env)
    assert said.returncode == 0, said.stderr
    assert wav_format(tmp_path / "own.wav")[:3] == (16000, 1, 2)


def test_say_tells_when_its_server_does_not_start(oncue: Program, tmp_path: Path) -> None:
    env = {"ONCUE_SERVER": "", "ONCUE_MODEL": str(tmp_path / "none"), "HOME": str(tmp_path)}
    said = oncue("say", "Good morning.", "-o", "own.wav", env=env)
    assert said.returncode == 1
    assert "Traceback" not in said.stderr
    assert said.stderr.splitlines()[-1] == "error: the server did not start"
