"""An engine that draws tokens as the public implementation does: beams, positions, second pass, and all that holds
for every engine: exact lengths, seeds, neighbours, cancels."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from oncue_engine.answers import AudioChunk, Event, Started
from oncue_engine.checkpoints.config import read_config
from oncue_engine.checkpoints.loaded import LoadedModel, load_model
from oncue_engine.checkpoints.random_cosyvoice2 import make_random_cosyvoice2
from oncue_engine.checkpoints.random_public import build_random
from oncue_engine.conditioning import Conditioner
from oncue_engine.decoding import reference
from oncue_engine.decoding.batch import Sequence, SequenceSpec, prefix_rows
from oncue_engine.decoding.beam_search import BeamLimits, BeamOptions
from oncue_engine.decoding.reference_stage import REFERENCE_SAMPLING, ReferenceStage
from oncue_engine.decoding.sampling import Draws
from oncue_engine.engine import Engine
from oncue_engine.errors import GenerationFailed, InvalidRequest, Unsupported
from oncue_engine.kinds.indextts2 import IndexTTS2
from oncue_engine.kinds.indextts2_prompts import IndexTTS2Voice
from oncue_engine.options import EngineOptions
from oncue_engine.requests import LengthPolicy, Pacing, PacingMode, Reference, Sampling, TargetSamples, TargetTokens

from .conftest import Recorder, Speaker

OPTIONS = EngineOptions(threads=1, decoding="reference")
SHORT = "Please close the window."
LONG = "The evening train was late, so we sat by the window and watched the rain. My sister grows tomatoes."
"""Two segments."""


@pytest.fixture(scope="module", params=["tied row", "speed rows"])
def model(request: pytest.FixtureRequest, nano_folder: Path) -> LoadedModel:
    """The tiny model as it is, with the paper's duration row; and one whose prefix has the public model's two rows."""
    if request.param == "tied row":
        return load_model(nano_folder)
    config = read_config(nano_folder)
    return build_random(replace(config, t2s=replace(config.t2s, duration_row="speed_rows")), seed=3)


@pytest.fixture(scope="module")
def engine(model: LoadedModel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    engine = Engine(IndexTTS2(model), model.name, tmp_path_factory.mktemp("data"), OPTIONS)
    engine._scheduler.start()
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def speaker(engine: Engine, low_voice: Reference) -> Speaker:
    return Speaker(engine, low_voice)


def until(condition: Callable[[], bool], timeout_s: float = 30.0) -> None:
    end_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end_s, "it did not come to that"
        time.sleep(0.002)


def drawn(speaker: Speaker, text: str, **fields: object) -> list[Sequence]:
    """The sequences that an utterance was spoken from."""
    engine, recorder = speaker.engine, Recorder()
    found: list[Sequence] = []
    until(lambda: engine.live_utterances == 0)

    def on_event(event: Event) -> None:
        if isinstance(event, AudioChunk):
            (live,) = engine._scheduler._live  # type: ignore[attr-defined]
            found[:] = [segment.sequence for segment in live._segments]
        recorder(event)

    engine.speak(speaker.request(text, **fields), on_event)
    recorder.finished()
    return found


def test_what_is_spoken_is_what_the_reference_finds(model: LoadedModel, speaker: Speaker, tmp_path: Path) -> None:
    clip = reference_voice(model, speaker.voice, tmp_path)
    sequences = drawn(speaker, LONG, seed=7)
    assert len(sequences) == 2
    segments = speaker.engine.plan(speaker.request(LONG)).segments
    texts = [[piece.id for piece in segment.pieces] for segment in model.text.segments(LONG)]
    for number, (sequence, ids) in enumerate(zip(sequences, texts, strict=True)):
        natural = segments[number].natural_tokens
        assert sequence.spec.exact_tokens is None and sequence.spec.min_tokens == natural // 3
        prefix = reference.prefix_rows(model.t2s, clip.latents[None], clip.own_emotion[None], torch.tensor([ids]))
        limits = BeamLimits(sequence.spec.max_tokens, natural // 3, banned=(model.config.t2s.start_mel_token,))
        codes = reference.beam_search(model.t2s, prefix, limits, BeamOptions(), Draws(7, number))
        assert sequence.codes == codes[0].tolist()
        latents = reference.latent_pass(model.t2s, prefix, codes)[0]
        torch.testing.assert_close(sequence.latents_between(0, len(sequence.codes)), latents, rtol=0, atol=1e-5)


def reference_voice(model: LoadedModel, voice: Reference, folder: Path) -> IndexTTS2Voice:
    made = Conditioner(IndexTTS2(model), folder).voice(voice, None)
    assert isinstance(made, IndexTTS2Voice)
    return made


def test_it_is_not_what_streaming_decoding_says(speaker: Speaker, model: LoadedModel, tmp_path: Path) -> None:
    streaming = Engine(IndexTTS2(model), "tiny", tmp_path, EngineOptions(threads=1))
    streaming._scheduler.start()
    try:
        settings: dict[str, object] = {"seed": 1, "length": TargetTokens(40), "sampling": REFERENCE_SAMPLING}
        (ours,) = drawn(Speaker(streaming, speaker.voice), SHORT, **settings)
        (theirs,) = drawn(speaker, SHORT, **settings)
    finally:
        streaming.close()
    assert len(ours.codes) == len(theirs.codes) and ours.codes != theirs.codes


def test_lengths_are_exact(speaker: Speaker) -> None:
    plan = speaker.engine.plan(speaker.request(LONG, sample_rate_hz=24_000))
    for asked in (plan.min_samples + 1, plan.comfortable_max_samples):
        recorder = speaker.say(LONG, sample_rate_hz=24_000, length=TargetSamples(asked))
        assert len(recorder.samples) == recorder.finished().total_samples == asked
    finished = speaker.say(LONG, length=TargetTokens(plan.min_tokens + 1)).finished()
    assert (finished.total_codes, finished.reason) == (plan.min_tokens + 1, "complete")


def test_free_speech_stops_by_itself(speaker: Speaker) -> None:
    plan = speaker.engine.plan(speaker.request(SHORT))
    counts = {speaker.say(SHORT, seed=seed).finished().total_codes for seed in range(4)}
    assert len(counts) > 1 and min(counts) >= plan.natural_tokens // 3


def test_a_segment_is_there_at_once_and_the_next_one_while_it_is_heard(speaker: Speaker) -> None:
    sequences = drawn(speaker, LONG, seed=2)
    recorder = speaker.say(LONG, seed=2)
    lengths = [len(sequence.codes) for sequence in sequences]
    ends = np.cumsum(lengths).tolist()
    assert recorder.chunks[0].codes_generated in ends[:-1]
    assert {chunk.codes_generated for chunk in recorder.chunks} <= set(ends)
    assert recorder.chunks[-1].codes_generated == recorder.finished().total_codes == ends[-1]


def test_the_seed_decides(speaker: Speaker) -> None:
    one, two = (speaker.say(SHORT, seed=11).samples for _ in range(2))
    assert np.array_equal(one, two)
    (ours,), (other,) = drawn(speaker, SHORT, seed=11), drawn(speaker, SHORT, seed=12)
    assert ours.codes != other.codes


def test_two_at_once_say_what_each_says_alone(speaker: Speaker, high_voice: Reference) -> None:
    alone = [speaker.say(LONG, seed=5), speaker.say(SHORT, seed=6, voice=high_voice)]
    together = [speaker.begin(LONG, seed=5)[1], speaker.begin(SHORT, seed=6, voice=high_voice)[1]]
    for before, now in zip(alone, together, strict=True):
        assert now.finished().total_codes == before.finished().total_codes
        np.testing.assert_allclose(now.samples, before.samples, rtol=0, atol=1e-4)


def test_several_in_real_time_take_turns(speaker: Speaker) -> None:
    pacing = Pacing(PacingMode.REALTIME, 48_000)
    begun = [speaker.begin(SHORT, seed=seed, pacing=pacing, length=TargetTokens(40))[1] for seed in range(4)]
    assert {recorder.finished().total_codes for recorder in begun} == {40}


def test_the_next_segment_is_searched_while_one_is_heard(speaker: Speaker) -> None:
    """It may take longer than the listener is ahead, and could not be heard before its end."""
    plan = speaker.engine.plan(speaker.request(LONG))
    until(lambda: speaker.engine.live_utterances == 0)
    handle, recorder = speaker.begin(
        LONG, pacing=Pacing(PacingMode.REALTIME, 4_000), length=TargetTokens(plan.natural_tokens)
    )
    (live,) = speaker.engine._scheduler._live  # type: ignore[attr-defined]
    until(lambda: live.codes_generated == plan.natural_tokens)
    assert recorder.chunks and len(recorder.samples) < plan.natural_samples / 2
    handle.cancel()
    until(lambda: speaker.engine.live_utterances == 0)


def test_a_cancel_in_mid_search_gives_the_slot_back(speaker: Speaker) -> None:
    force = LengthPolicy.FORCE
    scheduler = speaker.engine._scheduler
    until(lambda: scheduler.live == 0)
    free = scheduler.free_slots
    for _ in range(3):
        handle, recorder = speaker.begin(SHORT, length=TargetTokens(250), length_policy=force)
        until(lambda: scheduler.free_slots < free)
        handle.cancel()
        events = len(recorder.events)
        until(lambda: scheduler.live == 0)
        assert scheduler.free_slots == free
        assert recorder.chunks == [] and len(recorder.events) == events
    assert speaker.say(SHORT, length=TargetTokens(30)).finished().total_codes == 30


def test_defaults_are_the_public_ones_and_are_told(speaker: Speaker) -> None:
    info = speaker.engine.info
    assert info.decoding == "reference"
    assert info.sampling == Sampling(temperature=0.8, top_k=30, top_p=0.8, repetition_penalty=10.0)
    for asked, used in ((None, info.sampling), (Sampling(temperature=0.0), Sampling(temperature=0.0))):
        started = speaker.say("Hello.", sampling=asked).events[0]
        assert isinstance(started, Started) and started.sampling == used
    with pytest.raises(InvalidRequest) as caught:
        speaker.begin("Hello.", sampling=replace(info.sampling, repetition_penalty=21.0))
    assert caught.value.field == "sampling.repetition_penalty" and caught.value.metadata["max"] == "20.0"


def test_sampling_of_a_request_is_used(speaker: Speaker) -> None:
    length = TargetTokens(40)
    (plain,) = drawn(speaker, SHORT, length=length)
    (still,) = drawn(speaker, SHORT, length=length, sampling=Sampling(temperature=0.0))
    (again,) = drawn(speaker, SHORT, length=length, sampling=Sampling(temperature=0.0), seed=9)
    (loose,) = drawn(speaker, SHORT, length=length, sampling=Sampling(2.0, 0, 1.0, 1.0))
    assert still.codes == again.codes  # nothing is drawn
    assert len({tuple(s.codes) for s in (plain, still, loose)}) == 3


# The stage alone


def spec(tokens: int, **fields: object) -> SequenceSpec:
    settings: dict[str, object] = {
        "seed": 1,
        "segment": 0,
        "sampling": REFERENCE_SAMPLING,
        "exact_tokens": tokens,
        "min_tokens": tokens,
        "max_tokens": tokens,
        **fields,
    }
    return SequenceSpec(**settings)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def prefix(nano: LoadedModel) -> Tensor:
    """[S,M], start token included."""
    latents = torch.randn(8, 64, generator=torch.Generator().manual_seed(0))
    return prefix_rows(nano.t2s, latents, torch.zeros(64), None, (5, 6, 7))


def held_bytes(stage: ReferenceStage) -> int:
    """What the caches of all searches take."""
    generations = [running.search._generation for running in stage._running.values()]
    caches = [generation._cache for generation in generations if generation is not None]
    return sum(tensor.numel() * tensor.element_size() for cache in caches for tensor in (cache.k, cache.v))


def test_keys_and_values_stay_within_their_bytes(nano: LoadedModel, prefix: Tensor) -> None:
    position_bytes = 2 * 2 * 64 * 4  # layers; keys and values; width; float32
    longest = len(prefix) + 100
    for beams in (1, 3):
        room = int(3.5 * longest) * beams * position_bytes
        stage = ReferenceStage(nano.t2s, beams, longest, cache_bytes=room)
        assert stage.free_slots == 3
        begun = [stage.start(prefix, spec(100)) for _ in range(2)]
        assert stage.free_slots == 1
        begun += [stage.start(prefix, spec(10)) for _ in range(2)]
        assert stage.free_slots == 1  # short ones leave room for more
        assert held_bytes(stage) == sum(running.cache_bytes for running in stage._running.values()) < room
        stage.release(begun.pop(0))
        assert stage.free_slots == 2
        for sequence in begun:
            stage.release(sequence)
        assert stage.free_slots == 3
    tight = ReferenceStage(nano.t2s, 3, longest, cache_bytes=1)
    assert tight.free_slots == 1  # one runs in any case
    only = tight.start(prefix, spec(5))
    assert tight.free_slots == 0
    tight.release(only)
    assert tight.free_slots == 1


def test_a_search_that_fails_hurts_no_other(nano: LoadedModel, prefix: Tensor) -> None:
    stage = ReferenceStage(nano.t2s, 3, 400)
    free = stage.free_slots
    good, bad, other = (
        stage.start(prefix, spec(5)),
        stage.start(prefix * torch.nan, spec(5)),
        stage.start(prefix, spec(3)),
    )
    for _ in range(5):
        assert good.codes == []
        stage.step([good, bad, other])
    assert isinstance(bad.error, GenerationFailed) and bad.error.reason == "NOT_FINITE" and bad.codes == []
    assert (len(good.codes), len(other.codes), good.hit_limit) == (5, 3, False)
    assert good.latents_between(0, 5).shape == (5, 64)
    for sequence in (good, bad, other):
        stage.release(sequence)
    assert stage.free_slots == free


def test_free_speech_that_does_not_stop_says_so(nano: LoadedModel, prefix: Tensor) -> None:
    stage = ReferenceStage(nano.t2s, 3, 400)
    for seed, low, high in ((1, 1, 2), (2, 1, 90)):
        sequence = stage.start(prefix, spec(0, exact_tokens=None, min_tokens=low, max_tokens=high, seed=seed))
        while sequence.live:
            stage.step([sequence])
        stage.release(sequence)
        assert sequence.hit_limit == (len(sequence.codes) == high)
    assert not sequence.hit_limit


def test_a_kind_of_model_that_has_it_not_is_refused(tmp_path: Path) -> None:
    folder = make_random_cosyvoice2(tmp_path / "second")
    with pytest.raises(Unsupported) as caught:
        Engine.load(folder, tmp_path / "data", OPTIONS)
    assert caught.value.reason == "DECODING_UNSUPPORTED"


@pytest.mark.parametrize(
    ("options", "field"),
    [
        (EngineOptions(beams=3), "beams"),
        (EngineOptions(decoding="reference", beams=0), "beams"),
        (EngineOptions(decoding="reference", beams=17), "beams"),
        (EngineOptions(decoding="other"), "decoding"),  # type: ignore[arg-type]
        (EngineOptions(decoding="reference", pipeline="naive"), "decoding"),
        (EngineOptions(decoding="reference", weights="int8"), "weights"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: EngineOptions, field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        options.resolved(1000)
    assert (caught.value.reason, caught.value.field) == ("OPTION_INVALID", field)
