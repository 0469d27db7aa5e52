"""Measured manner on signals where it is known, and the emotion judge on the committed clips."""

from __future__ import annotations

import math
from statistics import fmean

import numpy as np
import pytest

from oncue_eval.emotion import FITNESS, acted_manners
from oncue_eval.emotion_judge import EmotionJudge, learn_emotions
from oncue_eval.manner import AXES, Manner, away_from, measure_manner
from oncue_eval.material import RecordedClip

from .synthetic import RATE_HZ, made_voice


def _axes(samples: np.ndarray, plain_s: float = 1.0) -> dict[str, float]:
    return dict(zip(AXES, measure_manner(samples, RATE_HZ, plain_s).tolist(), strict=True))


def _course(seconds: float, slope: float = 0.0, hz: float = 0.0, depth: float = 0.0) -> np.ndarray:
    """F0 around 140 Hz that rises by `slope` semitones and sways by `depth` semitones `hz` times a second."""
    time_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    semitones = slope * (time_s / seconds - 0.5) + depth * np.sin(2 * np.pi * hz * time_s)
    return 140.0 * 2.0 ** (semitones / 12.0)


def test_each_axis_measures_its_own_gesture() -> None:
    steady = _axes(made_voice(_course(2.0)))
    rising = _axes(made_voice(_course(2.0, slope=6.0)))
    swaying = _axes(made_voice(_course(2.0, hz=2.2, depth=2.0)))
    trembling = _axes(made_voice(_course(2.0, hz=6.0, depth=1.4)))
    assert steady["pitch"] == pytest.approx(12 * math.log2(140.0), abs=0.1)
    assert rising["slope"] == pytest.approx(6.0, abs=0.6) and abs(steady["slope"]) < 0.2
    # 2 semitones either way are 1.41 root mean square.
    assert math.exp(swaying["sway"]) - 0.1 == pytest.approx(1.41, abs=0.3)
    assert math.exp(trembling["tremor"]) - 0.05 == pytest.approx(0.99, abs=0.25)
    assert trembling["sway"] < swaying["sway"] - 1.0 and swaying["tremor"] < trembling["tremor"] - 1.0


def test_pace_is_measured_against_the_plain_reading() -> None:
    voice = np.pad(made_voice(_course(1.5)), RATE_HZ // 2)
    assert _axes(voice, plain_s=1.5)["pace"] == pytest.approx(0.0, abs=0.04)
    assert _axes(voice, plain_s=1.0)["pace"] == pytest.approx(math.log(1.5), abs=0.04)


def test_level_tilt_and_breath() -> None:
    voice = made_voice(_course(1.0))
    softer = _axes(voice * np.float32(0.5))
    assert _axes(voice)["level"] - softer["level"] == pytest.approx(6.02, abs=0.1)
    spectrum = np.fft.rfft(voice)
    bright = np.fft.irfft(spectrum * np.where(np.fft.rfftfreq(len(voice), 1 / RATE_HZ) > 1200, 4.0, 1.0), len(voice))
    assert _axes(bright.astype(np.float32))["tilt"] - _axes(voice)["tilt"] == pytest.approx(12.0, abs=1.0)
    noise = np.random.default_rng(1).normal(scale=0.02, size=len(voice))
    assert _axes((voice + noise).astype(np.float32))["breath"] > _axes(voice)["breath"] + 5.0


def test_without_pitch_nothing_is_said_about_pitch() -> None:
    noise = np.random.default_rng(1).normal(scale=0.1, size=RATE_HZ).astype(np.float32)
    manner = measure_manner(noise, RATE_HZ, 1.0)
    assert np.isnan(manner[AXES.index("pitch")]) and np.isfinite(manner[AXES.index("level")])
    voice = measure_manner(made_voice(_course(1.0)), RATE_HZ, 1.0)
    assert away_from([voice, voice], manner)[AXES.index("pitch")] == 0.0
    assert away_from([manner, voice], voice)[AXES.index("pitch")] == 0.0


@pytest.fixture(scope="module")
def acted() -> list[tuple[RecordedClip, Manner]]:
    return acted_manners()


def test_the_actors_do_what_the_rules_say(acted: list[tuple[RecordedClip, Manner]]) -> None:
    mean = {
        emotion: dict(zip(AXES, np.mean([m for c, m in acted if c.emotion == emotion], axis=0).tolist(), strict=True))
        for emotion in {clip.emotion for clip, _ in acted}
    }
    assert mean["sad"]["pace"] > 0.15 and mean["sad"]["pitch"] < -1.5 and mean["sad"]["level"] < -4.0
    assert mean["afraid"]["pace"] < -0.1 and mean["afraid"]["pitch"] > 3.0
    assert mean["afraid"]["tremor"] > mean["calm"]["tremor"] + 0.4
    assert mean["surprised"]["slope"] > 3.0 > -3.0 > mean["angry"]["slope"]
    assert all(abs(value) < 0.6 for axis, value in mean["calm"].items() if axis in {"pace", "pitch", "level"})


def test_the_judge_knows_the_committed_clips(acted: list[tuple[RecordedClip, Manner]]) -> None:
    judge = EmotionJudge.shipped()
    assert set(judge.emotions) == {clip.emotion for clip, _ in acted}
    assert fmean(judge.judge(manner) == clip.emotion for clip, manner in acted) >= FITNESS
    # What does not deviate is calm, and a judge that hears nothing of the clip is not fit.
    assert judge.judge(np.zeros(len(AXES))) == "calm"
    rng = np.random.default_rng(0)
    shuffled = rng.permutation([clip.emotion for clip, _ in acted])
    assert fmean(judge.judge(m) == e for (_, m), e in zip(acted, shuffled, strict=True)) < 0.5


def test_a_judge_learns_what_is_there_and_its_arrays_are_all_of_it() -> None:
    rng = np.random.default_rng(3)
    centres = {"low": -2.0, "high": 2.0, "none": 0.0}
    labels = [name for name in centres for _ in range(60)]
    rows = np.stack([np.full(len(AXES), centres[name]) + rng.normal(scale=0.5, size=len(AXES)) for name in labels])
    judge = learn_emotions(rows, labels, seed=1)
    assert fmean(judge.judge(row) == label for row, label in zip(rows, labels, strict=True)) > 0.97
    stored = judge.arrays()
    again = learn_emotions(rows, labels, seed=1).arrays()
    assert all(np.array_equal(stored[name], again[name]) for name in stored)
