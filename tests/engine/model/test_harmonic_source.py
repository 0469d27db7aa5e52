"""The harmonic source: pulses at the right pitch, nothing beyond half the rate, and the same however it was cut."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from oncue_engine.errors import CheckpointError
from oncue_engine.model.bigvgan import BigVGAN, BigVGANConfig
from oncue_engine.model.harmonic_source import HarmonicSource, excitation, white_noise

RATE_HZ = 16_000
WITHOUT = BigVGANConfig(upsample_rates=(8, 4, 4, 2), upsample_kernel_sizes=(16, 8, 8, 4), upsample_initial_channel=32)
SMALL = replace(WITHOUT, harmonic_source=True)
SMALL_BLOCKS = replace(SMALL, resblock_kernel_sizes=(3,), resblock_dilation_sizes=((1,),))
ODD_RATES = replace(SMALL_BLOCKS, upsample_rates=(4, 5, 3), upsample_kernel_sizes=(8, 9, 5))


def seeded(config: BigVGANConfig) -> BigVGAN:
    torch.manual_seed(0)
    return BigVGAN(config).eval()


def speechlike(frames: int) -> torch.Tensor:
    return torch.randn(1, 80, frames, generator=torch.Generator().manual_seed(1)) * 2.0 - 4.0


def pulses(f0_hz: float, num_samples: int = RATE_HZ) -> np.ndarray:
    step = torch.full((1, num_samples), f0_hz / RATE_HZ, dtype=torch.float64)
    ones = torch.ones(1, num_samples)
    return excitation(step.cumsum(1), step, ones, ones)[0, 0].double().numpy()


@pytest.mark.parametrize("f0_hz", [80.0, 125.0, 313.0])
def test_pulses_are_all_harmonics_equally_loud_and_nothing_else(f0_hz: float) -> None:
    spectrum = np.abs(np.fft.rfft(pulses(f0_hz))) * 2 / RATE_HZ  # one bin is 1 Hz
    harmonics = np.arange(f0_hz, RATE_HZ / 2 - f0_hz, f0_hz).astype(int)
    assert spectrum[harmonics] == pytest.approx(spectrum[harmonics[0]], rel=1e-3)
    others = np.setdiff1d(np.arange(RATE_HZ // 2), np.arange(f0_hz, RATE_HZ / 2, f0_hz).astype(int))
    assert spectrum[others].max() < 1e-3 * spectrum[harmonics[0]]
    assert np.mean(pulses(f0_hz) ** 2) == pytest.approx(1.0, rel=0.05)


def test_a_pulse_stands_at_every_whole_cycle() -> None:
    found = pulses(100.0, 1600)
    assert (np.flatnonzero(found > 0.9 * found.max()) % 160 == 159).all()


def test_a_harmonic_that_reaches_half_the_rate_fades() -> None:
    """Around the pitch at which one harmonic less fits, the source changes little."""
    below, above = pulses(RATE_HZ / 2 / 40.001, 400), pulses(RATE_HZ / 2 / 39.999, 400)
    assert np.abs(below - above).max() < 0.05 * np.abs(below).max()


def test_unvoiced_frames_have_no_pulses_but_noise() -> None:
    step = torch.full((1, 1000), 0.01)
    noise = white_noise(0, 1000)[None]
    source = excitation(step.double().cumsum(1), step, torch.zeros(1, 1000), noise)
    assert not source[:, 0].any()
    assert torch.equal(source[:, 1], noise)


@pytest.mark.parametrize("first", [0, 1, 5, 256, 1023])
def test_noise_is_a_function_of_the_sample(first: int) -> None:
    whole = white_noise(0, 3000)
    assert torch.equal(white_noise(first, 700), whole[first : first + 700])
    assert whole.var().item() == pytest.approx(1.0, abs=0.05)
    spectrum = torch.fft.rfft(whole).abs()
    assert spectrum.max() < 5 * spectrum.square().mean().sqrt()


@torch.no_grad()
def test_a_window_continues_the_phase_of_what_was_before() -> None:
    source = HarmonicSource(80, 256).eval()
    mel = speechlike(60)
    whole = source(mel)
    begin, known = 20, 6
    part = source(mel[..., begin:], begin, known, float(whole.cycles[0, begin + known]))
    inside = slice((begin + 4) * 256, None)
    torch.testing.assert_close(part.source[..., 4 * 256 :], whole.source[..., inside], rtol=0, atol=1e-5)
    torch.testing.assert_close(part.cycles[:, 4:], whole.cycles[:, begin + 4 :], rtol=0, atol=1e-9)
    restarted = source(mel[..., begin:], begin)
    assert (restarted.source[..., 4 * 256 :] - whole.source[..., inside]).abs().max() > 1.0


@torch.no_grad()
@pytest.mark.parametrize("config", [SMALL, SMALL_BLOCKS, ODD_RATES], ids=["small", "small_blocks", "odd_rates"])
def test_context_frames_settle_a_window_to_the_end(config: BigVGANConfig) -> None:
    """With `context_frames` and the phase, a window's middle is the full render; with two frames it is not."""
    model = seeded(config)
    reach, hop, frames = model.context_frames, config.hop_samples, 4
    mel = speechlike(2 * reach + 30)
    excited = model.excite(mel)
    assert excited is not None
    full = model(mel)
    assert full.shape[-1] == hop * mel.shape[-1]

    def error(first: int, context: int) -> float:
        window = mel[..., first - context : first + frames + context]
        part = model.excite(window, first - context, context, float(excited.cycles[0, first]))
        made = model(window, part)[..., context * hop : (context + frames) * hop]
        return (made - full[..., first * hop : (first + frames) * hop]).abs().max().item()

    assert full.abs().max() > 0.01
    for first in (reach, reach + 13, reach + 20):
        assert error(first, reach) < 1e-5
    assert max(error(first, 2) for first in range(reach, reach + 10)) > 1e-3 * full.abs().max()


def test_every_weight_learns() -> None:
    model = seeded(SMALL).train()
    mel = speechlike(12)
    excited = model.excite(mel)
    assert excited is not None
    model.before_clamp(mel, excited.source).square().mean().backward()
    for name, parameter in model.named_parameters():
        # Through the phase, as little as it is, the pitch hears of the waveform too.
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, name


def test_the_option_adds_keys_and_changes_none() -> None:
    with torch.device("meta"):
        public, sourced = (set(BigVGAN(config).state_dict()) for config in (WITHOUT, SMALL))
    assert public < sourced
    assert {key.split(".")[0] for key in sourced - public} == {"source", "injections"}
    assert seeded(WITHOUT).excite(speechlike(10)) is None


def test_the_config_reads_the_option_and_refuses_other_values() -> None:
    public = {"upsample_rates": [4, 4], "upsample_kernel_sizes": [8, 8], "upsample_initial_channel": 16}
    assert not BigVGANConfig.from_public(public).harmonic_source
    assert BigVGANConfig.from_public({**public, "harmonic_source": True}).harmonic_source
    with pytest.raises(CheckpointError, match="harmonic_source"):
        BigVGANConfig.from_public({**public, "harmonic_source": "yes"})
