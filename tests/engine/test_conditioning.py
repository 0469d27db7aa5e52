"""Prompt clips become tensors once; caches serve what is right, or nothing."""

from __future__ import annotations

import hashlib
import os
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from oncue_engine.checkpoints.loaded import LoadedModel
from oncue_engine.conditioning import Conditioner, EmotionConditioning, VoiceConditioning
from oncue_engine.errors import ReferenceRejected
from oncue_engine.frontend.audio import Waveform, decode_reference
from oncue_engine.kinds.indextts2 import IndexTTS2
from oncue_engine.requests import Reference, ReferenceOptions


@pytest.fixture
def clip_file(nano_folder: Path) -> Path:
    return nano_folder / "voices" / "low.wav"


@pytest.fixture
def voice_clip(clip_file: Path) -> Waveform:
    return decode_reference(clip_file)


def _same(one: VoiceConditioning | EmotionConditioning, other: VoiceConditioning | EmotionConditioning) -> bool:
    return all(torch.equal(getattr(one, field.name), getattr(other, field.name)) for field in fields(one))


def test_a_voice_has_the_shapes_of_its_model(nano: LoadedModel, tmp_path: Path, voice_clip: Waveform) -> None:
    voice = Conditioner(IndexTTS2(nano), tmp_path).make_voice("a" * 64, voice_clip)
    t2s, frames = nano.config.t2s, 16_000 // 256  # the S2M prompt is cut to 1 s in this model
    assert voice.latents.shape == (t2s.conditioning_latents, t2s.model_dim)
    assert voice.style.shape == (nano.config.style_encoder.embedding_size,)
    assert voice.prompt_mel.shape == (80, frames)
    assert voice.prompt_condition.shape == (frames, nano.config.s2mel.length_regulator.channels)
    assert voice.base_emotion.shape == voice.own_emotion.shape == (t2s.model_dim,)
    assert torch.equal(voice.base_emotion, voice.own_emotion)  # one 16 kHz path at a native 16 kHz
    for field in fields(voice):
        tensor = getattr(voice, field.name)
        assert tensor.dtype == torch.float32 and bool(torch.isfinite(tensor).all())


def test_cached_tensors_carry_no_graph_and_no_foreign_memory(
    nano: LoadedModel, tmp_path: Path, voice_clip: Waveform
) -> None:
    conditioner = Conditioner(IndexTTS2(nano), tmp_path)
    for made in (conditioner.make_voice("a" * 64, voice_clip), conditioner.make_emotion("a" * 64, voice_clip)):
        for field in fields(made):
            tensor = getattr(made, field.name)
            assert not tensor.requires_grad and tensor.grad_fn is None
            assert tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size()


def test_clips_are_cut_to_the_models_limit(nano: LoadedModel, tmp_path: Path, voice_clip: Waveform) -> None:
    conditioner = Conditioner(IndexTTS2(nano), tmp_path)
    long = Waveform(voice_clip.samples.repeat(5), 16_000)  # 15 s; the limit is 6 s
    limit = Waveform(long.samples[: 6 * 16_000], 16_000)
    assert _same(conditioner.encode_voice(long), conditioner.encode_voice(limit))
    other_end = Waveform(torch.cat((limit.samples, torch.zeros(16_000))), 16_000)
    assert _same(conditioner.encode_voice(long), conditioner.encode_voice(other_end))


def test_a_clip_is_encoded_once_and_found_after_a_restart(
    nano: LoadedModel, tmp_path: Path, clip_file: Path, voice_clip: Waveform
) -> None:
    reference = Reference(clip_file, "b" * 64)
    conditioner = Conditioner(IndexTTS2(nano), tmp_path)
    assert conditioner.find_voice(reference.sha256) is None
    made = conditioner.voice(reference, None)
    assert conditioner.prompt_encodes == 1
    assert conditioner.voice(reference, voice_clip) is made
    emotion = conditioner.emotion(reference, voice_clip)
    assert conditioner.prompt_encodes == 2

    restarted = Conditioner(IndexTTS2(nano), tmp_path)
    gone = Reference(Path("/no/such/file.wav"), reference.sha256)
    assert _same(restarted.voice(gone, None), made)
    assert _same(restarted.emotion(gone, None), emotion)
    assert restarted.prompt_encodes == 0


def test_a_clip_that_must_be_read_and_cannot_be(nano: LoadedModel, tmp_path: Path) -> None:
    with pytest.raises(ReferenceRejected):
        Conditioner(IndexTTS2(nano), tmp_path).voice(Reference(tmp_path / "no.wav", "c" * 64), None)


