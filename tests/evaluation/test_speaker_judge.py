"""The speaker judge, on made voices and on the committed clips, and whether it owns up when it cannot tell."""

from __future__ import annotations

import numpy as np
import pytest

from oncue_eval.material import RATE_HZ, emotion_clips, readings, voice_clips
from oncue_eval.similarity import FITNESS, speaker_fitness
from oncue_eval.speaker_judge import SpeakerJudge, calibrate, cosine, learn_speakers, nearest, voice_statistics

from .synthetic import made_voice


@pytest.fixture(scope="module")
def judge() -> SpeakerJudge:
    return SpeakerJudge.shipped()


def _reading(seed: int, f0_hz: float, tract: float) -> np.ndarray:
    """Statistics of 1.5 s of three vowels in an order and with an intonation of the seed's own."""
    rng = np.random.default_rng(seed)
    vowels = [(500.0, 1500.0, 2500.0), (730.0, 1090.0, 2440.0), (270.0, 2290.0, 3010.0)]
    parts = []
    for index in rng.permutation(3):
        glide = np.linspace(*(f0_hz * rng.uniform(0.9, 1.1, 2)), RATE_HZ // 2)
        parts.append(made_voice(glide, tuple(tract * hz for hz in vowels[index])))
    return voice_statistics(np.concatenate(parts), RATE_HZ)


def test_learns_to_tell_voices_that_it_was_not_taught() -> None:
    tracts, pitches = (0.8, 0.88, 0.96, 1.04, 1.12, 1.2), (100.0, 180.0)
    taught = [(tract, pitch) for tract in tracts for pitch in pitches]
    rows = [_reading(seed, pitch, tract) for tract, pitch in taught for seed in range(4)]
    judge = learn_speakers(np.stack(rows), [str(voice) for voice in taught for _ in range(4)], width=6)
    new = {"long": (140.0, 0.84), "short": (140.0, 1.16), "high": (210.0, 0.84)}
    prints = {
        name: [judge.embed_statistics(_reading(seed, *voice)) for seed in (7, 8, 9)] for name, voice in new.items()
    }
    references = {name: own[0] for name, own in prints.items()}
    assert calibrate(references, {name: own[1:] for name, own in prints.items()}) == 1.0
    assert cosine(prints["long"][0], prints["long"][1]) > cosine(prints["long"][0], prints["short"][0])


def test_knows_the_committed_speakers(judge: SpeakerJudge) -> None:
    accuracy, references = speaker_fitness(judge)
    assert accuracy >= FITNESS
    # And not because it says yes to everything: with two voices swapped it must fail on their clips.
    first, second = list(references)[:2]
    swapped = {**references, first: references[second], second: references[first]}
    probes = {
        name: [judge.embed(c.samples, RATE_HZ) for c in readings() if c.speaker == name] for name in (first, second)
    }
    assert calibrate(swapped, probes) < 0.2


def test_acting_changes_the_voice_less_than_another_speaker_does(judge: SpeakerJudge) -> None:
    _, references = speaker_fitness(judge)
    acted = [clip for clip in emotion_clips() if clip.emotion in {"happy", "angry", "surprised"}]
    right = [nearest(judge.embed(clip.samples, RATE_HZ), references) == clip.speaker for clip in acted]
    assert np.mean(right) >= 0.7


def test_loudness_and_silence_around_do_not_matter(judge: SpeakerJudge) -> None:
    clip = next(iter(voice_clips().values())).samples
    plain = judge.embed(clip, RATE_HZ)
    assert np.linalg.norm(plain) == pytest.approx(1.0)
    assert cosine(plain, judge.embed(np.pad(clip * np.float32(0.3), 4000), RATE_HZ)) > 0.98


def test_speech_without_pitch_still_gets_an_embedding(judge: SpeakerJudge) -> None:
    noise = np.random.default_rng(1).normal(scale=0.1, size=RATE_HZ).astype(np.float32)
    assert np.isfinite(judge.embed(noise, RATE_HZ)).all()


def test_calibration_needs_two_speakers_and_a_probe() -> None:
    one = np.ones(3)
    for references, probes in (({"x": one}, {"x": [one]}), ({"x": one, "y": one}, {"x": [], "y": []})):
        with pytest.raises(ValueError, match="two speakers"):
            calibrate(references, probes)
