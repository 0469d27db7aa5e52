"""Resampling: the same samples however a signal is cut, exactly as many as promised."""

from pathlib import Path

import pytest
import torch

from oncue_engine.frontend.resample import StreamingResampler, resample, resampled_samples, sinc_resample
from oncue_engine.parity.golden_file import read_golden

GOLDEN = Path(__file__).parents[2] / "golden" / "mel_frontends.safetensors"
RATES = [(16_000, 48_000), (22_050, 48_000), (16_000, 22_050), (16_000, 44_100), (22_050, 16_000), (48_000, 8_000)]


def noise(samples: int) -> torch.Tensor:
    return torch.randn(samples, generator=torch.Generator().manual_seed(samples))


def streamed(wav: torch.Tensor, from_hz: int, to_hz: int, cuts: list[int]) -> torch.Tensor:
    resampler = StreamingResampler(from_hz, to_hz)
    parts = [resampler.push(piece) for piece in wav.tensor_split(cuts)]
    return torch.cat([*parts, resampler.flush()])


@pytest.mark.parametrize(("from_hz", "to_hz"), RATES)
@pytest.mark.parametrize("samples", [0, 1, 255, 16_001, 50_000])
def test_streamed_is_one_shot_to_the_bit(from_hz: int, to_hz: int, samples: int) -> None:
    wav = noise(samples)
    whole = resample(wav, from_hz, to_hz)
    assert whole.dtype == torch.float32
    assert whole.shape == (resampled_samples(samples, from_hz, to_hz),)
    for cuts in ([], [samples // 3, samples // 2], list(range(160, samples, 160)), [1, 2, 3, 600, 600]):
        assert torch.equal(streamed(wav, from_hz, to_hz, cuts), whole)


@pytest.mark.parametrize(("from_hz", "to_hz"), RATES)
def test_a_minute_has_exactly_its_samples(from_hz: int, to_hz: int) -> None:
    assert streamed(noise(60 * from_hz), from_hz, to_hz, [7, 30 * from_hz]).shape == (60 * to_hz,)


def test_lengths_round_halves_up() -> None:
    assert [resampled_samples(n, 16_000, 8_000) for n in range(5)] == [0, 1, 1, 2, 2]
    assert resampled_samples(3, 16_000, 22_050) == 4  # 4.13


@pytest.mark.parametrize(("from_hz", "to_hz"), RATES)
def test_a_tone_keeps_pitch_phase_and_level(from_hz: int, to_hz: int) -> None:
    hz = 440.0
    source = torch.sin(2 * torch.pi * hz * torch.arange(from_hz, dtype=torch.float64) / from_hz).float()
    want = torch.sin(2 * torch.pi * hz * torch.arange(to_hz, dtype=torch.float64) / to_hz).float()
    middle = slice(to_hz // 4, 3 * to_hz // 4)
    torch.testing.assert_close(resample(source, from_hz, to_hz)[middle], want[middle], rtol=0, atol=2e-3)


def test_equal_rates_are_the_identity_and_hold_nothing_back() -> None:
    wav = noise(500)
    resampler = StreamingResampler(16_000, 16_000)
    assert torch.equal(resampler.push(wav[:1]), wav[:1])
    assert torch.equal(resampler.push(wav[1:]), wav[1:])
    assert resampler.flush().shape == (0,)
    assert torch.equal(resample(wav, 16_000, 16_000), wav)
    assert torch.equal(sinc_resample(wav, 16_000, 16_000), wav)


def test_after_flush_the_signal_has_ended() -> None:
    for to_hz in (16_000, 48_000):
        resampler = StreamingResampler(16_000, to_hz)
        resampler.push(noise(100))
        resampler.flush()
        assert resampler.flush().shape == (0,)
        with pytest.raises(ValueError, match="ended"):
            resampler.push(noise(1))


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="positive"):
        StreamingResampler(0, 16_000)
    with pytest.raises(ValueError, match=r"\[n\]"):
        StreamingResampler(16_000, 48_000).push(torch.zeros(1, 4))


@pytest.mark.parametrize("to_hz", [22_050, 16_000])
def test_golden_sinc(to_hz: int) -> None:
    golden = read_golden(GOLDEN)
    got = sinc_resample(golden.inputs["wav_24000_src"], 24_000, to_hz)
    want = golden.outputs[f"resampled_{to_hz}"]
    assert got.shape == want.shape
    assert (got - want).abs().max() / want.abs().max() < 1e-4