def test_another_model_finds_nothing(nano: LoadedModel, tmp_path: Path, voice_clip: Waveform) -> None:
    from dataclasses import replace

    Conditioner(IndexTTS2(nano), tmp_path).make_voice("d" * 64, voice_clip)
    assert Conditioner(IndexTTS2(nano), tmp_path).find_voice("d" * 64) is not None
    assert Conditioner(IndexTTS2(nano), tmp_path).find_emotion("d" * 64) is None
    assert Conditioner(IndexTTS2(replace(nano, fingerprint="0" * 16)), tmp_path).find_voice("d" * 64) is None


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "garbage", "swap"])
def test_a_damaged_file_is_made_again_not_served(
    nano: LoadedModel, tmp_path: Path, voice_clip: Waveform, clip_file: Path, damage: str
) -> None:
    made = Conditioner(IndexTTS2(nano), tmp_path).make_voice("e" * 64, voice_clip)
    (path,) = tmp_path.glob("voice-*.safetensors")
    data = bytearray(path.read_bytes())
    if damage == "cut":
        path.write_bytes(data[:-8])
    elif damage == "flip":
        data[-100] ^= 0x40
        path.write_bytes(data)
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "garbage":
        path.write_bytes(os.urandom(1000))
    else:
        other = Conditioner(IndexTTS2(nano), tmp_path)
        other.make_emotion("e" * 64, voice_clip)
        (emotion,) = tmp_path.glob("emotion-*.safetensors")
        path.write_bytes(emotion.read_bytes())
    conditioner = Conditioner(IndexTTS2(nano), tmp_path)
    assert conditioner.find_voice("e" * 64) is None
    again = conditioner.voice(Reference(clip_file, "e" * 64), None)
    assert conditioner.prompt_encodes == 1
    assert _same(again, made)
    assert Conditioner(IndexTTS2(nano), tmp_path).find_voice("e" * 64) is not None


def test_memory_keeps_the_most_recently_used(nano: LoadedModel, tmp_path: Path, voice_clip: Waveform) -> None:
    conditioner = Conditioner(IndexTTS2(nano), tmp_path, capacity=2)
    made = {key: conditioner.make_emotion(key, voice_clip) for key in ("x", "y")}
    assert conditioner.find_emotion("x") is made["x"]  # used now: y is the oldest
    conditioner.make_emotion("z", voice_clip)
    assert conditioner.find_emotion("x") is made["x"]
    from_disk = conditioner.find_emotion("y")
    assert from_disk is not None and from_disk is not made["y"]
    assert _same(from_disk, made["y"])
    assert conditioner.prompt_encodes == 3


def test_nothing_but_whole_files_lie_in_the_folder(nano: LoadedModel, tmp_path: Path, voice_clip: Waveform) -> None:
    Conditioner(IndexTTS2(nano), tmp_path).make_voice("f" * 64, voice_clip)
    names = [path.name for path in tmp_path.iterdir()]
    assert len(names) == 1 and names[0].startswith("voice-") and names[0].endswith(".safetensors")


def test_the_s2m_prompt_begins_with_speech(nano: LoadedModel, tmp_path: Path, voice_clip: Waveform) -> None:
    """This model's S2M takes 1 s: silence before the first word is not spent on."""
    conditioner = Conditioner(IndexTTS2(nano), tmp_path)
    silence = 1e-4 * torch.randn(24_000, generator=torch.Generator().manual_seed(0))
    late = conditioner.encode_voice(Waveform(torch.cat((silence, voice_clip.samples)), 16_000))
    assert late.prompt_mel.shape == (80, 62) and late.prompt_condition.shape[0] == 62
    assert (late.prompt_mel[:, 6:].mean(0) > -9.0).all()  # silence lies near -11
    only_end = Waveform(torch.cat((silence, silence, voice_clip.samples[:4_000])), 16_000)
    assert conditioner.encode_voice(only_end).prompt_mel.shape == (80, 62)


def test_a_folder_that_cannot_be_written_costs_nothing_now(
    nano: LoadedModel, tmp_path: Path, voice_clip: Waveform, caplog: pytest.LogCaptureFixture
) -> None:
    conditioner = Conditioner(IndexTTS2(nano), tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    made = conditioner.make_voice("9" * 64, voice_clip)
    assert conditioner.find_voice("9" * 64) is made
    assert "cannot be kept" in caplog.text


def test_the_usual_options_keep_the_key_that_clips_always_had(
    nano: LoadedModel, tmp_path: Path, clip_file: Path
) -> None:
    """Tensors that were kept before there were options are found."""
    Conditioner(IndexTTS2(nano), tmp_path).voice(Reference(clip_file, "a" * 64), None)
    name = hashlib.sha256(f"1:voice:{'a' * 64}:{nano.fingerprint}".encode()).hexdigest()
    assert [path.name for path in tmp_path.iterdir()] == [f"voice-{name}.safetensors"]


def test_each_choice_of_options_has_tensors_of_its_own(nano: LoadedModel, tmp_path: Path, clip_file: Path) -> None:
    quiet = tmp_path / "quiet.wav"
    samples = decode_reference(clip_file).samples.numpy()
    padded = np.concatenate((np.zeros(8_000), samples, np.zeros(8_000))) * 0.02
    soundfile.write(quiet, padded, 16_000, subtype="FLOAT")
    chosen = [ReferenceOptions(trim, level) for trim in (False, True) for level in (False, True)]
    references = [Reference(quiet, "b" * 64, options) for options in chosen]
    conditioner = Conditioner(IndexTTS2(nano), tmp_path / "kept")
    made = [conditioner.voice(reference, None) for reference in references]
    assert conditioner.prompt_encodes == 4
    again = Conditioner(IndexTTS2(nano), tmp_path / "kept")
    for index, reference in enumerate(references):
        found = again.find_voice(reference.key)
        assert found is not None and _same(found, made[index])
        assert not any(_same(found, other) for other in made[:index])
    # A mended level is heard in the mel that S2M continues.
    assert float((made[0].prompt_mel - made[1].prompt_mel).max()) > 1.0
