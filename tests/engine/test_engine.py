"""The engine's door: what is promised about one utterance (issue: exact, seeded, streamed, resumable, precise)."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from oncue_engine.answers import Started
from oncue_engine.engine import Engine
from oncue_engine.errors import EngineError, InvalidRequest, LengthInfeasible, ReferenceRejected
from oncue_engine.frontend.resample import resample
from oncue_engine.options import EngineOptions
from oncue_engine.requests import (
    EmotionWeights,
    LengthPolicy,
    Pacing,
    PacingMode,
    Reference,
    Sampling,
    TargetSamples,
    TargetTokens,
    UtteranceRequest,
)

if TYPE_CHECKING:
    from .conftest import Speaker

SHORT = "Please close the window before you leave."
LONG = (
    "The evening train was late, so we sat by the window and watched the rain. "
    "My sister grows tomatoes on the balcony, and they are better than any from a shop. "
    "There is a narrow path behind the house."
)


@pytest.mark.parametrize("rate_hz", [16_000, 22_050, 24_000, 44_100, 48_000])
@pytest.mark.parametrize("factor", [0.8, 1.25])
def test_samples_asked_are_samples_spoken(speaker: Speaker, rate_hz: int, factor: float) -> None:
    asked = round(speaker.engine.plan(speaker.request(SHORT, sample_rate_hz=rate_hz)).natural_samples * factor) + 1
    recorder = speaker.say(SHORT, sample_rate_hz=rate_hz, length=TargetSamples(asked))
    started = recorder.events[0]
    assert isinstance(started, Started) and started.planned_samples == asked
    assert len(recorder.samples) == recorder.finished().total_samples == asked


def test_samples_asked_over_several_segments(speaker: Speaker) -> None:
    plan = speaker.engine.plan(speaker.request(LONG, sample_rate_hz=44_100))
    assert len(plan.segments) > 2
    for asked in (plan.min_samples, plan.natural_samples + 7, plan.comfortable_max_samples):
        recorder = speaker.say(LONG, sample_rate_hz=44_100, length=TargetSamples(asked))
        assert len(recorder.samples) == asked


@pytest.mark.parametrize("text", [SHORT, LONG])
def test_tokens_asked_are_tokens_spoken(speaker: Speaker, text: str) -> None:
    plan = speaker.engine.plan(speaker.request(text))
    for asked in (plan.min_tokens, plan.natural_tokens + 1):
        finished = speaker.say(text, length=TargetTokens(asked)).finished()
        assert finished.total_codes == asked
        assert finished.reason == "complete"


def test_force_goes_beyond_the_range(speaker: Speaker) -> None:
    plan = speaker.engine.plan(speaker.request(SHORT))
    short, long = plan.min_samples // 3, plan.max_samples + 12_345
    for asked in (short, long):
        with pytest.raises(LengthInfeasible):
            speaker.begin(SHORT, length=TargetSamples(asked))
        recorder = speaker.say(SHORT, length=TargetSamples(asked), length_policy=LengthPolicy.FORCE)
        assert len(recorder.samples) == asked


def test_the_same_seed_says_the_same_and_another_does_not(speaker: Speaker) -> None:
    one, two, other = (speaker.say(LONG, seed=seed) for seed in (11, 11, 12))
    assert np.array_equal(one.samples, two.samples)
    size = min(len(one.samples), len(other.samples))
    assert np.abs(one.samples[:size] - other.samples[:size]).max() > 0.01


def test_pacing_changes_when_not_what(speaker: Speaker) -> None:
    free = speaker.say(SHORT, seed=3)
    _, paced = speaker.begin(SHORT, seed=3, pacing=Pacing(PacingMode.REALTIME, 6_000))
    paced.finished()
    assert np.array_equal(free.samples, paced.samples)
    assert len(paced.chunks) > len(free.chunks)


def test_other_utterances_change_nothing(speaker: Speaker, high_voice: Reference) -> None:
    alone = speaker.say(LONG, seed=5)
    crowd = [
        speaker.begin("A completely different sentence, which goes on for a while.", seed=9, voice=high_voice)[1],
        speaker.begin(SHORT, seed=1, length=TargetTokens(60))[1],
    ]
    _, ours = speaker.begin(LONG, seed=5)
    crowd.append(speaker.begin("And one more that comes later.", seed=2, sample_rate_hz=48_000)[1])
    finished = ours.finished()
    for other in crowd:
        other.finished()
    assert finished.total_codes == alone.finished().total_codes
    np.testing.assert_allclose(ours.samples, alone.samples, rtol=0, atol=1e-4)


def test_audio_leaves_while_tokens_are_still_being_generated(speaker: Speaker) -> None:
    recorder = speaker.say(LONG)
    finished = recorder.finished()
    assert recorder.chunks[0].codes_generated < finished.total_codes / 2
    assert 0.0 < finished.time_to_first_audio_s < finished.generation_s / 2
    assert recorder.chunks[-1].codes_generated == finished.total_codes


@pytest.mark.parametrize("rate_hz", [16_000, 44_100])
def test_a_retry_resumes_where_it_broke(speaker: Speaker, rate_hz: int) -> None:
    whole = speaker.say(SHORT, seed=4, sample_rate_hz=rate_hz)
    for start in (1, 5_000, len(whole.samples) - 1):
        rest = speaker.say(SHORT, seed=4, sample_rate_hz=rate_hz, start_sample=start)
        assert rest.chunks[0].first_sample == start
        assert np.array_equal(rest.samples, whole.samples[start:])
        assert rest.finished().total_samples == len(whole.samples)
    beyond = speaker.say(SHORT, seed=4, sample_rate_hz=rate_hz, start_sample=len(whole.samples) + 5)
    assert beyond.chunks == [] and beyond.finished().total_samples == len(whole.samples)


def test_segments_are_joined_by_silence(speaker: Speaker) -> None:
    plan = speaker.engine.plan(speaker.request(LONG))
    recorder = speaker.say(LONG, length=TargetTokens(plan.natural_tokens))
    quiet = np.flatnonzero(np.abs(recorder.samples) < 1e-9)
    runs = np.split(quiet, np.flatnonzero(np.diff(quiet) > 1) + 1)
    pauses = [len(run) for run in runs if len(run) > 2_000]
    assert len(pauses) == len(plan.segments) - 1
    assert all(abs(pause - 3_200) < 100 for pause in pauses)  # 200 ms
    assert len(recorder.samples) == plan.natural_samples


@pytest.mark.parametrize("rate_hz", [8_000, 22_050, 48_000])
def test_the_streamed_rate_is_that_of_one_shot(speaker: Speaker, rate_hz: int) -> None:
    native = speaker.say(SHORT, seed=8)
    other = speaker.say(SHORT, seed=8, sample_rate_hz=rate_hz)
    whole = resample(torch.from_numpy(native.samples), 16_000, rate_hz).clamp(-1.0, 1.0).numpy()
    assert np.array_equal(other.samples, whole)


def test_a_voice_is_encoded_once(
    nano_folder: Path, tmp_path: Path, low_voice: Reference, high_voice: Reference
) -> None:
    from threading import Event

    def speak(engine: Engine, emotion: Reference | None = None) -> Any:
        done, events = Event(), []

        def on_event(event: object) -> None:
            events.append(event)
            if type(event).__name__ in ("Finished", "Failed"):
                done.set()

        pacing = Pacing(PacingMode.UNPACED)
        engine.speak(UtteranceRequest("Hello.", low_voice, 16_000, emotion, pacing=pacing), on_event)
        assert done.wait(60)
        return events[-1]

    engine = Engine.load(nano_folder, tmp_path, EngineOptions(threads=1))
    try:
        assert engine.prompt_encodes == 0  # the warm-up is not counted
        assert speak(engine).prompt_encodes == 1
        assert speak(engine).prompt_encodes == 0
        assert speak(engine, high_voice).prompt_encodes == 1
        assert engine.prepare_voice(low_voice) == 0
        assert engine.prepare_voice(high_voice) == 1
        assert engine.prepare_emotion(high_voice) == 0
        assert engine.prompt_encodes == 3
    finally:
        engine.close()
    engine = Engine.load(nano_folder, tmp_path, EngineOptions(threads=1))
    try:
        gone = Reference(Path("/no/such/clip.wav"), low_voice.sha256)
        assert engine.prepare_voice(gone) == 0
        assert speak(engine, high_voice).prompt_encodes == 0
        assert engine.prompt_encodes == 0
    finally:
        engine.close()


def test_the_clock_agrees_that_a_second_utterance_encodes_nothing(nano_folder: Path, speaker: Speaker) -> None:
    """The count could lie; the time that the prompt stage takes cannot."""
    fresh = Reference(nano_folder / "voices" / "high.wav", "c10c" * 16)

    def prompt_seconds() -> float:
        times = speaker.engine.stage_times()
        return times["prompt"].seconds if "prompt" in times else 0.0

    before = prompt_seconds()
    assert speaker.say(SHORT, voice=fresh).finished().prompt_encodes == 1
    encoded = prompt_seconds() - before
    again = min(_spent(prompt_seconds, lambda: speaker.say(SHORT, voice=fresh)) for _ in range(3))
    assert encoded > 0.005
    assert again < 0.2 * encoded


def _spent(clock: Callable[[], float], work: Callable[[], object]) -> float:
    begin = clock()
    work()
    return clock() - begin


def test_two_first_utterances_of_a_voice_share_one_encode(nano_folder: Path, tmp_path: Path, speaker: Speaker) -> None:
    clip = tmp_path / "copy.wav"
    shutil.copy(nano_folder / "voices" / "low.wav", clip)
    fresh = Reference(clip, "0" * 64)
    both = [speaker.begin(SHORT, voice=fresh)[1] for _ in range(2)]
    assert sorted(recorder.finished().prompt_encodes for recorder in both) == [0, 1]


def test_emotion_goes_from_the_voices_own_to_the_clips(speaker: Speaker, high_voice: Reference) -> None:
    length = TargetTokens(30)
    own = speaker.say("Hello there.", length=length, length_policy=LengthPolicy.FORCE)
    none, half, full = (
        speaker.say(
            "Hello there.",
            length=length,
            length_policy=LengthPolicy.FORCE,
            emotion=high_voice,
            emotion_strength=strength,
        )
        for strength in (0.0, 0.5, 1.0)
    )
    assert np.array_equal(own.samples, none.samples)
    assert np.abs(full.samples - own.samples).max() > 1e-3
    assert np.abs(full.samples - half.samples).max() > 1e-3


def test_plan(speaker: Speaker) -> None:
    plan = speaker.engine.plan(speaker.request(LONG, sample_rate_hz=48_000))
    assert plan.natural_tokens == sum(segment.natural_tokens for segment in plan.segments)
    assert plan.segments[0].char_begin == 0
    assert plan.segments[-1].char_end >= len(LONG) - 1
    assert all(segment.num_text_tokens <= 60 for segment in plan.segments)
    assert plan.min_samples < plan.comfortable_min_samples < plan.natural_samples < plan.max_samples
    native = speaker.engine.plan(speaker.request(LONG))
    assert plan.natural_samples == 3 * native.natural_samples


def test_info(engine: Engine) -> None:
    info = engine.info
    assert (info.native_rate_hz, info.token_rate_hz, info.duration_control) == (16_000, 25, "trained")
    assert info.languages == ("en",) and len(info.fingerprint) == 16


_BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"text": ""}, "TEXT_EMPTY", "text"),
    ({"text": "  \n "}, "TEXT_EMPTY", "text"),
    ({"text": "..."}, "TEXT_UNPRONOUNCEABLE", "text"),
    ({"text": "so " * 1000}, "TEXT_TOO_LONG", "text"),
    ({"sample_rate_hz": 7_999}, "SAMPLE_RATE_UNSUPPORTED", "format.sample_rate_hz"),
    ({"sample_rate_hz": 48_001}, "SAMPLE_RATE_UNSUPPORTED", "format.sample_rate_hz"),
    ({"length": TargetSamples(0)}, "LENGTH_NOT_POSITIVE", "length.samples"),
    ({"length": TargetTokens(-3)}, "LENGTH_NOT_POSITIVE", "length.tokens"),
    ({"length": TargetSamples(10)}, "DURATION_INFEASIBLE", "length.samples"),
    ({"length": TargetTokens(100_000)}, "DURATION_INFEASIBLE", "length.tokens"),
    (
        {"length": TargetTokens(100_000), "length_policy": LengthPolicy.FORCE},
        "DURATION_INFEASIBLE",
        "length.tokens",
    ),
    ({"emotion": EmotionWeights((0.1,) * 7)}, "EMOTION_VECTOR_INVALID", "emotion.weights"),
    ({"emotion": EmotionWeights((math.nan,) * 8)}, "EMOTION_VECTOR_INVALID", "emotion.weights"),
    ({"emotion": EmotionWeights((1.3,) + (0.0,) * 7)}, "EMOTION_VECTOR_INVALID", "emotion.weights"),
    ({"emotion": EmotionWeights((-0.1,) + (0.0,) * 7)}, "EMOTION_VECTOR_INVALID", "emotion.weights"),
    ({"emotion_strength": math.nan}, "EMOTION_STRENGTH_OUT_OF_RANGE", "emotion.strength"),
    ({"emotion_strength": 1.5}, "EMOTION_STRENGTH_OUT_OF_RANGE", "emotion.strength"),
    ({"sampling": Sampling(temperature=math.inf)}, "SAMPLING_OUT_OF_RANGE", "sampling.temperature"),
    ({"seed": -1}, "SEED_OUT_OF_RANGE", "seed"),
    ({"seed": 2**64}, "SEED_OUT_OF_RANGE", "seed"),
    ({"start_sample": -1}, "START_SAMPLE_OUT_OF_RANGE", "start_sample"),
    ({"pacing": Pacing(PacingMode.REALTIME, 0)}, "MAX_LEAD_OUT_OF_RANGE", "pacing.max_lead_samples"),
    ({"start_deadline_s": 0.0}, "START_DEADLINE_OUT_OF_RANGE", "scheduling.start_deadline"),
    ({"start_deadline_s": -1.0}, "START_DEADLINE_OUT_OF_RANGE", "scheduling.start_deadline"),
    ({"start_deadline_s": math.nan}, "START_DEADLINE_OUT_OF_RANGE", "scheduling.start_deadline"),
    ({"start_deadline_s": math.inf}, "START_DEADLINE_OUT_OF_RANGE", "scheduling.start_deadline"),
]


@pytest.mark.parametrize(("fields", "reason", "field"), _BAD)
def test_a_bad_request_is_refused_at_once(speaker: Speaker, fields: dict[str, Any], reason: str, field: str) -> None:
    fields = dict(fields)
    text = fields.pop("text", SHORT)
    for ask in (speaker.begin, lambda text, **f: speaker.engine.plan(speaker.request(text, **f))):
        with pytest.raises(EngineError) as caught:
            ask(text, **fields)
        assert (caught.value.reason, caught.value.field) == (reason, field)
        assert isinstance(caught.value, InvalidRequest)


def test_a_bad_clip_is_refused_at_once(speaker: Speaker, tmp_path: Path) -> None:
    noise = tmp_path / "noise.wav"
    noise.write_bytes(b"this is no audio at all")
    for fields in ({"voice": Reference(noise, "1" * 64)}, {"emotion": Reference(noise, "1" * 64)}):
        with pytest.raises(ReferenceRejected) as caught:
            speaker.begin(SHORT, **fields)
        assert caught.value.reason == "REFERENCE_NOT_AUDIO"
    with pytest.raises(ReferenceRejected):
        speaker.engine.prepare_voice(Reference(noise, "1" * 64))
    with pytest.raises(ReferenceRejected):
        speaker.engine.inspect_reference(noise)
    assert speaker.say(SHORT).finished().reason == "complete"


def test_a_report_on_a_clip(engine: Engine, nano_folder: Path) -> None:
    report = engine.inspect_reference(nano_folder / "voices" / "low.wav")
    assert report.duration_s == pytest.approx(3.0)
    assert report.sample_rate_hz == 16_000


def test_close_ends_everything(nano_folder: Path, tmp_path: Path, low_voice: Reference, speaker: Speaker) -> None:
    engine = Engine.load(nano_folder, tmp_path, EngineOptions(threads=1))
    closing = type(speaker)(engine, low_voice)
    _, recorder = closing.begin(LONG, pacing=Pacing(PacingMode.REALTIME, 4_000))
    assert recorder.first_audio.wait(60)
    engine.close()
    failed = recorder.failed(timeout_s=1.0)
    assert isinstance(failed.error, EngineError) and failed.error.reason == "ENGINE_CLOSED"
    with pytest.raises(EngineError) as caught:
        closing.begin(SHORT)
    assert caught.value.reason == "ENGINE_CLOSED"
    with pytest.raises(EngineError):
        engine.prepare_voice(Reference(low_voice.path, "2" * 64))
    engine.close()
