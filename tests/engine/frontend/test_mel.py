"""The log mel of the flow model and the vocoder."""

from pathlib import Path

import pytest
import torch

from oncue_engine.frontend.mel import MelConfig, log_mel, mel_filters
from oncue_engine.parity.golden_file import read_golden

GOLDEN = Path(__file__).parents[2] / "golden" / "mel_frontends.safetensors"
NANO = MelConfig(sample_rate_hz=16_000, n_fft=1024, win_length=1024, hop_length=256)


def tone(hz: float, samples: int, rate_hz: int) -> torch.Tensor:
    return 0.5 * torch.sin(2 * torch.pi * hz / rate_hz * torch.arange(samples))[None]


def test_golden_mel() -> None:
    golden = read_golden(GOLDEN)
    config = MelConfig.from_public(golden.config["mel_22050"])
    got, want = log_mel(golden.inputs["wav_22050"], config), golden.outputs["mel_22050"]
    assert (got - want).abs().max() / want.abs().max() < 1e-4
    basis = golden.outputs["mel_basis"]
    assert (mel_filters(config) - basis).abs().max() / basis.abs().max() < 1e-4


def test_public_preprocess_params() -> None:
    public = {"sr": 22050, "spect_params": {"n_fft": 1024, "win_length": 1024, "hop_length": 256, "n_mels": 80}}
    public["spect_params"] |= {"fmin": 0, "fmax": "None"}
    assert MelConfig.from_public(public) == MelConfig()


@pytest.mark.parametrize(("given", "meant"), [("None", None), (None, None), (8000, 8000.0), ("8000", 8000.0)])
def test_fmax_the_string_none_means_no_limit(given: object, meant: float | None) -> None:
    config = MelConfig.from_public({"sr": 22050, "fmax": given})
    assert config.fmax == meant
    top = mel_filters(config)[-1].nonzero().max().item() * 22050 / 1024
    assert top == pytest.approx(meant or 11025, abs=2 * 22050 / 1024)


@pytest.mark.parametrize("samples", [385, 1024, 4096, 4097, 4351, 4352])
def test_one_frame_per_whole_hop(samples: int) -> None:
    assert log_mel(torch.randn(2, samples), NANO).shape == (2, 80, samples // 256)


@pytest.mark.parametrize("hz", [300.0, 1200.0, 5000.0])
def test_a_tone_is_loudest_in_its_own_band(hz: float) -> None:
    mel = log_mel(tone(hz, 16_000, 16_000), NANO)[0, :, 20:40]
    band = mel.mean(dim=1).argmax()
    centre = mel_filters(NANO)[band].argmax().item() * 16_000 / 1024
    assert centre == pytest.approx(hz, rel=0.1)


def test_silence_is_the_floor_not_minus_infinity() -> None:
    mel = log_mel(torch.zeros(1, 4096), NANO)
    assert torch.isfinite(mel).all()
    assert mel.min() >= torch.tensor(1e-5).log() - 1e-4


def test_gradient_reaches_the_samples_even_of_silence() -> None:
    wav = torch.cat([torch.zeros(1, 2048), torch.randn(1, 2048)], dim=1).requires_grad_()
    log_mel(wav, NANO).sum().backward()
    assert wav.grad is not None and torch.isfinite(wav.grad).all() and wav.grad[0, 3000:].abs().max() > 0


@pytest.mark.parametrize("shape", [(1, 384), (1, 0), (4096,)])
def test_signals_that_cannot_be_reflected_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="more than 384"):
        log_mel(torch.zeros(shape), NANO)
