"""A corpus from recordings: flite's readings, saved as a user's files would be, become shards that training reads."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
import torch
from torch import nn

from oncue_engine.checkpoints.config import SemanticEncoderConfig
from oncue_engine.frontend.phones import phone_id
from oncue_engine.training.corpus import Item, load_shard, text_tokens
from oncue_engine.training.encoder import SideHeads, build_encoder
from oncue_engine.training.features import PHONES, build_features, load_features
from oncue_engine.training.phone_alignment import AlignmentFailed, EncoderScorer, State, align
from oncue_engine.training.recordings import Report, build_from_recordings
from oncue_engine.training.sentences import everyday_sentences
from oncue_engine.training.speakers import corpus_speakers
from oncue_engine.training.spoken_words import Reader
from oncue_engine.training.teacher import SAMPLE_RATE_HZ, Reading, read_aloud
from oncue_engine.training.transcripts import find_recordings
from oncue_engine.training.virtual_speakers import EMOTION_RULES, VirtualSpeaker

ANNA, BEN = VirtualSpeaker("anna", "slt", 1.0, 1.0, 1.0), VirtualSpeaker("ben", "kal16", 1.0, 1.0, 1.0)


def _save(path: Path, reading: Reading, rate_hz: int, gain: float = 1.0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    wave = soxr.resample(reading.samples.astype(np.float32) / 32768.0 * gain, SAMPLE_RATE_HZ, rate_hz)
    soundfile.write(path, np.stack([wave, wave], axis=1), rate_hz)


@pytest.fixture(scope="module")
def readings() -> dict[str, tuple[str, Reading]]:
    """By clip: sentence and reading, with the teacher's own times."""
    found = {}
    for k, sentence in enumerate(everyday_sentences(60, 3)):
        reading = read_aloud(sentence, (ANNA, BEN)[k % 2], EMOTION_RULES[0])
        if 1.1 < len(reading.samples) / SAMPLE_RATE_HZ < 7.0:
            found[f"clip-{k:02d}"] = (sentence, reading)
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, readings: dict[str, tuple[str, Reading]]) -> Path:
    """Anna in LJSpeech's layout at 44.1 kHz, Ben with text files at 22.05 kHz and four times as loud; bad files."""
    root = tmp_path_factory.mktemp("recordings")
    lines = ["id|text|emotion"]
    for k, (name, (sentence, reading)) in enumerate(readings.items()):
        if int(name[-2:]) % 2 == 0:
            _save(root / "anna" / "wavs" / f"{name}.flac", reading, 44100, 0.5)
            lines.append(f"{name}|{sentence}|{'happy' if len(lines) == 1 else 'neutral'}")
        else:
            _save(root / "ben" / f"{name}.wav", reading, 22050, 2.0)
            (root / "ben" / f"{name}{'.lab' if k % 4 == 1 else '.txt'}").write_text(sentence + "\n")
    lines += ["lost|There is no such file.|", "no-bar", "clip-00|Again.|"]
    (root / "anna" / "metadata.csv").write_text("\n".join(lines))
    _save(root / "ben" / "silent-text.wav", next(iter(readings.values()))[1], 16000)
    (root / "ben" / "noise.wav").write_bytes(b"not audio")
    (root / "ben" / "noise.txt").write_text("Hello.")
    soundfile.write(root / "ben" / "short.wav", np.full(4000, 0.1), 16000)
    (root / "ben" / "short.txt").write_text("Hello.")
    _save(root / "ben" / "foreign.wav", next(iter(readings.values()))[1], 16000)
    (root / "ben" / "foreign.txt").write_text("Привет")
    _save(root / "ben" / "crammed.wav", next(iter(readings.values()))[1], 16000)
    (root / "ben" / "crammed.txt").write_text("These are far too many words. " * 30)
    return root


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> tuple[Path, Report]:
    corpus = tmp_path_factory.mktemp("home") / "corpus"
    return corpus, build_from_recordings(folder, corpus, workers=1, items_per_shard=40)


def _items(report: Report) -> list[Item]:
    return [item for path in report.shards for item in load_shard(path)]


