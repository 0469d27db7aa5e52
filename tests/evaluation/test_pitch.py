"""The F0 tracker, on voices whose F0 is known."""

from __future__ import annotations

import numpy as np
import pytest

from oncue_eval.frames import HOP_S
from oncue_eval.pitch import pitch_track_hz

from .synthetic import RATE_HZ, made_voice, steady


@pytest.mark.parametrize("f0_hz", [70.0, 98.0, 131.0, 187.0, 246.0, 330.0, 420.0])
@pytest.mark.parametrize("formants_hz", [(500.0, 1500.0), (730.0, 1090.0), (270.0, 2290.0)])
def test_steady_pitch(f0_hz: float, formants_hz: tuple[float, ...]) -> None:
    track_hz = pitch_track_hz(made_voice(steady(f0_hz, 0.5), formants_hz), RATE_HZ)
    assert np.mean(track_hz > 0) > 0.9
    assert np.abs(12 * np.log2(track_hz[track_hz > 0] / f0_hz)).max() < 0.3  # semitones: no octave errors


def test_follows_a_glide() -> None:
    f0_hz = np.geomspace(100.0, 250.0, RATE_HZ)
    track_hz = pitch_track_hz(made_voice(f0_hz), RATE_HZ)
    centres = (np.arange(len(track_hz)) * HOP_S * RATE_HZ + 0.25 * RATE_HZ / 60).astype(int)
    voiced = track_hz > 0
    assert np.median(np.abs(12 * np.log2(track_hz[voiced] / f0_hz[centres[voiced]]))) < 0.3


def test_noise_and_silence_have_no_pitch() -> None:
    noise = np.random.default_rng(1).normal(scale=0.1, size=RATE_HZ).astype(np.float32)
    assert np.mean(pitch_track_hz(noise, RATE_HZ) > 0) < 0.05
    assert not pitch_track_hz(np.zeros(RATE_HZ, np.float32), RATE_HZ).any()


def test_other_rates() -> None:
    """The rate only scales: half the rate said, half the F0 heard."""
    track_hz = pitch_track_hz(made_voice(steady(240.0, 0.5)), RATE_HZ // 2)
    assert np.median(track_hz[track_hz > 0]) == pytest.approx(120.0, rel=0.01)


def test_a_clip_shorter_than_a_window() -> None:
    assert pitch_track_hz(np.zeros(10, np.float32), RATE_HZ).tolist() == [0.0]
