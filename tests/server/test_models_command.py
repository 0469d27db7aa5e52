"""`oncue models` and `oncue serve --model hub:...` against a hub on a loopback port."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import oncue
from oncue_engine.checkpoints.repositories import PublicModel
from oncue_engine.kinds.random_folders import make_random_folder
from oncue_server.models_command import models

from ..fake_hub import COMMIT, running_hub
from ..hub_case import (
    INDEXTTS_2,
    INDEXTTS_25,
    HubCase,
    assert_whole,
    at_commit,
    hub_case,
    hub_repositories_of,
    small_model,
)

MAIN = "hub:IndexTeam/IndexTTS-2"
AT_COMMIT = at_commit(INDEXTTS_2)


@pytest.fixture
def case(tmp_path: Path) -> Iterator[HubCase]:
    with hub_case(tmp_path / "cache") as ready:
        yield ready


def oncue_models(case: HubCase, *arguments: str) -> Result:
    return CliRunner().invoke(models, arguments, env={"HF_HUB_CACHE": str(case.cache)})


def fetch(case: HubCase, *arguments: str) -> Result:
    options = ("--endpoint", f"{case.hub.endpoint}/", "--cache", str(case.cache))
    return CliRunner().invoke(models, ["fetch", *arguments, *options])


def lines(answer: Result) -> list[dict[str, object]]:
    return [json.loads(line) for line in answer.stdout.splitlines()]


def test_fetch_says_where_the_model_is_and_list_says_it_again(case: HubCase) -> None:
    answer = fetch(case, AT_COMMIT, "--accept-licence")
    assert answer.exit_code == 0, answer.stderr
    for words in ("bilibili Model Use License Agreement", "NOT FOR COMMERCIAL USE", "IndexTeam/IndexTTS-2 (about 5.9"):
        assert words in answer.stderr
    (line,) = lines(answer)
    assert line["model"] == AT_COMMIT
    assert line["folder"] == str(case.cache / "models--IndexTeam--IndexTTS-2" / "snapshots" / COMMIT)
    assert line["revisions"] == {one.name: COMMIT for one in INDEXTTS_2.repositories}
    assert line["complete"] is True
    files = {path for path in case.cache.rglob("blobs/*") if path.is_file()}
    assert line["bytes"] == sum(path.stat().st_size for path in files)

    assert fetch(case, AT_COMMIT, "--offline").stdout == answer.stdout
    nano, listed = lines(oncue_models(case, "list"))
    assert nano["model"] == "nano"
    assert listed["model"] == f"{MAIN}@{COMMIT}"
    assert listed["bytes"] == sum(
        path.stat().st_size for path in files if "models--IndexTeam--IndexTTS-2" in path.parts
    )
    # The listed name takes the other parts at the table's own revisions, which the small hub does not have.
    assert listed["complete"] is False
    assert listed["missing"] == {one.name: [file.path for file in one.files] for one in INDEXTTS_2.companions}


def test_revisions_may_be_options(case: HubCase) -> None:
    parts = (f"--revision={one.name}=main" for one in INDEXTTS_2.companions)
    answer = fetch(case, f"{MAIN}@elsewhere", "--revision", "main", *parts, "--accept-licence")
    assert answer.exit_code == 0, answer.stderr
    assert lines(answer)[0]["model"] == AT_COMMIT.replace(COMMIT, "main")


def test_nobody_at_a_terminal_accepts_nothing(case: HubCase) -> None:
    answer = fetch(case, AT_COMMIT)
    assert answer.exit_code == 1
    assert answer.stdout == ""
    assert "--accept-licence" in answer.stderr
    assert "nothing is fetched before these licences are accepted" in answer.stderr
    assert case.hub.bytes_asked() == []


@pytest.mark.parametrize("says_yes", [False, True])
def test_somebody_at_a_terminal_is_asked_and_sees_progress(case: HubCase, says_yes: bool) -> None:
    program = "import sys; from oncue_server.models_command import models; models(sys.argv[1:])"
    arguments = ["fetch", AT_COMMIT, "--endpoint", case.hub.endpoint, "--cache", str(case.cache)]
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 120))
    process = subprocess.Popen(
        [sys.executable, "-c", program, *arguments], stdin=theirs, stderr=theirs, stdout=subprocess.PIPE, text=True
    )
    os.close(theirs)
    shown = ""
    try:
        while "Do you accept these licences? [y/N]" not in shown:
            shown += os.read(ours, 4096).decode()
        os.write(ours, b"y\n" if says_yes else b"\n")
        while True:
            shown += os.read(ours, 4096).decode(errors="replace")
    except OSError:
        # The program has closed the terminal.
        pass
    finally:
        os.close(ours)
        stdout = process.communicate(timeout=60)[0]
    if says_yes:
        assert process.returncode == 0, shown
        assert "gpt.pth: 100%" in shown
        assert json.loads(stdout)["complete"] is True
    else:
        assert process.returncode == 1
        assert case.hub.bytes_asked() == []


def test_offline_names_what_is_missing(case: HubCase) -> None:
    answer = fetch(case, MAIN, "--offline")
    assert answer.exit_code == 1
    assert "gpt.pth" in answer.stderr
    assert "amphion/MaskGCT" in answer.stderr
    assert case.hub.asked == []


def test_an_unknown_model_names_the_known_ones(case: HubCase) -> None:
    answer = fetch(case, "hub:somebody/else")
    assert answer.exit_code == 1
    assert "only hub:IndexTeam/IndexTTS-2, hub:IndexTeam/IndexTTS-2.5" in answer.stderr


def test_verify_compares_digests_before_it_loads(case: HubCase) -> None:
    assert fetch(case, AT_COMMIT, "--accept-licence").exit_code == 0
    gpt = (case.cache / "models--IndexTeam--IndexTTS-2" / "snapshots" / COMMIT / "gpt.pth").resolve()
    whole = gpt.read_bytes()
    gpt.write_bytes(bytes(len(whole)))
    answer = oncue_models(case, "verify", AT_COMMIT)
    assert answer.exit_code == 1
    (line,) = lines(answer)
    assert (line["ok"], line["reason"]) == (False, "HUB_HASH_MISMATCH")
    assert str(gpt) in str(line["error"])
    gpt.write_bytes(whole)
    (line,) = lines(oncue_models(case, "verify", AT_COMMIT))
    # Every digest is right, and then loading says that these bytes are no model.
    assert line["digests"] == 19
    assert line["ok"] is False
    assert line["reason"] != "HUB_HASH_MISMATCH"


@pytest.mark.parametrize("model", [INDEXTTS_2, INDEXTTS_25], ids=lambda model: model.main.name)
def test_a_fetched_model_is_whole(model: PublicModel, tmp_path: Path) -> None:
    kind = {INDEXTTS_2: "indextts2", INDEXTTS_25: "indextts2.5"}[model]
    folder = make_random_folder(kind, "small", tmp_path / "made", seed=0)
    with running_hub(hub_repositories_of(folder, model)) as hub:
        case = HubCase(hub, tmp_path / "cache", small_model(model))
        assert fetch(case, at_commit(model), "--accept-licence").exit_code == 0
        answer = oncue_models(case, "verify", at_commit(model))
    (line,) = lines(answer)
    assert line["ok"] is True, line
    assert line["digests"] == sum(len(one.commits[COMMIT]) for one in hub.repositories.values())
    assert len(str(line["fingerprint"])) == 16


def serve(case: HubCase, tmp_path: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "oncue.cli", "serve", "--address", "127.0.0.1:0", "--data", str(tmp_path), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "HF_HUB_CACHE": str(case.cache), "HF_ENDPOINT": case.hub.endpoint, **environment},
    )


def test_serve_fetches_a_model_and_speaks(small_public_dir: Path, clip: Path, tmp_path: Path) -> None:
    with running_hub(hub_repositories_of(small_public_dir)) as hub:
        case = HubCase(hub, tmp_path / "cache", small_model())
        server = serve(case, tmp_path / "data", "--model", AT_COMMIT, "--accept-licence", "--threads", "1")
        try:
            assert server.stdout is not None
            line = server.stdout.readline()
            assert line, server.communicate()[1]
            ready = json.loads(line)
            assert ready["model"] == AT_COMMIT
            with oncue.connect_sync(ready["address"]) as client:
                voice = client.voices.create("held", clip)
                spoken = client.synthesize("Good evening.", voice=voice, duration_samples=33_075, seed=1)
            assert len(spoken.samples) == 33_075
        finally:
            server.terminate()
            stderr = server.communicate(timeout=60)[1]
        assert server.returncode == 0
        assert "CC BY-NC 4.0" in stderr
        # Where large files lie is signed for a while, and no business of a log.
        assert "/large/" not in stderr
        assert_whole(case, case.fetch())


def test_serve_fetches_nothing_that_nobody_accepted(case: HubCase, tmp_path: Path) -> None:
    server = serve(case, tmp_path / "data", "--model", AT_COMMIT)
    stderr = server.communicate(timeout=60)[1]
    assert server.returncode == 1
    assert "oncue serve: nothing is fetched before these licences are accepted" in stderr
    assert case.hub.bytes_asked() == []


def test_serve_without_a_network_says_what_is_missing(case: HubCase, tmp_path: Path) -> None:
    server = serve(case, tmp_path / "data", "--model", MAIN, "--accept-licence", HF_HUB_OFFLINE="1")
    stderr = server.communicate(timeout=60)[1]
    assert server.returncode == 1
    assert stderr.startswith(f"oncue serve: {MAIN} is not all here")
    assert "gpt.pth" in stderr
    assert case.hub.asked == []
