"""Pace, pitch and level, on signals where they are known, and whether a change is told from none."""

from __future__ import annotations

import numpy as np
import pytest

from oncue_eval.emotion import changes
from oncue_eval.material import RATE_HZ as CLIP_RATE_HZ
from oncue_eval.material import emotion_clips
from oncue_eval.prosody import Prosody, measure_prosody

from .synthetic import RATE_HZ, made_voice, steady


def test_measures_what_was_made() -> None:
    voice = made_voice(steady(140.0, 1.5))
    hush = np.zeros(RATE_HZ // 2, np.float32)
    found = measure_prosody(np.concatenate((hush, voice, hush)), RATE_HZ)
    assert found.speech_s == pytest.approx(1.5, abs=0.05)
    assert found.f0_median_hz == pytest.approx(140.0, rel=0.01)
    assert found.f0_range_semitones == pytest.approx(0.0, abs=0.3)
    assert found.level_dbfs == pytest.approx(20 * np.log10(np.sqrt(np.mean(voice**2))), abs=0.3)


def test_level_follows_gain_and_nothing_else_does() -> None:
    voice = made_voice(np.geomspace(100.0, 200.0, 2 * RATE_HZ))
    loud, soft = measure_prosody(voice, RATE_HZ), measure_prosody(voice * np.float32(0.5), RATE_HZ)
    assert loud.level_dbfs - soft.level_dbfs == pytest.approx(6.02, abs=0.05)
    assert loud.f0_median_hz == pytest.approx(soft.f0_median_hz)
    assert loud.f0_range_semitones == pytest.approx(9.6, abs=0.6)  # the middle 80 % of an octave


def test_a_clip_without_voice_has_no_pitch() -> None:
    noise = np.random.default_rng(1).normal(scale=0.1, size=RATE_HZ).astype(np.float32)
    assert measure_prosody(noise, RATE_HZ).f0_median_hz is None


def test_the_actor_does_what_the_rules_say() -> None:
    """The recipe's rules: sad is slow, low and soft; angry is fast and loud; afraid is fast and high; happy is high."""
    found = {name: measure_prosody(clip.samples, CLIP_RATE_HZ) for name, clip in emotion_clips().items()}
    directions = {
        emotion: {c.axis: np.sign(c.clip) * (c.follows is not None) for c in shown}
        for emotion in ("sad", "angry", "afraid", "happy")
        for shown in [changes(found["calm"], found[emotion], [found["calm"]] * 2, [found[emotion]] * 2)]
    }
    assert directions["sad"] == {"seconds": 1, "pitch": -1, "level": -1}
    assert directions["angry"] == {"seconds": -1, "pitch": 0, "level": 1}
    assert directions["afraid"] == {"seconds": -1, "pitch": 1, "level": -1}
    assert directions["happy"]["pitch"] == 1


def _prosody(speech_s: float, f0_hz: float | None, level: float) -> Prosody:
    return Prosody(speech_s=speech_s, f0_median_hz=f0_hz, f0_range_semitones=4.0, level_dbfs=level)


def test_only_a_measured_change_in_the_right_direction_follows() -> None:
    calm, sad = _prosody(2.0, 120.0, -20.0), _prosody(2.5, 100.0, -20.2)
    before = [_prosody(2.0, 110.0, -21.0), _prosody(3.0, 112.0, -20.0), _prosody(1.0, 111.0, -20.5)]
    slower_but_higher = [_prosody(2.3, 120.0, -21.0), _prosody(3.4, 122.0, -20.0), _prosody(1.2, 121.0, -20.5)]
    found = {change.axis: change.follows for change in changes(calm, sad, before, slower_but_higher)}
    assert found == {"seconds": True, "pitch": False, "level": None}
    # In the right direction every time, but by next to nothing.
    hardly = [_prosody(2.001, 110.0, -21.0), _prosody(3.0015, 112.0, -20.0), _prosody(1.0005, 111.0, -20.5)]
    assert changes(calm, sad, before, hardly)[0].follows is False
    # Slower on the mean, but by one sentence alone.
    unsure = [_prosody(2.0, 100.0, -21.0), _prosody(2.9, 101.0, -20.0), _prosody(2.0, 100.5, -20.5)]
    found = {change.axis: change.follows for change in changes(calm, sad, before, unsure)}
    assert found == {"seconds": False, "pitch": True, "level": None}


def test_an_axis_that_cannot_be_measured_is_left_out() -> None:
    calm, sad = _prosody(2.0, 120.0, -20.0), _prosody(2.5, 100.0, -26.0)
    before, after = [_prosody(2.0, None, -21.0)] * 3, [_prosody(2.2, None, -24.0)] * 3
    assert {change.axis for change in changes(calm, sad, before, after)} == {"seconds", "level"}
