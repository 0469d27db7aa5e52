"""Emotion by weights through the engine's door: heard, scaled, deterministic, and refused by name."""

from __future__ import annotations

import itertools
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pytest

from oncue_engine.answers import Started
from oncue_engine.engine import Engine
from oncue_engine.errors import GenerationFailed, InvalidRequest, Unsupported
from oncue_engine.options import EngineOptions
from oncue_engine.requests import EMOTION_NAMES, EmotionWeights, EmotionWords, LengthPolicy, Reference, TargetTokens

if TYPE_CHECKING:
    from .conftest import Speaker

SHORT = "Please close the window before you leave."


def weights(**named: float) -> EmotionWeights:
    return EmotionWeights(tuple(named.get(name, 0.0) for name in EMOTION_NAMES))


def test_emotion_weights_need_a_bank(nano_folder: Path, tmp_path: Path, speaker: Speaker, low_voice: Reference) -> None:
    folder = Path(shutil.copytree(nano_folder, tmp_path / "bare"))
    (folder / "emotion_bank.safetensors").unlink()
    engine = Engine.load(folder, tmp_path / "data", EngineOptions(threads=1))
    try:
        assert engine.info.emotions == ()
        bare = type(speaker)(engine, low_voice)
        with pytest.raises(Unsupported) as caught:
            bare.begin(SHORT, emotion=weights(happy=0.8))
        said = bare.say(SHORT, seed=1, length=TargetTokens(30), length_policy=LengthPolicy.FORCE)
    finally:
        engine.close()
    assert caught.value.reason == "EMOTION_WEIGHTS_UNSUPPORTED"
    assert caught.value.metadata["supported"] == ""
    # Who gives no weights hears nothing of the bank.
    banked = speaker.say(SHORT, seed=1, length=TargetTokens(30), length_policy=LengthPolicy.FORCE)
    assert np.array_equal(said.samples, banked.samples)


def test_emotion_weights_are_heard_each_on_its_own(speaker: Speaker) -> None:
    def say(emotion: EmotionWeights | None, strength: float = 1.0) -> npt.NDArray[np.float32]:
        recorder = speaker.say(
            SHORT,
            seed=1,
            length=TargetTokens(30),
            length_policy=LengthPolicy.FORCE,
            emotion=emotion,
            emotion_strength=strength,
        )
        started = recorder.events[0]
        assert isinstance(started, Started) and started.emotion_weights == emotion
        return recorder.samples

    own, happy, sad = say(None), say(weights(happy=0.8)), say(weights(sad=0.8))
    mixed = say(weights(happy=0.8, sad=0.1))
    for one, other in itertools.combinations((own, happy, sad, mixed), 2):
        assert np.abs(one - other).max() > 1e-3
    assert np.array_equal(happy, say(weights(happy=0.8)))
    assert np.array_equal(say(weights(happy=0.8), 0.5), say(weights(happy=0.4)))  # strength scales the weights
    np.testing.assert_allclose(say(weights(happy=0.8), 0.0), own, rtol=0, atol=1e-4)


def test_an_emotion_that_the_bank_lacks_is_refused_by_name(speaker: Speaker) -> None:
    assert speaker.engine.info.emotions == ("happy", "angry", "sad", "afraid", "disgusted", "surprised", "calm")
    with pytest.raises(Unsupported, match="no emotion melancholic") as caught:
        speaker.engine.plan(speaker.request(SHORT, emotion=weights(happy=0.5, melancholic=0.1)))
    assert caught.value.reason == "EMOTION_UNSUPPORTED"
    assert caught.value.field == "emotion.weights.melancholic"
    assert caught.value.metadata == {"supported": ",".join(speaker.engine.info.emotions)}


def test_words_need_a_model_that_takes_them(speaker: Speaker) -> None:
    assert not speaker.engine.info.emotion_from_words
    for refused in (
        lambda: speaker.begin(SHORT, emotion=EmotionWords("tired, but proud")),
        lambda: speaker.engine.weigh_words(EmotionWords("tired, but proud")),
    ):
        with pytest.raises(Unsupported) as caught:
            refused()
        assert (caught.value.reason, caught.value.field) == ("EMOTION_WORDS_UNSUPPORTED", "emotion.words")


def test_words_are_spoken_as_the_weights_that_they_come_down_to(
    tiny_words_model_dir: Path, tmp_path: Path, low_voice: Reference, speaker: Speaker
) -> None:
    engine = Engine.load(tiny_words_model_dir, tmp_path, EngineOptions(threads=1))
    try:
        assert engine.info.emotion_from_words
        worded = type(speaker)(engine, low_voice)
        length = {"length": TargetTokens(30), "length_policy": LengthPolicy.FORCE, "seed": 1}
        found = engine.weigh_words(EmotionWords("tired, but proud"))
        assert sum(found.weights) == pytest.approx(1.0)
        said = worded.say(SHORT, emotion=EmotionWords("tired, but proud"), emotion_strength=0.8, **length)
        started = said.events[0]
        assert isinstance(started, Started) and started.emotion_weights == found
        assert engine.plan(worded.request(SHORT, emotion=EmotionWords("tired, but proud"))).emotion_weights == found
        weighed = worded.say(SHORT, emotion=found, emotion_strength=0.8, **length)
        assert np.array_equal(said.samples, weighed.samples)
        other = worded.say(SHORT, emotion=EmotionWords("sad"), emotion_strength=0.8, **length)
        assert np.abs(said.samples - other.samples).max() > 1e-3
        with pytest.raises(InvalidRequest) as caught:
            worded.begin(SHORT, emotion=EmotionWords("  "))
        assert caught.value.reason == "EMOTION_WORDS_INVALID"
    finally:
        engine.close()
    with pytest.raises(GenerationFailed):
        engine.weigh_words(EmotionWords("tired, but proud"))


def test_audio_goes_on_while_words_are_weighed(
    tiny_words_model_dir: Path, tmp_path: Path, low_voice: Reference, speaker: Speaker
) -> None:
    """A caller who waits for the student's answer holds up neither the engine nor who gives weights."""
    engine = Engine.load(tiny_words_model_dir, tmp_path, EngineOptions(threads=1))
    release = threading.Event()
    try:
        assert engine._words is not None
        engine._words._worker.submit(release.wait)
        with ThreadPoolExecutor(1) as caller:
            waiting = caller.submit(engine.weigh_words, EmotionWords("tired, but proud"))
            said = type(speaker)(engine, low_voice).say(SHORT, emotion=weights(sad=0.8))
            assert len(said.samples) > 0 and not waiting.done()
            release.set()
            assert sum(waiting.result(60).weights) == pytest.approx(1.0)
    finally:
        release.set()
        engine.close()
