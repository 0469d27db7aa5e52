"""Stage 8: excitations in step with a recording, discriminators that learn alone, and a run of all of it."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch

from oncue_engine.checkpoints.loaded import LoadedModel
from oncue_engine.model.bigvgan import BigVGANConfig
from oncue_engine.training.discriminators import Discriminators, critic_loss, generator_losses
from oncue_engine.training.excitation import aligned_source, true_excitation
from oncue_engine.training.loop import LoopConfig
from oncue_engine.training.made_mels import load_made_mels, make_mels, save_made_mels
from oncue_engine.training.s2mel import MelItem
from oncue_engine.training.vocoder import VocoderTraining, train_vocoder, vocoder_item

RATE_HZ, HOP = 16_000, 256
CONFIG = BigVGANConfig((8, 8, 4), (16, 16, 8), 16, (3,), ((1,),), harmonic_source=True)


def voice(f0_hz: float, glide_hz: float = 0.0, seconds: float = 1.5) -> tuple[np.ndarray, np.ndarray]:
    """A buzz whose pitch glides, quiet in its first quarter, and its phase in cycles; pulses at whole cycles."""
    time = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    cycles = f0_hz * time + 0.5 * glide_hz * time**2
    wave = sum(np.cos(2 * np.pi * k * cycles) for k in range(1, 12))
    wave = np.where(time < seconds / 4, 0.0, 0.05 * wave) + 1e-4 * np.random.default_rng(0).normal(size=len(time))
    return wave.astype(np.float32), cycles


@pytest.mark.parametrize(("f0_hz", "glide_hz"), [(95.0, 0.0), (140.0, 60.0), (210.0, -80.0)])
def test_true_excitation_finds_pitch_and_phase(f0_hz: float, glide_hz: float) -> None:
    wave, cycles = voice(f0_hz, glide_hz)
    frames = len(wave) // HOP
    found = true_excitation(wave, RATE_HZ, HOP, frames)
    assert found.octaves.shape == found.voiced.shape == (frames,) and found.cycles.shape == (frames + 1,)
    assert not found.voiced[: frames // 4 - 3].any()
    inside = np.arange(frames // 4 + 4, frames - 4)
    assert found.voiced[inside].all()
    middle_s = (inside + 0.5) * HOP / RATE_HZ
    true_hz = f0_hz + glide_hz * middle_s
    assert np.abs(2.0 ** found.octaves[inside] * RATE_HZ / HOP / true_hz - 1.0).max() < 0.01
    error = found.cycles[inside] - cycles[inside * HOP]
    assert np.abs(error - np.round(error)).max() < 0.04  # of a period


def test_the_phase_does_not_depend_on_the_trackers_grid() -> None:
    """Whole samples of lag are 1.3 % of pitch at 210 Hz; the demodulated phase has no such steps."""
    wave, _ = voice(211.7)
    found = true_excitation(wave, RATE_HZ, HOP, len(wave) // HOP)
    pitch_hz = 2.0 ** found.octaves[40:-4] * RATE_HZ / HOP
    assert np.abs(pitch_hz / 211.7 - 1.0).max() < 0.003


def test_aligned_pulses_stand_where_those_of_the_recording_do() -> None:
    wave, _ = voice(125.0, 40.0)
    frames = len(wave) // HOP
    found = true_excitation(wave, RATE_HZ, HOP, frames)
    source = aligned_source(
        torch.from_numpy(found.cycles)[None], torch.from_numpy(found.octaves)[None],
        torch.from_numpy(found.voiced.astype(np.float32))[None], torch.zeros(1, frames * HOP), HOP,
    )[0, 0].numpy()  # fmt: skip
    part = slice(40 * HOP, 80 * HOP)
    peaks = [np.flatnonzero(x[part] > 0.6 * x[part].max()) for x in (source, wave)]
    assert len(peaks[0]) > 60
    nearest = np.abs(peaks[0][:, None] - peaks[1][None]).min(axis=1)
    assert nearest.max() <= 4  # samples; a period is 100


def test_silence_has_an_excitation_too() -> None:
    found = true_excitation(np.zeros(4000, np.float32), RATE_HZ, HOP, 15)
    assert not found.voiced.any() and np.isfinite(found.octaves).all() and (np.diff(found.cycles) > 0).all()


def test_discriminators_and_generator_learn_apart() -> None:
    torch.manual_seed(0)
    judges = Discriminators((4, 8), 4)
    made, true = (0.1 * torch.randn(2, 4096)).requires_grad_(), 0.1 * torch.randn(2, 4096)
    critic, features = critic_loss(judges, made, true)
    critic.backward()
    assert made.grad is None
    assert all(p.grad is not None and p.grad.any() for p in judges.parameters())
    judges.zero_grad(set_to_none=True)
    losses = generator_losses(judges, made, features)
    (losses["adversarial"] + losses["matching"]).backward()
    assert made.grad is not None and made.grad.any()
    assert all(p.grad is None for p in judges.parameters())
    assert generator_losses(judges, true, features)["matching"].item() == pytest.approx(0.0, abs=1e-6)
    assert losses["matching"].item() > 0.01


def test_discriminators_learn_to_tell_noise_from_a_tone() -> None:
    torch.manual_seed(0)
    judges = Discriminators((4, 8), 4)
    optimizer = torch.optim.Adam(judges.parameters(), lr=1e-2)
    tone = 0.1 * torch.sin(2 * torch.pi * 200 / RATE_HZ * torch.arange(4096)).expand(4, -1)
    first = last = 0.0
    for step in range(30):
        loss, _ = critic_loss(judges, 0.1 * torch.randn(4, 4096), tone)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        first, last = (loss.item(), last) if step == 0 else (first, loss.item())
    assert last < 0.7 * first


def test_a_short_training_learns_and_judges_only_at_the_end(tmp_path: Path) -> None:
    items = [vocoder_item((voice(f0_hz)[0] * 32767).astype(np.int16)) for f0_hz in (100.0, 150.0, 210.0)]
    torch.manual_seed(0)
    model = train_vocoder(
        items, items[:1], items, tmp_path,
        LoopConfig(steps=10, peak_lr=3e-3, warmup_steps=1, log_every=1, bf16=False), CONFIG,
        VocoderTraining(batch=2, frames=16, adversarial_share=0.3, compiled=False),
    )  # fmt: skip
    with (tmp_path / "log.csv").open() as log:
        rows = list(csv.DictReader(log))
    judged = {int(row["step"]) for row in rows if row["name"] == "adversarial"}
    assert judged == {8, 9, 10}
    mel = [float(row["value"]) for row in rows if row["name"] == "mel"]
    assert mel[6] < 0.97 * mel[0]
    pitch = [float(row["value"]) for row in rows if row["name"] == "pitch"]
    assert min(pitch[5:]) < pitch[0]
    assert not model.training and model.excite(torch.zeros(1, 80, 12)) is not None


def test_every_mel_is_made_at_its_own_length_and_again_the_same(nano: LoadedModel) -> None:
    """`nano` is a tiny random model; the lone clip of speaker 1 has nothing to be prompted with."""
    rng = np.random.default_rng(0)
    sizes = nano.config.s2mel

    def item(codes: int, speaker: int) -> MelItem:
        return MelItem(
            rng.integers(0, nano.config.codec.codebook_size, codes).astype(np.int16),
            rng.normal(size=(codes, sizes.gpt_layer_widths[0])).astype(np.float16),
            rng.normal(size=(codes * 5 // 2, 80)).astype(np.float16),
            rng.normal(size=nano.config.style_encoder.embedding_size).astype(np.float32),
            speaker,
        )

    items = [item(40, 0), item(33, 0), item(50, 1), item(12, 0)]
    first, again = (make_mels(nano.s2mel, nano.codec, items, steps=2, guidance=0.5, seed=3) for _ in range(2))
    assert {number: len(mel) for number, mel in first.items()} == {0: 100, 1: 82, 3: 30}
    assert all(np.isfinite(mel).all() and np.array_equal(mel, again[number]) for number, mel in first.items())


def test_made_mels_come_back_by_sentence_and_speaker(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    mels = [rng.normal(size=(frames, 80)).astype(np.float16) for frames in (5, 9)]
    save_made_mels(tmp_path / "made" / "shard-0000.npz", [("One.", 3), ("One.", 4)], mels)
    found = load_made_mels([tmp_path / "made" / "shard-0000.npz"])
    assert set(found) == {("One.", 3), ("One.", 4)}
    assert np.array_equal(found["One.", 4], mels[1])


def test_a_made_mel_goes_with_the_recordings_samples_and_excitation() -> None:
    wave = (voice(120.0)[0] * 32767).astype(np.int16)
    made = np.zeros((60, 80), np.float16)
    item = vocoder_item(wave, made)
    assert item.mel.shape == (60, 80) and len(item.samples) == 60 * HOP and len(item.excitation.cycles) == 61
    assert np.array_equal(item.excitation.cycles[20:40], vocoder_item(wave[: 60 * HOP]).excitation.cycles[20:40])
