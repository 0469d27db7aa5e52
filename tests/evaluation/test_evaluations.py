"""Every evaluation against a real server with the tiny random model: what must hold whatever the weights are."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable

import pytest

import oncue
from oncue_eval.duration import evaluate_lengths
from oncue_eval.emotion import evaluate_emotions
from oncue_eval.figures import Figure
from oncue_eval.similarity import evaluate_speakers
from oncue_eval.streaming import evaluate_streaming
from oncue_eval.subject import Listener, Subject
from oncue_eval.teacher import TEACHERS, teacher_available

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]  # Dozens of utterances each.


async def _figures(
    address: str, evaluation: Callable[[Subject], AsyncIterator[Figure]], sentences: int
) -> tuple[list[Figure], list[str]]:
    """What an evaluation finds, and its notes."""
    notes: list[str] = []
    async with oncue.connect(address) as client:
        listener = Listener(note=notes.append, detail=str, progress=str)
        subject = Subject(client, (await client.info()).model, None, sentences, listener)
        voices = [voice.name async for voice in client.voices.list()]
        figures = [figure async for figure in evaluation(subject)]
        assert [voice.name async for voice in client.voices.list()] == voices, "an evaluation leaves no voices behind"
    return figures, notes


async def test_lengths(server_address: str) -> None:
    figures, _ = await _figures(server_address, evaluate_lengths, 1)
    lengths = [figure for figure in figures if figure.name == "sample_error"]
    assert [figure.value for figure in lengths] == [0] * 11
    assert all(figure.conditions["streamed_equals_unary"] for figure in lengths)
    assert lengths[0].conditions["asked_samples"] == 112_560
    tokens = [figure for figure in figures if figure.name == "token_error"]
    assert [figure.conditions["factor"] for figure in tokens] == [0.75, 0.875, 1.0, 1.125, 1.25]
    assert [figure.value for figure in tokens] == [0.0] * 5


async def test_speakers(server_address: str) -> None:
    (accuracy, top1, *pitch), _ = await _figures(server_address, evaluate_speakers, 1)
    assert accuracy.name == "speaker_judge_accuracy" and accuracy.value >= 0.9
    assert top1.name == "speaker_top1" and 0.0 <= top1.value <= 1.0
    assert top1.conditions["trials"] == 5
    # Noise has no pitch to be wrong.
    assert [figure.name for figure in pitch] in ([], ["speaker_pitch_error"])


async def test_emotions(server_address: str) -> None:
    figures, _ = await _figures(server_address, evaluate_emotions, 2)
    directions = {f.conditions["emotion"]: f.value for f in figures if f.name == "emotion_direction"}
    assert list(directions) == ["sad", "happy", "angry", "afraid", "all"]
    assert all(0.0 <= value <= 1.0 for value in directions.values())
    axes = {f.conditions["axis"] for f in figures if f.name == "emotion_change"}
    assert {"seconds", "level"} <= axes


async def test_streaming(server_address: str) -> None:
    figures, notes = await _figures(server_address, evaluate_streaming, 1)
    values = {(f.name, f.conditions.get("sentences"), f.conditions.get("utterance")): f.value for f in figures}
    assert values["same_seed_same_samples", None, None] == 1
    assert values["prompt_encodes", None, 2] == 0
    assert 0 < values["first_chunk_codes", None, None] <= 1
    assert values["ttfa_ms_p50", 1, None] > 0 and values["ttfa_ms_p50", 3, None] > 0
    ratio = values["ttfa_ms_p50", 3, None] / values["ttfa_ms_p50", 1, None]
    assert values["ttfa_length_ratio", 3, None] == pytest.approx(ratio)
    assert values["rtf", 1, None] > 0
    assert any("restart" in note for note in notes)


def test_the_command_prints_json_lines(server_address: str) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "oncue.cli", "eval", "wer", "--json", "--verbose", "--sentences", "1"),
            *("--server", server_address),
        ],
        capture_output=True,
        text=True,
        timeout=500,
        check=True,
    )
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["figure"] for row in rows] == ["wer"] + ["wer_teacher"] * len(TEACHERS) * teacher_available()
    assert all(row["value"] >= 0 and row["sentences"] == 1 and row["words"] == 7 for row in rows)
    assert "please close the window" in done.stderr
