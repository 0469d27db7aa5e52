"""The two ways of a prompt to 16 kHz, and its 15 seconds (spec 1.1): each encoder hears what the public one hears.

speaker: file -> 22 050 Hz (soxr HQ) -> first int(15 * 22 050) samples -> 16 000 Hz (windowed sinc)
emotion: file -> 16 000 Hz (soxr HQ) -> first int(15 * 16 000) samples
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import soxr
import torch
from torch import Tensor

from oncue_engine.checkpoints.config import read_config
from oncue_engine.checkpoints.loaded import LoadedModel
from oncue_engine.checkpoints.random_public import build_random
from oncue_engine.conditioning import Conditioner, EmotionConditioning
from oncue_engine.frontend.audio import Waveform
from oncue_engine.frontend.fbank import fbank, minus_mean
from oncue_engine.frontend.mel import log_mel
from oncue_engine.frontend.resample import sinc_resample
from oncue_engine.frontend.speech_features import speech_features
from oncue_engine.kinds.indextts2 import IndexTTS2
from oncue_engine.kinds.indextts2_prompts import IndexTTS2Voice

FILE_HZ, NATIVE_HZ, ENCODER_HZ = 44_100, 22_050, 16_000
NATIVE_SAMPLES, ENCODER_SAMPLES = 330_750, 240_000
CLOSE = 1e-5
"""Largest difference to the largest value: float32 sums in another order."""


@pytest.fixture(scope="module")
def model(tiny_model_dir: Path) -> LoadedModel:
    """The tiny model at the public rate and limits."""
    config = read_config(tiny_model_dir)
    speech = replace(config.speech, sample_rate_hz=NATIVE_HZ, prompt_limit_s=15.0, s2m_prompt_limit_s=15.0)
    return build_random(replace(config, speech=speech, mel=replace(config.mel, sample_rate_hz=NATIVE_HZ)), seed=5)


@pytest.fixture(scope="module")
def clip() -> Waveform:
    """17 s with something in every band: filters that differ at their edges are heard apart."""
    generator = torch.Generator().manual_seed(2)
    noise = torch.randn(17 * FILE_HZ, generator=generator)
    swell = 1.2 + torch.sin(torch.arange(len(noise)) * (6.0 / FILE_HZ))
    return Waveform(0.04 * noise * swell, FILE_HZ)


def at(samples: Tensor, to_hz: int, count: int) -> Tensor:
    return torch.from_numpy(soxr.resample(samples.numpy(), FILE_HZ, to_hz, quality="HQ"))[:count]


@pytest.fixture(scope="module")
def native(clip: Waveform) -> Tensor:
    return at(clip.samples, NATIVE_HZ, NATIVE_SAMPLES)


@pytest.fixture(scope="module")
def voice(model: LoadedModel, clip: Waveform, tmp_path_factory: pytest.TempPathFactory) -> IndexTTS2Voice:
    made = Conditioner(IndexTTS2(model), tmp_path_factory.mktemp("voice")).encode_voice(clip)
    assert isinstance(made, IndexTTS2Voice)
    return made


@pytest.fixture(scope="module")
def emotion(model: LoadedModel, clip: Waveform, tmp_path_factory: pytest.TempPathFactory) -> EmotionConditioning:
    return Conditioner(IndexTTS2(model), tmp_path_factory.mktemp("emotion")).make_emotion("e" * 64, clip)


@torch.no_grad()
def features(model: LoadedModel, at_16k: Tensor) -> Tensor:
    found, mask = speech_features(at_16k, model.config.speech.feature_stride)
    return model.encoder.semantic_features(found[None], mask[None])


@torch.no_grad()
def heard(model: LoadedModel, at_16k: Tensor) -> dict[str, Tensor]:
    """What the encoders make of 16 kHz."""
    rows = features(model, at_16k)
    lengths = torch.tensor([rows.shape[1]])
    return {
        "latents": model.t2s.speaker_latents(rows, lengths)[0],
        "emotion": model.t2s.emotion_vector(rows, lengths)[0],
        "style": model.style(minus_mean(fbank(at_16k))[None])[0],
    }


def off(found: Tensor, want: Tensor) -> float:
    return float((found - want).abs().max() / want.abs().max())


def test_the_speaker_is_heard_through_22050_hz(
    model: LoadedModel, clip: Waveform, native: Tensor, voice: IndexTTS2Voice
) -> None:
    right = heard(model, sinc_resample(native, NATIVE_HZ, ENCODER_HZ))
    wrong = heard(model, at(clip.samples, ENCODER_HZ, ENCODER_SAMPLES))
    found = {"latents": voice.latents, "emotion": voice.base_emotion, "style": voice.style}
    for name, value in found.items():
        assert off(value, right[name]) < CLOSE, name
        assert off(value, wrong[name]) > 10 * CLOSE, f"{name}: the two ways are not told apart"


def test_an_emotion_is_heard_at_16000_hz_directly(
    model: LoadedModel, clip: Waveform, native: Tensor, voice: IndexTTS2Voice, emotion: EmotionConditioning
) -> None:
    right = heard(model, at(clip.samples, ENCODER_HZ, ENCODER_SAMPLES))["emotion"]
    wrong = heard(model, sinc_resample(native, NATIVE_HZ, ENCODER_HZ))["emotion"]
    # Without an emotion prompt the voice's own file goes both ways (spec 1.1).
    for found in (emotion.emotion, voice.own_emotion):
        assert off(found, right) < CLOSE
        assert off(found, wrong) > 10 * CLOSE
    assert torch.equal(emotion.emotion, voice.own_emotion)


def test_s2m_continues_the_first_15_seconds_at_22050_hz(
    model: LoadedModel, native: Tensor, voice: IndexTTS2Voice
) -> None:
    assert voice.prompt_mel.shape == (80, 1291)  # floor(330 750 / 256)
    torch.testing.assert_close(voice.prompt_mel, log_mel(native[None], model.config.mel)[0], rtol=0, atol=2e-3)
    assert voice.prompt_condition.shape[0] == 1291


def test_the_codes_of_the_prompt_are_those_of_the_speakers_way(
    model: LoadedModel, native: Tensor, voice: IndexTTS2Voice
) -> None:
    with torch.no_grad():
        rows = features(model, sinc_resample(native, NATIVE_HZ, ENCODER_HZ))
        condition = model.s2mel.length_regulator(model.codec.quantize(rows)[1], 1291)[0]
    assert off(voice.prompt_condition, condition) < CLOSE


def test_the_cut_is_made_after_resampling_and_from_the_start(
    model: LoadedModel, clip: Waveform, voice: IndexTTS2Voice, tmp_path: Path
) -> None:
    """What lies behind 15 s is not heard, and the last sample before is not the last of a file that ends there."""
    generator = torch.Generator().manual_seed(8)
    behind = clip.samples.clone()
    behind[16 * FILE_HZ + 1 :] = torch.randn(FILE_HZ - 1, generator=generator)
    other = Conditioner(IndexTTS2(model), tmp_path).encode_voice(Waveform(behind, FILE_HZ))
    for name in ("latents", "style", "prompt_mel", "prompt_condition", "base_emotion", "own_emotion"):
        assert torch.equal(getattr(other, name), getattr(voice, name)), name
    cut_first = Conditioner(IndexTTS2(model), tmp_path).encode_voice(Waveform(clip.samples[: 15 * FILE_HZ], FILE_HZ))
    assert not torch.equal(cut_first.prompt_mel[:, -1], voice.prompt_mel[:, -1])
    assert torch.equal(cut_first.prompt_mel[:, :-4], voice.prompt_mel[:, :-4])


def test_a_file_at_the_native_rate_is_not_resampled_first(model: LoadedModel, tmp_path: Path, native: Tensor) -> None:
    file = Waveform(torch.cat((native, torch.ones(5_000))), NATIVE_HZ)
    voice = Conditioner(IndexTTS2(model), tmp_path).encode_voice(file)
    assert isinstance(voice, IndexTTS2Voice)
    assert torch.equal(voice.prompt_mel, log_mel(native[None], model.config.mel)[0])
    right = heard(model, sinc_resample(native, NATIVE_HZ, ENCODER_HZ))
    assert torch.equal(voice.base_emotion, right["emotion"]) and torch.equal(voice.style, right["style"])


def test_a_short_clip_is_taken_whole(model: LoadedModel, tmp_path: Path, native: Tensor) -> None:
    voice = Conditioner(IndexTTS2(model), tmp_path).encode_voice(Waveform(native[: 3 * NATIVE_HZ], NATIVE_HZ))
    assert voice.prompt_mel.shape == (80, 3 * NATIVE_HZ // 256)
