"""The speaker judge, on made voices and on the committed clips, and whether it owns up when it cannot tell."""

from __future__ import annotations

import numpy as np
import pytest

from oncue_eval.material import RATE_HZ, speaker_clips
from oncue_eval.speaker_judge import calibrate, distance, nearest, voice_print

from .synthetic import made_voice


def _reading(seed: int, f0_hz: float, tract: float) -> np.ndarray:
    """A print of 1.5 s of three vowels in an order and with an intonation of the seed's own."""
    rng = np.random.default_rng(seed)
    vowels = [(500.0, 1500.0, 2500.0), (730.0, 1090.0, 2440.0), (270.0, 2290.0, 3010.0)]
    parts = []
    for index in rng.permutation(3):
        glide = np.linspace(*(f0_hz * rng.uniform(0.9, 1.1, 2)), RATE_HZ // 2)
        parts.append(made_voice(glide, tuple(tract * hz for hz in vowels[index])))
    return voice_print(np.concatenate(parts), RATE_HZ)


def test_knows_tracts_apart_at_one_pitch_and_pitches_at_one_tract() -> None:
    speakers = {"long": (120.0, 0.85), "short": (120.0, 1.2), "high": (220.0, 0.85)}
    prints = {name: [_reading(seed, *voice) for seed in range(3)] for name, voice in speakers.items()}
    assert calibrate(prints) == 1.0


def test_one_speaker_under_two_names_is_not_told_apart() -> None:
    prints = {
        name: [_reading(seed, 120.0, 1.0) for seed in seeds]
        for name, seeds in {"x": (0, 1, 2, 3), "y": (4, 5, 6, 7)}.items()
    }
    assert calibrate(prints) < 0.9


def test_tells_the_committed_speakers_apart() -> None:
    prints = {n: [voice_print(c.samples, RATE_HZ) for c in clips.values()] for n, clips in speaker_clips().items()}
    assert calibrate(prints) >= 0.9
    # And not because it says yes to everything: with the clips of two speakers mixed up, it must fail on them.
    first, second = list(prints)[:2]
    prints[first][1], prints[second][1] = prints[second][1], prints[first][1]
    assert calibrate(prints) < 0.9


def test_loudness_and_silence_around_do_not_matter() -> None:
    clip = next(iter(speaker_clips().values()))["a"].samples
    plain = voice_print(clip, RATE_HZ)
    other = voice_print(np.pad(clip * np.float32(0.3), 4000), RATE_HZ)
    speakers = {name: voice_print(clips["a"].samples, RATE_HZ) for name, clips in speaker_clips().items()}
    assert distance(plain, other) < 0.2 * min(distance(plain, mark) for mark in list(speakers.values())[1:])


def test_speech_without_pitch_still_gets_a_print() -> None:
    noise = np.random.default_rng(1).normal(scale=0.1, size=RATE_HZ).astype(np.float32)
    print_ = voice_print(noise, RATE_HZ)
    assert np.isfinite(print_).all()
    assert nearest(print_, {"itself": print_, "other": print_ + 1.0}) == "itself"


def test_calibration_needs_pairs() -> None:
    print_ = np.zeros(3)
    for speakers in ({"x": [print_, print_]}, {"x": [print_], "y": [print_]}, {"x": [print_] * 2, "y": [print_] * 3}):
        with pytest.raises(ValueError, match="two speakers"):
            calibrate(speakers)