def test_every_good_clip_is_in_with_its_speaker_and_emotion(
    built: tuple[Path, Report], readings: dict[str, tuple[str, Reading]]
) -> None:
    _, report = built
    items = _items(report)
    assert len(report.shards) == 2 and len(items) == report.clips == len(readings)
    assert {item.speaker for item in items} == {"anna", "ben"}
    assert [item.emotion for item in items].count("happy") == 1
    lengths = sorted(len(reading.samples) for _, reading in readings.values())
    assert all(abs(a - b) <= 2 for a, b in zip(sorted(len(i.samples) for i in items), lengths, strict=True))
    # one gain a speaker: half and twice as loud as each other before
    by_speaker = [
        np.median([np.sqrt(np.mean((i.samples / 32768.0) ** 2)) for i in items if i.speaker == s])
        for s in ("anna", "ben")
    ]
    np.testing.assert_allclose(by_speaker, 0.06, rtol=0.05)


def test_bad_files_are_skipped_with_a_reason_that_names_what_is_wrong(built: tuple[Path, Report]) -> None:
    corpus, report = built
    reasons = {skip.path.name: skip.reason for skip in report.skipped}
    assert "no transcript" in reasons["silent-text.wav"]
    assert "not audio" in reasons["noise.wav"]
    assert "0.25 s" in reasons["short.wav"]
    assert "cannot pronounce" in reasons["foreign.wav"]
    assert "do not fit" in reasons["crammed.wav"]
    listed = [skip.reason for skip in report.skipped if skip.path.name == "metadata.csv"]
    assert any("'lost'" in reason for reason in listed)
    assert any("no `|`" in reason for reason in listed)
    assert any("listed twice" in reason for reason in listed)
    written = [json.loads(line) for line in (corpus / "skipped.jsonl").read_text().splitlines()]
    assert {row["reason"] for row in written} == {skip.reason for skip in report.skipped}


def _boundary_errors_s(items: Sequence[Item], readings: dict[str, tuple[str, Reading]]) -> list[float]:
    """Of the ends of phones within speech, where recording and teacher have the same phones."""
    by_words = {_words(sentence): reading for sentence, reading in readings.values()}
    errors: list[float] = []
    for item in items:
        reading = by_words[_words(item.sentence)]
        ours = [(p, e) for p, e in zip(item.phones, item.phone_ends_s, strict=True) if p != "pau"]
        true = [(p, e) for p, e in zip(reading.phones, reading.phone_ends_s, strict=True) if p != "pau"]
        if [p for p, _ in ours] == [p for p, _ in true]:
            errors += [abs(a - b) for (_, a), (_, b) in zip(ours, true, strict=True)]
    return errors


def _words(sentence: str) -> str:
    return " ".join(sentence.lower().translate(str.maketrans("", "", ",.?!")).split())


def test_phones_are_found_where_the_teacher_spoke_them(
    built: tuple[Path, Report], readings: dict[str, tuple[str, Reading]]
) -> None:
    errors = _boundary_errors_s(_items(built[1]), readings)
    assert len(errors) > 800
    print(f"boundaries: median {np.median(errors) * 1000:.0f} ms, 90 % {np.quantile(errors, 0.9) * 1000:.0f} ms")
    assert np.median(errors) < 0.025
    assert np.quantile(errors, 0.9) < 0.08


def test_marks_and_pauses_agree_and_times_rise_to_the_clips_end(built: tuple[Path, Report]) -> None:
    for item in _items(built[1]):
        tokens = text_tokens(item.sentence, item.phones)
        inner = "".join("p" if phone == "pau" else "." for phone in item.phones).strip("p").count("p")
        assert sum(token in ",.?!" for token in tokens) == inner + 1
        assert tokens[-1] == item.sentence[-1]
        ends = np.array(item.phone_ends_s)
        assert (np.diff(ends) > 0).all() and ends[0] > 0
        assert abs(ends[-1] - len(item.samples) / SAMPLE_RATE_HZ) < 0.01


def test_features_are_built_from_the_shards(built: tuple[Path, Report], tmp_path: Path) -> None:
    corpus, report = built
    speakers = corpus_speakers(corpus)
    assert [speaker.name for speaker in speakers] == ["anna", "ben"]
    # slt speaks at about 170 Hz, kal16 at about 95
    assert 150 < speakers[0].f0_hz < 190 and 80 < speakers[1].f0_hz < 115
    features = load_features(build_features(corpus, tmp_path, 1))
    assert len(features) == report.clips
    assert {item.speaker for item in features} == {0, 1}
    assert all(item.text and item.text[-1] in map(phone_id, ",.?!") for item in features)


