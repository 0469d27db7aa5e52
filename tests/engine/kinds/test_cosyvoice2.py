"""The second kind of model keeps the engine's promises through the same door, and says what it cannot."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from oncue_engine.checkpoints.cosyvoice2 import COSYVOICE2_WEIGHTS, load_cosyvoice2
from oncue_engine.checkpoints.loaded import load_model
from oncue_engine.checkpoints.random_cosyvoice2 import make_random_cosyvoice2
from oncue_engine.engine import Engine
from oncue_engine.errors import CheckpointError, EngineError, GenerationFailed, InvalidRequest, Unsupported
from oncue_engine.kinds.cosyvoice2 import CosyVoice2
from oncue_engine.kinds.opening import open_model
from oncue_engine.options import EngineOptions
from oncue_engine.requests import (
    EmotionWeights,
    EmotionWords,
    Pacing,
    PacingMode,
    Reference,
    TargetSamples,
    TargetTokens,
)

from ..conftest import Speaker, reference

SHORT = "Please close the window before you leave."
MIXED = "The door was open, and nobody had seen the cat. 你好，今天的天气很好！"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_random_cosyvoice2(tmp_path_factory.mktemp("model") / "second")


@pytest.fixture(scope="module")
def second(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Speaker]:
    """An engine whose rows run alone: what it promises, it promises to the bit."""
    engine = Engine.load(folder, tmp_path_factory.mktemp("data"), EngineOptions(threads=1, deterministic=True))
    yield Speaker(engine, reference(folder / "voices" / "low.wav"))
    engine.close()


@pytest.fixture(scope="module")
def high(folder: Path) -> Reference:
    return reference(folder / "voices" / "high.wav")


def test_the_folder_is_small_and_says_its_kind(folder: Path, tmp_path: Path) -> None:
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 5_000_000
    name, model = open_model(folder)
    assert name == "second" and isinstance(model, CosyVoice2)
    again = make_random_cosyvoice2(tmp_path / "again")
    other = make_random_cosyvoice2(tmp_path / "other", seed=1)
    assert load_cosyvoice2(again).fingerprint == model.fingerprint != load_cosyvoice2(other).fingerprint


def test_the_engine_says_what_it_is(second: Speaker) -> None:
    info = second.engine.info
    assert info.languages == ("zh", "en")
    assert info.native_rate_hz == 24_000 and info.token_rate_hz == 25
    assert info.emotions == () and not info.emotion_from_words and not info.emotion_from_clips
    assert info.duration_control == "constructed"


@pytest.mark.parametrize("rate_hz", [16_000, 24_000, 44_100])
@pytest.mark.parametrize("factor", [0.7, 1.4])
def test_samples_asked_are_samples_spoken(second: Speaker, rate_hz: int, factor: float) -> None:
    plan = second.engine.plan(second.request(SHORT, sample_rate_hz=rate_hz))
    asked = round(plan.natural_samples * factor) + 1
    recorder = second.say(SHORT, sample_rate_hz=rate_hz, length=TargetSamples(asked))
    assert len(recorder.samples) == recorder.finished().total_samples == asked


def test_tokens_asked_are_tokens_spoken(second: Speaker) -> None:
    plan = second.engine.plan(second.request(MIXED))
    for asked in (plan.min_tokens, plan.natural_tokens + 1):
        finished = second.say(MIXED, sample_rate_hz=24_000, length=TargetTokens(asked)).finished()
        assert finished.total_codes == asked
        # 40 ms each, at the native rate without rounding; silence between segments is as planned.
        pauses = finished.total_samples - asked * 960
        assert pauses >= 0 and (pauses > 0) == (len(plan.segments) > 1)


def test_free_speech_ends_by_itself(second: Speaker) -> None:
    ends = [second.say(SHORT, seed=seed).finished() for seed in range(4)]
    assert {end.reason for end in ends} == {"complete"}
    assert len({end.total_codes for end in ends}) > 1


def test_audio_leaves_while_later_tokens_are_to_come(second: Speaker) -> None:
    recorder = second.say(MIXED, length=TargetTokens(second.engine.plan(second.request(MIXED)).natural_tokens))
    assert len(recorder.chunks) >= 3
    assert recorder.chunks[0].codes_generated < recorder.finished().total_codes / 2


def test_how_it_is_delivered_does_not_change_a_bit(second: Speaker) -> None:
    whole = second.say(SHORT, seed=3)
    _, paced = second.begin(SHORT, seed=3, pacing=Pacing(PacingMode.REALTIME, 6_000))
    paced.finished()
    assert np.array_equal(paced.samples, whole.samples)
    assert len(paced.chunks) > len(whole.chunks)
    start = len(whole.samples) // 2 + 1
    rest = second.say(SHORT, seed=3, start_sample=start)
    assert np.array_equal(rest.samples, whole.samples[start:])


def test_a_seed_is_a_promise_alone_and_among_others(second: Speaker, high: Reference) -> None:
    alone = second.say(MIXED, seed=5)
    crowd = [second.begin(SHORT, seed=9, voice=high)[1], second.begin(SHORT, seed=1, length=TargetTokens(60))[1]]
    _, ours = second.begin(MIXED, seed=5)
    crowd.append(second.begin("And one more that comes later.", seed=2, sample_rate_hz=48_000)[1])
    ours.finished()
    for other in crowd:
        other.finished()
    assert np.array_equal(ours.samples, alone.samples)
    another = second.say(MIXED, seed=6)
    size = min(len(alone.samples), len(another.samples))
    assert np.abs(alone.samples[:size] - another.samples[:size]).max() > 0.01


def test_text_and_voice_are_heard(second: Speaker, high: Reference) -> None:
    length = TargetTokens(80)
    one, other_text, other_voice = (
        second.say(text, voice=voice, length=length, seed=4).samples
        for text, voice in (
            (SHORT, second.voice),
            ("Nobody asked who had closed the window.", second.voice),
            (SHORT, high),
        )
    )
    assert np.abs(one - other_text).max() > 0.01
    assert np.abs(one - other_voice).max() > 0.01


def test_a_cancel_frees_the_slot(second: Speaker) -> None:
    scheduler = second.engine._scheduler
    free = scheduler.free_slots
    for _ in range(8):
        handle, recorder = second.begin(MIXED, pacing=Pacing(PacingMode.REALTIME, 2_000))
        assert recorder.first_audio.wait(30)
        handle.cancel()
        events = len(recorder.events)
        second.say("Yes.", length=TargetTokens(8))
        assert len(recorder.events) == events
    deadline_s = time.monotonic() + 5.0
    while second.engine.live_utterances or scheduler.free_slots < free:
        assert time.monotonic() < deadline_s
        time.sleep(0.005)


def test_a_voice_is_encoded_once_and_kept_for_good(folder: Path, tmp_path: Path, high: Reference) -> None:
    low = reference(folder / "voices" / "low.wav")
    for encodes in (1, 0):  # the second engine finds what the first one wrote
        engine = Engine.load(folder, tmp_path, EngineOptions(threads=1))
        try:
            speaker = Speaker(engine, low)
            assert speaker.say(SHORT).finished().prompt_encodes == encodes
            assert speaker.say(SHORT).finished().prompt_encodes == 0
            assert engine.prepare_voice(high) == encodes
            assert engine.prompt_encodes == 2 * encodes
        finally:
            engine.close()


@pytest.mark.parametrize(
    ("emotion", "reason"),
    [
        (EmotionWeights((1.0,) + (0.0,) * 7), "EMOTION_WEIGHTS_UNSUPPORTED"),
        (EmotionWords("merry"), "EMOTION_WORDS_UNSUPPORTED"),
        ("clip", "EMOTION_CLIPS_UNSUPPORTED"),
    ],
)
def test_every_emotion_is_refused_at_once(second: Speaker, high: Reference, emotion: object, reason: str) -> None:
    emotion = high if emotion == "clip" else emotion
    for ask in (
        lambda: second.begin(SHORT, emotion=emotion),
        lambda: second.engine.plan(second.request(SHORT, emotion=emotion)),
    ):
        with pytest.raises(Unsupported) as caught:
            ask()
        assert caught.value.reason == reason
    with pytest.raises(Unsupported):
        second.engine.prepare_emotion(high)


def test_a_model_that_goes_wrong_ends_its_utterance_and_no_other(folder: Path, tmp_path: Path) -> None:
    broken = Path(shutil.copytree(folder, tmp_path / "broken"))
    tensors = load_file(broken / COSYVOICE2_WEIGHTS["llm"])
    # A piece that only one text has.
    _, model = open_model(folder)
    rare = model.text.segments("鬱")[0].pieces[0].id
    assert rare not in {piece.id for piece in model.text.segments(SHORT)[0].pieces}
    tensors["llm.embed_tokens.weight"][rare] = torch.nan
    save_file(tensors, broken / COSYVOICE2_WEIGHTS["llm"])
    engine = Engine.load(broken, tmp_path / "data", EngineOptions(threads=1))
    try:
        speaker = Speaker(engine, reference(broken / "voices" / "low.wav"))
        free = engine._scheduler.free_slots
        _, well = speaker.begin(SHORT)
        _, ill = speaker.begin("鬱")
        error = ill.failed().error
        assert isinstance(error, GenerationFailed) and error.reason == "NOT_FINITE"
        assert well.finished().reason == "complete"
        assert engine._scheduler.free_slots == free
    finally:
        engine.close()


def test_files_that_do_not_fit_are_named(folder: Path, tmp_path: Path) -> None:
    def broken(change: str) -> CheckpointError:
        bad = Path(shutil.copytree(folder, tmp_path / change))
        config = yaml.safe_load((bad / "config.yaml").read_text())
        flow = bad / COSYVOICE2_WEIGHTS["flow"]
        match change:
            case "file":
                flow.unlink()
            case "key":
                save_file({**load_file(flow), "more": torch.zeros(1)}, flow)
            case "shape":
                save_file({**load_file(flow), "encoder_proj.bias": torch.zeros(7)}, flow)
            case "pieces":
                (bad / "tokenizer.json").write_text("{}")
            case "kind":
                config["kind"] = "else"
            case "field":
                config["llm"]["widht"] = 64
            case "hop":
                config["vocoder"]["upsample_rates"] = [8, 5, 4, 4]
        (bad / "config.yaml").write_text(yaml.safe_dump(config))
        with pytest.raises(CheckpointError) as caught:
            open_model(bad)
        return caught.value

    for change, reason, word in (
        ("file", "CHECKPOINT_FILE_MISSING", "flow.safetensors"),
        ("key", "CHECKPOINT_KEYS", "more"),
        ("shape", "CHECKPOINT_KEYS", "encoder_proj.bias"),
        ("pieces", "CHECKPOINT_INVALID", "tokenizer.json"),
        ("kind", "MODEL_KIND_UNKNOWN", "else"),
        ("field", "CHECKPOINT_INVALID", "widht"),
        ("hop", "CHECKPOINT_INVALID", "hop"),
    ):
        error = broken(change)
        assert error.reason == reason and word in str(error), change


def test_who_reads_another_kind_says_so(folder: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        load_model(folder)
    assert caught.value.reason == "MODEL_KIND_WRONG"


def test_rows_that_need_more_tokens_than_chunks_see_are_refused(folder: Path, tmp_path: Path) -> None:
    far = Path(shutil.copytree(folder, tmp_path / "far"))
    config = yaml.safe_load((far / "config.yaml").read_text())
    config["flow"]["encoder"]["look_ahead_tokens"] = 5
    (far / "config.yaml").write_text(yaml.safe_dump(config))
    flow = load_file(far / COSYVOICE2_WEIGHTS["flow"])
    flow["encoder.look_ahead.weight"] = torch.nn.functional.pad(flow["encoder.look_ahead.weight"], (0, 2))
    save_file(flow, far / COSYVOICE2_WEIGHTS["flow"])
    with pytest.raises(CheckpointError) as caught:
        Engine.load(far, tmp_path / "data", EngineOptions(threads=1))
    assert caught.value.reason == "LOOK_AHEAD_TOO_LONG"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (EngineOptions(pipeline="naive"), "PIPELINE_UNSUPPORTED"),
        (EngineOptions(pipeline="crossfade"), "PIPELINE_UNSUPPORTED"),
        (EngineOptions(decoding="reference"), "DECODING_UNSUPPORTED"),
    ],
)
def test_what_only_the_other_kind_has_is_refused_at_the_start(
    folder: Path, tmp_path: Path, options: EngineOptions, reason: str
) -> None:
    with pytest.raises(EngineError) as caught:
        Engine.load(folder, tmp_path, options)
    assert caught.value.reason == reason


def test_a_language_is_one_that_it_speaks(second: Speaker) -> None:
    assert second.say(SHORT, language="en").finished().reason == "complete"
    with pytest.raises(InvalidRequest) as caught:
        second.begin(SHORT, language="ja")
    assert caught.value.reason == "LANGUAGE_UNSUPPORTED"


def test_a_pronunciation_is_refused(second: Speaker) -> None:
    with pytest.raises(InvalidRequest) as caught:
        second.begin("Close the <window|W IH1 N D OW0>.")
    assert caught.value.reason == "TEXT_PRONUNCIATION_INVALID"
