"""What is done with emotion weights before they are mixed: bias, cap, rows by chance, and what is told of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oncue_engine.answers import Started
from oncue_engine.errors import InvalidRequest
from oncue_engine.model.emotion_bank import EMOTION_BIAS
from oncue_engine.requests import EMOTION_NAMES, EmotionMixing, EmotionWeights, LengthPolicy, Reference, TargetTokens

if TYPE_CHECKING:
    from .conftest import Recorder, Speaker

SHORT = "Please close the window before you leave."
OFF = EmotionMixing()


def weights(**named: float) -> EmotionWeights:
    return EmotionWeights(tuple(named.get(name, 0.0) for name in EMOTION_NAMES))


MUCH = weights(happy=0.7, sad=0.6, calm=0.9)


def say(speaker: Speaker, text: str = SHORT, **changes: Any) -> Recorder:
    return speaker.say(
        text, **{"seed": 1, "length": TargetTokens(30), "length_policy": LengthPolicy.FORCE, "emotion": MUCH, **changes}
    )


def told(recorder: Recorder) -> EmotionWeights:
    started = recorder.events[0]
    assert isinstance(started, Started) and started.emotion_weights is not None
    return started.emotion_weights


def test_nothing_is_done_by_default(speaker: Speaker) -> None:
    said = say(speaker)
    assert told(said) == MUCH
    assert np.array_equal(said.samples, say(speaker, emotion_mixing=OFF).samples)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("cap", [False, True])
def test_what_is_told_is_what_was_spoken(speaker: Speaker, bias: bool, cap: bool) -> None:
    mixing = EmotionMixing(apply_bias=bias, cap_sum=cap)
    said = say(speaker, emotion_mixing=mixing, emotion_strength=0.7)
    wanted = np.array(MUCH.weights) * (EMOTION_BIAS if bias else 1.0)
    wanted *= 0.8 / wanted.sum() if cap else 1.0
    np.testing.assert_allclose(told(said).weights, wanted, rtol=1e-6)
    assert speaker.engine.plan(speaker.request(SHORT, emotion=MUCH, emotion_mixing=mixing)).emotion_weights == told(
        said
    )
    again = say(speaker, emotion=told(said), emotion_strength=0.7)
    assert np.array_equal(said.samples, again.samples)
    if bias or cap:
        assert not np.array_equal(said.samples, say(speaker, emotion_strength=0.7).samples)


def test_rows_by_chance_hang_on_the_seed_alone(speaker: Speaker, low_voice: Reference, high_voice: Reference) -> None:
    def by_chance(seed: int, **changes: Any) -> Recorder:
        return say(speaker, seed=seed, emotion_mixing=EmotionMixing(random_style=True), **changes)

    first = by_chance(5)
    for other in (by_chance(6), by_chance(7, text="The door was open."), say(speaker, voice=high_voice)):
        assert len(other.samples)
    assert np.array_equal(first.samples, by_chance(5).samples)
    # Each of the three emotions has two rows: one seed in eight draws the nearest ones.
    pairs = [(say(speaker, seed=seed).samples, by_chance(seed).samples) for seed in range(5)]
    assert sum(not np.array_equal(nearest, drawn) for nearest, drawn in pairs) >= 2
    assert told(first) == MUCH


@pytest.mark.parametrize("option", ["apply_bias", "cap_sum", "random_style"])
@pytest.mark.parametrize("clip", [False, True])
def test_options_without_weights_are_refused(speaker: Speaker, low_voice: Reference, option: str, clip: bool) -> None:
    request = speaker.request(
        SHORT, emotion=low_voice if clip else None, emotion_mixing=EmotionMixing(**{option: True})
    )
    with pytest.raises(InvalidRequest) as caught:
        speaker.engine.plan(request)
    assert (caught.value.reason, caught.value.field) == ("EMOTION_OPTION_WITHOUT_WEIGHTS", f"emotion.{option}")


def test_without_an_emotion_the_voices_own_is_heard_in_full(speaker: Speaker) -> None:
    own = say(speaker, emotion=None)
    assert np.array_equal(own.samples, say(speaker, emotion=None, emotion_strength=0.3).samples)
    assert not np.array_equal(own.samples, say(speaker, emotion=MUCH).samples)


def test_strength_scales_weights_and_cuts_them(speaker: Speaker) -> None:
    scaled = say(speaker, emotion=weights(happy=0.33339, sad=0.9), emotion_strength=0.5)
    assert told(scaled) == weights(happy=0.33339, sad=0.9)
    assert np.array_equal(scaled.samples, say(speaker, emotion=weights(happy=0.1666, sad=0.45)).samples)


@given(st.floats(0.0, 1.2))
def test_weights_that_were_told_come_back_the_same(weight: float) -> None:
    kept = EmotionWeights.as_told((weight,))
    carried = float(np.float32(kept.weights[0]))  # what a 32-bit field makes of it
    assert EmotionWeights.as_told((carried,)) == kept
    assert kept.weights[0] == pytest.approx(weight, rel=1e-6, abs=1e-37)


def test_a_weight_that_was_a_short_decimal_is_that_again() -> None:
    assert EmotionWeights.as_told((float(np.float32(0.7)),)).weights == (0.7,)