def test_a_finished_corpus_is_passed_over_and_another_one_is_refused(
    built: tuple[Path, Report], folder: Path, tmp_path: Path
) -> None:
    corpus, report = built
    before = [path.stat().st_mtime_ns for path in report.shards]
    again = build_from_recordings(folder, corpus, workers=1, items_per_shard=40)
    assert again.clips == report.clips and [path.stat().st_mtime_ns for path in report.shards] == before
    with pytest.raises(ValueError, match="other recordings"):
        build_from_recordings(folder / "ben", corpus, workers=1)
    with pytest.raises(FileNotFoundError, match="no folder"):
        build_from_recordings(tmp_path / "nothing", corpus, workers=1)
    with pytest.raises(ValueError, match="no recording under"):
        build_from_recordings(tmp_path, tmp_path / "corpus", workers=1)


def test_layouts(tmp_path: Path) -> None:
    for name in ("wavs/a.wav", "wavs/b.wav", "c.flac"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "metadata.csv").write_text("a|Dr. Who|Doctor Who\nb|Plain|\n\nc.flac|By its file name\n")
    found, skipped = find_recordings(tmp_path)
    assert not skipped
    assert {r.path.name: r.text for r in found} == {
        "a.wav": "Doctor Who",
        "b.wav": "Plain",
        "c.flac": "By its file name",
    }
    assert {r.speaker for r in found} == {tmp_path.name}
    (tmp_path / "metadata.csv").write_text("speaker|file|emotion|text\nzoe|a|Sad|Oh.\n")
    found, skipped = find_recordings(tmp_path)
    assert [(r.speaker, r.emotion, r.text) for r in found] == [("zoe", "sad", "Oh.")]
    assert {skip.path.name for skip in skipped} == {"b.wav", "c.flac"}


def test_alignment_takes_the_best_path_and_skips_pauses_that_are_not_there() -> None:
    states = [State(0, True), State(1), State(0, True), State(2), State(0, True)]

    def scores(*phones: int) -> np.ndarray:
        table = np.full((len(phones), 3), -9.0, np.float32)
        table[np.arange(len(phones)), phones] = -0.1
        return table

    assert align(scores(0, 0, 1, 1, 0, 2, 0), states)[0].tolist() == [0, 0, 1, 1, 2, 3, 4]
    path, fit = align(scores(1, 2, 2), states)
    assert path.tolist() == [1, 3, 3]
    assert abs(fit + 0.1) < 1e-6
    assert align(scores(2, 1), states)[0].tolist() == [1, 3], "in order, whatever the scores say"
    with pytest.raises(AlignmentFailed, match="2 phones do not fit into 1 frames"):
        align(scores(1), states)


def test_the_encoders_head_scores_half_frames() -> None:
    config = SemanticEncoderConfig(32, 1, 2, 32, 3, 32, 32)
    torch.manual_seed(0)
    modules = nn.ModuleDict({"encoder": build_encoder(config, 4), "heads": SideHeads(32)}).eval()
    told = EncoderScorer(modules).score(np.random.default_rng(0).normal(scale=0.1, size=16000).astype(np.float32))
    assert told.scores.shape == (48, len(PHONES)) or told.scores.shape == (50, len(PHONES))
    np.testing.assert_allclose(np.exp(told.scores).sum(1), 1.0, rtol=1e-4)
    assert abs(told.begin_s + told.frame_s * len(told.scores) - 1.0) < 0.06


def test_short_silences_within_speech_are_no_pauses() -> None:
    words = Reader.load().read("Stop, Anna; go now!")
    assert words.words == ("Stop", "Anna", "go", "now") and words.marks == (",", ",", "", "!")
    after = np.cumsum([len(phones) + 1 for phones in words.phones])  # the pause after each word
    visited = np.array([k for k in range(after[-1] + 1) if k == 0 or k not in (after[2], after[3])])
    ends = 0.1 * np.arange(1, len(visited) + 1)
    long = words.spoken(visited, ends, 9.0)
    assert long.sentence == "Stop, Anna, go now!" and long.ends_s[-1] == 9.0
    at = visited.tolist().index(after[0])
    ends[at:] -= 0.05  # the first pause lasts 50 ms
    short = words.spoken(visited, ends, 9.0)
    assert short.sentence == "Stop Anna, go now!"
    assert len(short.phones) == len(long.phones) - 1
    assert abs(short.ends_s[at - 1] - ends[at]) < 1e-9, "the phone before it takes its time"
