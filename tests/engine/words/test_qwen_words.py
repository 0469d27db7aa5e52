"""The public language model in its process: asked, in the background, replaced when it is gone, and never left over."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from oncue_engine.errors import CheckpointError, GenerationFailed
from oncue_engine.requests import EMOTION_NAMES
from oncue_engine.words.qwen_words import QwenWords

PROUD = {"happy": 0.3, "melancholic": 0.7, "calm": 0.1}


def gone(pid: int) -> bool:
    """Ended, whether or not somebody has asked how."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def until_gone(pid: int, within_s: float = 20.0) -> None:
    began_s = time.monotonic()
    while not gone(pid):
        assert time.monotonic() - began_s < within_s, "the process is still there"
        time.sleep(0.02)


def positive(weights: dict[str, float]) -> dict[str, float]:
    assert tuple(weights) == EMOTION_NAMES
    return {name: weight for name, weight in weights.items() if weight}


@pytest.fixture(scope="module")
def words(taught_qwen_dir: Path) -> Iterator[QwenWords]:
    words = QwenWords.open(taught_qwen_dir)
    yield words
    words.close()


def test_it_comes_with_the_first_words_and_stays(words: QwenWords) -> None:
    words.warm_up()
    assert words.pid is None and words.emotions == EMOTION_NAMES
    assert positive(words.weigh("tired, but proud")) == PROUD
    pid = words.pid
    assert pid is not None
    assert positive(words.weigh(" gloomy\n")) == {"sad": 0.25, "melancholic": 0.75}  # low spirits change places
    with pytest.raises(GenerationFailed, match="I will not say") as caught:
        words.weigh("rubbish")
    assert caught.value.reason == "EMOTION_WORDS_UNREADABLE"
    assert positive(words.weigh("tired, but proud")) == PROUD
    assert words.pid == pid


def test_it_gives_way_to_everybody(words: QwenWords) -> None:
    words.weigh("gloomy")
    assert words.pid is not None
    assert os.getpriority(os.PRIO_PROCESS, words.pid) >= os.getpriority(os.PRIO_PROCESS, 0) + 10
    adjusted = [int(Path(f"/proc/{pid}/oom_score_adj").read_text()) for pid in (words.pid, os.getpid())]
    assert adjusted[0] > adjusted[1]


@pytest.mark.parametrize("text", ["", " \n", "\ud800"])
def test_a_text_that_says_nothing(words: QwenWords, text: str) -> None:
    with pytest.raises(ValueError, match="the emotion's words"):
        words.weigh(text)


def test_a_process_that_dies_is_replaced_and_its_text_asked_again(words: QwenWords) -> None:
    words.weigh("gloomy")
    first = words.pid
    assert first is not None
    os.kill(first, signal.SIGSTOP)  # so that it dies over the text and not before
    with ThreadPoolExecutor(1) as caller:
        waiting = caller.submit(words.weigh, "tired, but proud")
        time.sleep(0.2)
        assert not waiting.done()
        os.kill(first, signal.SIGKILL)
        assert positive(waiting.result(60)) == PROUD
    assert words.pid not in (None, first) and gone(first)


def test_no_answer_in_time(words: QwenWords, monkeypatch: pytest.MonkeyPatch) -> None:
    words.weigh("gloomy")
    pid = words.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    monkeypatch.setattr(words, "_answer_s", 0.1)
    with pytest.raises(GenerationFailed, match=r"no answer within 0\.1 s") as caught:
        words.weigh("tired, but proud")
    assert caught.value.reason == "EMOTION_WORDS_TIMEOUT"
    assert words.pid is None and gone(pid)


def test_a_death_at_once(taught_qwen_dir: Path) -> None:
    words = QwenWords.open(taught_qwen_dir)
    try:
        with ThreadPoolExecutor(1) as caller:
            waiting = caller.submit(words.weigh, "tired, but proud")
            while (pid := words.pid) is None:
                time.sleep(0.005)
            os.kill(pid, signal.SIGKILL)
            with pytest.raises(GenerationFailed, match="-9") as caught:
                waiting.result(60)
        assert caught.value.reason == "EMOTION_WORDS_CRASHED" and words.pid is None
    finally:
        words.close()


def test_the_end_comes_at_once_whatever_it_does(taught_qwen_dir: Path) -> None:
    words = QwenWords.open(taught_qwen_dir)
    with ThreadPoolExecutor(1) as caller:
        waiting = caller.submit(words.weigh, "tired, but proud")
        while (pid := words.pid) is None:
            time.sleep(0.005)
        began_s = time.monotonic()
        words.close()
        assert time.monotonic() - began_s < 5.0
        error = waiting.exception(60)
    assert isinstance(error, GenerationFailed) and error.reason == "ENGINE_CLOSED"
    until_gone(pid)
    words.close()
    with pytest.raises(GenerationFailed) as caught:
        words.weigh("gloomy")
    assert caught.value.reason == "ENGINE_CLOSED"


def test_it_does_not_outlive_who_started_it(taught_qwen_dir: Path) -> None:
    script = (
        "import sys, threading; from pathlib import Path\n"
        "from oncue_engine.words.qwen_words import QwenWords\n"
        "words = QwenWords.open(Path(sys.argv[1])); words.weigh('gloomy'); print(words.pid, flush=True)\n"
        "while True: words.weigh('tired, but proud')\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    parent = subprocess.Popen(
        [sys.executable, "-c", script, str(taught_qwen_dir)], stdout=subprocess.PIPE, text=True, env=environment
    )
    try:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert not gone(pid)
    finally:
        parent.kill()
        parent.communicate()
    until_gone(pid)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", None, "config.json is missing"),
        ("config.json", "{", "config.json is no JSON: "),
        ("config.json", "[]", "config.json is no JSON object"),
        ("tokenizer.json", None, "tokenizer.json is missing"),
        ("model.safetensors", None, "no \\*.safetensors"),
        ("chat_template.jinja", None, "no chat template"),
    ],
)
def test_a_folder_that_lacks_something(
    taught_qwen_dir: Path, tmp_path: Path, name: str, content: str | None, message: str
) -> None:
    folder = Path(shutil.copytree(taught_qwen_dir, tmp_path / "qwen"))
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_text(content)
    with pytest.raises(CheckpointError, match=message):
        QwenWords.open(folder)


def test_weights_that_do_not_fit_are_told_once_and_again(taught_qwen_dir: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(taught_qwen_dir, tmp_path / "qwen"))
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.norm.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    words = QwenWords.open(folder)
    try:
        for _ in range(2):
            with pytest.raises(CheckpointError, match=r"model\.norm\.weight"):
                words.weigh("gloomy")
            assert words.pid is None
    finally:
        words.close()
