"""Pace, pitch and level, on signals where they are known."""

from __future__ import annotations

import numpy as np
import pytest

from oncue_eval.prosody import measure_prosody

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
