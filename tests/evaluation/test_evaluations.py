"""Every evaluation against a real server with the tiny random model: what must hold whatever the weights are."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

import oncue
from oncue_eval.ablations import evaluate_ablations
from oncue_eval.duration import FACTORS, evaluate_lengths
from oncue_eval.emotion import evaluate_emotions
from oncue_eval.figures import Figure, verdict
from oncue_eval.intelligibility import evaluate_words
from oncue_eval.material import voice_clips
from oncue_eval.seams import evaluate_seams
from oncue_eval.showcase import write_showcase
from oncue_eval.similarity import evaluate_speakers
from oncue_eval.streaming import evaluate_streaming
from oncue_eval.studio import Line, Studio
from oncue_eval.subject import Listener, Subject, registered_voices
from oncue_eval.timbre import evaluate_timbre
from oncue_eval.word_emotions import evaluate_word_emotions

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # Dozens of utterances each.


def _subject(client: oncue.Client, info: oncue.ServerInfo, voices: dict[str, str], notes: list[str]) -> Subject:
    return Subject(
        client=client,
        info=info,
        studio=Studio(client),
        voices=voices,
        voice=None,
        sentences=1,
        listener=Listener(note=notes.append, detail=str, progress=str),
    )


async def _figures(
    address: str, *evaluations: Callable[[Subject], AsyncIterator[Figure]]
) -> tuple[list[Figure], list[str]]:
    """What evaluations of one sentence find, and their notes."""
    notes: list[str] = []
    async with oncue.connect(address) as client:
        clips = dict(list(voice_clips().items())[:2])
        before = [voice.name async for voice in client.voices.list()]
        async with registered_voices(client, {name: clip.encoded for name, clip in clips.items()}) as voices:
            names = {name: voice.name for name, voice in voices.items()}
            subject = _subject(client, await client.info(), names, notes)
            figures = [figure for evaluation in evaluations async for figure in evaluation(subject)]
        assert [voice.name async for voice in client.voices.list()] == before, "an evaluation leaves no voices behind"
    return figures, notes


def _named(figures: list[Figure], name: str) -> list[Figure]:
    return [figure for figure in figures if figure.name == name]


async def test_words_and_speakers(server_address: str) -> None:
    figures, _ = await _figures(server_address, evaluate_words, evaluate_speakers)
    (teacher,) = _named(figures, "wer_teacher")
    assert teacher.value == 0.0
    held_out, default = _named(figures, "wer")
    assert held_out.goal == default.goal and held_out.goal is not None and held_out.goal.at_most == 0.08
    # The tiny model speaks noise: no word is right.
    assert verdict(held_out) == "short"
    (top1,) = _named(figures, "speaker_top1")
    assert top1.conditions["trials"] == 1 and top1.value in (0.0, 1.0)
    (similarity,) = _named(figures, "speaker_similarity")
    assert float(similarity.value or 0.0) < float(similarity.conditions["ground_truth"] or 0.0)


async def test_emotions_in_all_three_ways(server_address: str) -> None:
    figures, _ = await _figures(server_address, evaluate_emotions, evaluate_timbre)
    (fit,) = _named(figures, "emotion_judge_accuracy")
    assert verdict(fit) == "pass"
    by_source = {figure.conditions["source"]: figure for figure in _named(figures, "emotion_accuracy")}
    assert set(by_source) == {"audio", "vector", "words", "lowest of the three"}
    assert by_source["audio"].conditions["trials"] == 7
    # Whatever the noise sounds like, it cannot be right about all of seven emotions.
    assert verdict(by_source["audio"]) == "short"
    for figure in by_source.values():
        assert (figure.value is None) == ("why" in figure.conditions)
    measured = {
        source for source, figure in by_source.items() if figure.value is not None and source != "lowest of the three"
    }
    lowest = by_source["lowest of the three"].value
    assert (lowest is None) == (len(measured) < 3)
    likeness = _named(figures, "emotion_similarity")
    assert len(likeness) == 6 * len(measured) and all(-1.0 <= float(f.value or 0.0) <= 1.0 for f in likeness)
    deltas = _named(figures, "wer_emotion_delta")
    assert {figure.conditions["source"] for figure in deltas} == measured
    (drop,) = _named(figures, "timbre_drop")
    assert drop.value == pytest.approx(
        float(drop.conditions["own_emotion_clip"] or 0) - float(drop.conditions["swapped_emotion_clip"] or 0)
    )


async def test_lengths(server_address: str) -> None:
    figures, _ = await _figures(server_address, evaluate_lengths)
    lengths = _named(figures, "sample_error")
    assert [figure.value for figure in lengths] == [0] * 11
    assert all(figure.conditions["streamed_equals_unary"] for figure in lengths)
    assert lengths[0].conditions["asked_samples"] == 112_560
    tokens = _named(figures, "token_error")
    forced = {figure.conditions["factor"]: figure for figure in tokens if figure.conditions["end_forced"]}
    free = {figure.conditions["factor"]: figure for figure in tokens if not figure.conditions["end_forced"]}
    assert set(forced) == set(free) == set(FACTORS)
    assert all(figure.value == 0.0 and verdict(figure) == "pass" for figure in forced.values())
    # A random model does not end where it is told to.
    assert any(figure.value for figure in free.values())
    assert len(_named(figures, "wer_duration_delta")) == len(FACTORS)


async def test_streaming(server_address: str) -> None:
    figures, notes = await _figures(server_address, evaluate_streaming)
    values = {(f.name, f.conditions.get("sentences"), f.conditions.get("utterance")): f.value for f in figures}
    assert values["same_seed_same_samples", None, None] == 1
    assert values["prompt_encodes", None, 2] == 0
    assert 0 < values["first_chunk_codes", None, None] <= 1
    assert values["ttfa_ms_p50", 1, None] > 0 and values["ttfa_ms_p50", 3, None] > 0
    ratio = values["ttfa_ms_p50", 3, None] / values["ttfa_ms_p50", 1, None]
    assert values["ttfa_length_ratio", 3, None] == pytest.approx(ratio)
    assert values["rtf", 1, None] > 0
    assert any("restart" in note for note in notes)


async def test_words_to_emotion(server_address: str) -> None:
    figures, _ = await _figures(server_address, evaluate_word_emotions)
    keywords, ours, *_ = _named(figures, "words_emotion_top1")
    assert keywords.conditions["system"] == "keyword table" and keywords.value is not None
    assert ours.goal is not None and ours.goal.at_least is not None
    assert ours.goal.at_least >= max(0.8, float(keywords.value) + 0.15)
    assert (ours.value is None) == ("why" in ours.conditions)


async def test_seams_and_logs_need_the_model_at_hand(server_address: str) -> None:
    figures, _ = await _figures(server_address, evaluate_seams, evaluate_ablations)
    assert [(figure.name, figure.value) for figure in figures] == [
        ("seam_ratio", None),
        ("ablation", None),
        ("emotion_speaker_leak", None),
    ]
    assert all(figure.conditions["why"] for figure in figures)


async def test_a_line_is_spoken_once_however_often_it_is_asked_for(server_address: str) -> None:
    async with oncue.connect(server_address) as client:
        studio = Studio(client)
        line = Line("Please close the window.", None)
        first, second = await studio.all(studio.take, [line, line], str, "lines")
        assert first is second
        other = await studio.take(Line("Please close the window.", None, seed=2))
        assert len(first.samples) != len(other.samples) or (first.samples != other.samples).any()


async def test_the_showcase_writes_sound_picture_and_words(server_address: str, tmp_path: Path) -> None:
    async with oncue.connect(server_address) as client:
        clips = {name: clip.encoded for name, clip in list(voice_clips().items())[:2]}
        async with registered_voices(client, clips) as voices:
            names = {name: voice.name for name, voice in voices.items()}
            await write_showcase(_subject(client, await client.info(), names, []), tmp_path)
    rows = json.loads((tmp_path / "clips.json").read_text())
    assert len(rows) == 10 and len({row["emotion"] for row in rows}) >= 7
    for row in rows:
        assert (tmp_path / row["file"]).stat().st_size > 10_000
        assert (tmp_path / row["file"]).with_suffix(".png").read_bytes()[:4] == b"\x89PNG"
        assert row["text"] and isinstance(row["heard"], str)


def test_the_command_prints_json_lines_and_writes_the_page(server_address: str, tmp_path: Path) -> None:
    page = tmp_path / "pages" / "eval.md"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "oncue.cli", "eval", "wer", "--json", "--verbose", "--sentences", "1"),
            *("--server", server_address, "--markdown", str(page)),
        ],
        capture_output=True,
        text=True,
        timeout=800,
        check=True,
    )
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["figure"] for row in rows] == ["wer_teacher", "wer", "wer"]
    assert all(row["table"] == "1" and row["sentences"] == 1 and row["words"] == 7 for row in rows)
    assert [row.get("pass") for row in rows] == [None, False, False]
    assert "please close the window" in done.stderr
    text = page.read_text()
    assert "## Table 1" in text and "| `wer` |" in text and "| short |" in text
