"""Acted emotions can be measured back: that is what the evaluation rests on."""

from __future__ import annotations

import numpy as np
import pytest

from oncue_engine.training.acting import act
from oncue_engine.training.pitch import track_pitch
from oncue_engine.training.virtual_speakers import EMOTION_RULES, EmotionRule

RATE_HZ = 16000


def spoken(f0_hz: float = 120.0, seconds: float = 1.5) -> np.ndarray:
    """A vowel of decaying pulses between two silences."""
    n = int(seconds * RATE_HZ)
    source = np.zeros(n)
    source[:: int(RATE_HZ / f0_hz)] = 1.0
    time_s = np.arange(400) / RATE_HZ
    vowel = np.exp(-time_s * 250.0) * (np.sin(2 * np.pi * 700 * time_s) + 0.5 * np.sin(2 * np.pi * 1900 * time_s))
    quiet = np.zeros(RATE_HZ // 5)
    return (0.2 * np.concatenate([quiet, np.convolve(source, vowel)[:n], quiet])).astype(np.float32)


def voiced_hz(samples: np.ndarray) -> np.ndarray:
    f0_hz, _ = track_pitch(samples, RATE_HZ, 100.0, len(samples) // 160)
    return f0_hz[f0_hz > 0]


@pytest.mark.parametrize("mean", [0.8, 1.3])
def test_the_mean_of_f0_moves_and_the_length_stays(mean: float) -> None:
    speech = spoken()
    acted = act(speech, RATE_HZ, EmotionRule("x", 1.0, mean, 1.0, 0.0, 0.0))
    assert len(acted) == len(speech)
    assert np.median(voiced_hz(acted)) == pytest.approx(mean * np.median(voiced_hz(speech)), rel=0.03)


def test_a_slope_rises_over_the_phrase() -> None:
    f0_hz = voiced_hz(act(spoken(), RATE_HZ, EmotionRule("x", 1.0, 1.0, 1.0, 0.0, 0.0, f0_slope=0.8)))
    tenth = len(f0_hz) // 10
    assert np.log2(np.median(f0_hz[-tenth:]) / np.median(f0_hz[:tenth])) == pytest.approx(0.72, abs=0.15)


def test_sway_shows_at_its_rate() -> None:
    f0_hz = voiced_hz(
        act(spoken(seconds=2.0), RATE_HZ, EmotionRule("x", 1.0, 1.0, 1.0, 0.0, 0.0, sway_hz=4.0, sway_octaves=0.2))
    )
    octaves = np.log2(f0_hz) - np.log2(f0_hz).mean()
    spectrum = np.abs(np.fft.rfft(octaves * np.hanning(len(octaves)), 1024))
    assert np.fft.rfftfreq(1024, 0.01)[spectrum.argmax()] == pytest.approx(4.0, abs=0.5)


def test_tilt_and_breath_lift_the_high_band() -> None:
    speech = spoken()

    def high_share(samples: np.ndarray) -> float:
        power = np.abs(np.fft.rfft(samples)) ** 2
        freqs = np.fft.rfftfreq(len(samples), 1 / RATE_HZ)
        return float(power[freqs > 3000].sum() / power.sum())

    plain = high_share(speech)
    assert high_share(act(speech, RATE_HZ, EmotionRule("x", 1.0, 1.0, 1.0, 0.0, 8.0))) > 2 * plain
    assert high_share(act(speech, RATE_HZ, EmotionRule("x", 1.0, 1.0, 1.0, 0.0, 0.0, breath=0.3))) > 2 * plain


def test_no_voice_and_every_rule_come_back_finite() -> None:
    noise = 0.01 * np.random.default_rng(0).standard_normal(RATE_HZ).astype(np.float32)
    for rule in EMOTION_RULES:
        for speech in (np.zeros(RATE_HZ, np.float32), noise, spoken(200.0, 0.2)):
            acted = act(speech, RATE_HZ, rule)
            assert len(acted) == len(speech) and np.isfinite(acted).all()
