"""Emotion in words through the SDK and the program, on a server whose model takes words."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import oncue

from ..conftest import running_server

WORDS = "tired, but proud"


@pytest.fixture(scope="module")
def address(tiny_words_model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_server(tiny_words_model_dir, tmp_path_factory.mktemp("worded")) as address:
        yield address


async def test_words_through_the_sdk(address: str, new_id: str) -> None:
    async with oncue.connect(address) as client:
        assert (await client.info()).emotion_from_words
        kept = await client.emotions.create(new_id, oncue.Words(WORDS))
        assert (kept.words, kept.weights, kept.reference) == (WORDS, None, None)
        told = []
        for emotion in (kept, oncue.Words(WORDS)):
            stream = client.stream("Hello.", emotion=emotion, seed=1, pacing=oncue.Pacing(realtime=False))
            assert [chunk async for chunk in stream] and stream.started is not None
            told.append(stream.started.emotion_weights)
        told.append((await client.plan("Hello.", emotion=oncue.Words(WORDS))).emotion_weights)
        assert told[0] == told[1] == told[2] is not None
        assert sum((told[0] or {}).values()) == pytest.approx(1.0, abs=1e-5)


def test_say_tells_how_words_were_understood(address: str, tmp_path: Path) -> None:
    said = subprocess.run(
        [*(sys.executable, "-m", "oncue.cli", "say", "Hello.", "-o", "w.wav", "--emotion-text", WORDS)],
        cwd=tmp_path,
        env={**os.environ, "ONCUE_SERVER": address},
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 0, said.stderr
    assert (tmp_path / "w.wav").stat().st_size > 44
    assert re.search(r", emotion [a-z]+=\d\.\d\d(,[a-z]+=\d\.\d\d)*$", said.stderr.strip())
