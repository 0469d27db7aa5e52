"""The emotion bank: embedded as prompts are, grouped by style, and a command that makes one from a folder."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch.nn import functional

from oncue_engine.checkpoints.loaded import LoadedModel, load_model
from oncue_engine.checkpoints.random_nano import make_random_nano
from oncue_engine.conditioning import Conditioner
from oncue_engine.frontend.audio import Waveform, decode_reference
from oncue_engine.kinds.indextts2 import IndexTTS2
from oncue_engine.model.emotion_bank import EMOTION_NAMES, nearest_rows
from oncue_engine.training import bank_command
from oncue_engine.training.corpus import Item
from oncue_engine.training.emotion_bank import (
    ActedClip,
    PromptNetworks,
    build_bank,
    choose_actors,
    embed_clip,
    install_bank,
    save_bank,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_random_nano(tmp_path_factory.mktemp("bank") / "nano")


@pytest.fixture(scope="module")
def model(folder: Path) -> LoadedModel:
    return load_model(folder)


def networks_of(model: LoadedModel) -> PromptNetworks:
    return PromptNetworks(model.config, model.encoder.semantic_features, model.style, model.t2s)


def acted(emotion: str, angle: float, vector: float) -> ActedClip:
    return ActedClip(emotion, torch.tensor([np.cos(angle), np.sin(angle)]).float(), torch.full((3,), vector))


@pytest.mark.parametrize("rate_hz", [16_000, 44_100])
def test_clips_are_embedded_as_prompts_are(folder: Path, model: LoadedModel, tmp_path: Path, rate_hz: int) -> None:
    samples = decode_reference(folder / "voices" / "low.wav").samples
    clip = Waveform(samples.repeat(3), rate_hz)  # beyond the prompt limit at 16 kHz, below it at 44.1 kHz
    made = embed_clip(networks_of(model), clip, "sad")
    conditioner = Conditioner(IndexTTS2(model), tmp_path)
    assert torch.equal(made.style, conditioner.make_voice("v", clip).style)
    assert torch.equal(made.vector, conditioner.make_emotion("e", clip).emotion)


def test_rows_lie_apart_in_style_and_hold_what_their_group_has_in_common() -> None:
    places = (0.0, 1.2, 2.4, 3.6, 4.8)
    clips = [acted("sad", place + sway, 10.0 * k + sway) for k, place in enumerate(places) for sway in (-0.1, 0.0, 0.1)]
    clips += [acted("calm", 0.0, 7.0)]
    random.Random(0).shuffle(clips)
    bank = build_bank(clips)
    assert dict(zip(EMOTION_NAMES, bank.counts, strict=True)) == {
        **dict.fromkeys(EMOTION_NAMES, 0),
        "sad": 5,
        "calm": 1,
    }
    assert sorted(bank.emotions[:5, 0].tolist()) == pytest.approx([0.0, 10.0, 20.0, 30.0, 40.0], abs=1e-5)
    for k, place in enumerate(places):
        style = torch.tensor([[np.cos(place + 0.2), np.sin(place + 0.2)]])
        row = nearest_rows(bank, style)[EMOTION_NAMES.index("sad")]
        assert float(bank.emotions[row, 0]) == pytest.approx(10.0 * k, abs=1e-5)


def test_the_order_of_clips_does_not_matter() -> None:
    generator = torch.Generator().manual_seed(0)
    clips = [
        ActedClip(name, torch.randn(8, generator=generator), torch.randn(4, generator=generator))
        for name in ("happy", "sad")
        for _ in range(40)
    ]
    bank = build_bank(clips)
    assert bank.counts == (5, 0, 5, 0, 0, 0, 0, 0)
    random.Random(1).shuffle(clips)
    again = build_bank(clips)
    assert torch.equal(bank.styles, again.styles) and torch.equal(bank.emotions, again.emotions)


def test_copies_of_one_clip_are_one_row() -> None:
    bank = build_bank([acted("angry", 1.0, 2.0)] * 9)
    assert bank.counts == (0, 1, 0, 0, 0, 0, 0, 0)


def test_a_bank_needs_clips_and_known_names() -> None:
    with pytest.raises(ValueError, match="no clips"):
        build_bank([])
    with pytest.raises(ValueError, match="hungry"):
        build_bank([acted("hungry", 0.0, 0.0)])


def test_actors_take_turns() -> None:
    def clip(speaker: str, emotion: str, seconds: float, sentence: str = "") -> Item:
        return Item(np.zeros(int(16_000 * seconds), np.int16), (), (), sentence, speaker, emotion)

    clips = [clip("a", "sad", 2.0, str(k)) for k in range(9)] + [clip("b", "sad", 2.0), clip("c", "sad", 0.5)]
    clips += [clip("a", "calm", 2.0)]
    chosen = choose_actors(clips, 4)
    assert [(c.emotion, c.speaker) for c in chosen] == [("calm", "a"), *[("sad", s) for s in "abaa"]]


@pytest.mark.parametrize("before", ["emo_num: [1, 2]\n", "emo_num:\n- 1\n- 2\n", ""])
def test_a_bank_is_installed_with_its_counts(folder: Path, tmp_path: Path, before: str) -> None:
    target = Path(shutil.copytree(folder, tmp_path / "model"))
    config = target / "config.yaml"
    kept = "# a remark\n" + config.read_text().partition("gpt:")[2]
    config.write_text("gpt:" + kept.replace("# a remark", "", 1) + before + "# a remark\n")
    rows = {"style": 24, "vector": 64}
    clips = [
        ActedClip(name, torch.randn(rows["style"]), torch.randn(rows["vector"])) for name in ("sad", "calm", "calm")
    ]
    bank = build_bank(clips)
    save_bank(bank, tmp_path / "saved" / "bank.safetensors")
    assert install_bank(tmp_path / "saved" / "bank.safetensors", target)["calm"] == 2
    loaded = load_model(target).emotion_bank
    assert loaded is not None and loaded.counts == (0, 0, 1, 0, 0, 0, 0, 2)
    torch.testing.assert_close(loaded.emotions, bank.emotions, atol=2e-3, rtol=1e-3)
    text = config.read_text()
    assert text.count("emo_num") == 1 and "# a remark" in text


# The command


@pytest.fixture
def clips(folder: Path, tmp_path: Path) -> Path:
    """Three emotions by two voices, and a file that is no clip."""
    made = tmp_path / "clips"
    made.mkdir()
    rows = []
    for voice in ("low", "high"):
        samples, rate_hz = soundfile.read(folder / "voices" / f"{voice}.wav")
        for emotion, factor in (("sad", 0.2), ("angry", 0.9), ("neutral", 0.5)):
            file = f"{voice}-{emotion}.flac"
            soundfile.write(made / file, factor * samples, rate_hz)
            rows.append({"file": file, "emotion": emotion})
    (made / "broken.wav").write_bytes(b"not audio")
    rows.append({"file": "broken.wav", "emotion": "sad"})
    (made / "clips.jsonl").write_text("\n".join(json.dumps(row) for row in rows) + "\n\n")
    return made


def test_a_command_makes_a_bank_from_a_folder(
    folder: Path, clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert bank_command.main([str(clips), "--model", str(folder), "--out", str(out)]) == 0
    told = capsys.readouterr()
    assert "angry: 2 rows from 2 clips" in told.out and "happy: the model does not have it" in told.out
    assert "broken.wav: left out" in told.err
    bank = load_model(out).emotion_bank
    assert bank is not None and bank.counts == (0, 2, 2, 0, 0, 0, 0, 2)
    style = functional.normalize(bank.styles, dim=1)
    assert torch.allclose(style.norm(dim=1), torch.ones(6))
    assert load_model(folder).emotion_bank is not None  # the model it began from is as it was
    # In place, and with fewer rows.
    assert bank_command.main([str(clips), "--model", str(out), "--out", str(out), "--rows", "1"]) == 0
    smaller = load_model(out).emotion_bank
    assert smaller is not None and smaller.counts == (0, 1, 1, 0, 0, 0, 0, 1)


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        ('{"file": "low-sad.flac"}', "line 1"),
        (
            '{"file": "low-sad.flac", "emotion": "sad"}\n{"file": "low-sad.flac", "emotion": "hungry"}',
            "line 2: 'hungry'",
        ),
        ('{"file": "nowhere.wav", "emotion": "sad"}', "there is no"),
        ("", "names no clips"),
        ('{"file": "broken.wav", "emotion": "sad"}', "no clip can be used"),
    ],
)
def test_bad_labels_are_named(
    folder: Path, clips: Path, tmp_path: Path, lines: str, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (clips / "clips.jsonl").write_text(lines)
    assert bank_command.main([str(clips), "--model", str(folder), "--out", str(tmp_path / "out")]) == 1
    assert complaint in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_words_that_a_smaller_bank_cannot_follow_stay_behind(
    tiny_words_model_dir: Path, clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = Path(shutil.copytree(tiny_words_model_dir, tmp_path / "base"))
    out = tmp_path / "out"
    assert bank_command.main([str(clips), "--model", str(base), "--out", str(out)]) == 0
    assert "left out: emotion_words" in capsys.readouterr().err
    assert load_model(out).emotion_words is None
    # In place nothing is taken away, so nothing is done.
    assert bank_command.main([str(clips), "--model", str(base), "--out", str(base)]) == 1
    assert "error: emotion_words: it gives weights to happy" in capsys.readouterr().err
    kept = load_model(base)
    assert kept.emotion_words is not None and kept.emotion_bank is not None
    assert kept.emotion_bank.counts == (2, 2, 2, 2, 2, 0, 2, 2)


def test_nothing_is_written_over(folder: Path, clips: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        bank_command.main([str(clips), "--model", str(folder), "--out", str(tmp_path)])
