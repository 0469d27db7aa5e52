"""The semantic encoder's input."""

from pathlib import Path

import pytest
import torch

from oncue_engine.frontend.fbank import fbank
from oncue_engine.frontend.speech_features import speech_features
from oncue_engine.parity.golden_file import read_golden

GOLDEN = Path(__file__).parents[2] / "golden" / "mel_frontends.safetensors"


def noise(samples: int) -> torch.Tensor:
    return 0.1 * torch.randn(samples, generator=torch.Generator().manual_seed(samples))


def test_golden_speech_features() -> None:
    golden = read_golden(GOLDEN)
    features, mask = speech_features(golden.inputs["wav_16000"][0])
    want = golden.outputs["w2v_input_features"][0]
    assert (features - want).abs().max() / want.abs().max() < 1e-3
    assert torch.equal(mask, golden.outputs["w2v_attention_mask"][0].long())


def test_signal_is_scaled_to_16_bits_before_the_floor() -> None:
    """A faint signal keeps its shape: unscaled, its energies would drown in the logarithm's floor."""
    faint = noise(16_000) * 1e-3
    loud = speech_features(faint * 100)[0]
    torch.testing.assert_close(speech_features(faint)[0], loud, rtol=0, atol=0.02)
    raw = fbank(faint)
    unscaled = (raw - raw.mean(0)) / (raw.var(0) + 1e-7).sqrt()
    assert (unscaled.reshape(loud.shape) - loud).abs().max() > 0.5


@pytest.mark.parametrize("stride", [2, 4])
def test_each_bin_is_normalised_with_unbiased_variance(stride: int) -> None:
    features, mask = speech_features(noise(400 + 160 * 99), stride)  # 100 frames: nothing is filled up
    assert features.shape == (100 // stride, 80 * stride)
    assert mask.all()
    frames = features.reshape(100, 80)
    torch.testing.assert_close(frames.mean(0), torch.zeros(80), rtol=0, atol=1e-4)
    torch.testing.assert_close(frames.var(0, unbiased=True), torch.ones(80), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("frames", "stride"), [(99, 2), (97, 4), (98, 4), (99, 4)])
def test_a_part_row_is_filled_with_one_and_masked(frames: int, stride: int) -> None:
    features, mask = speech_features(noise(400 + 160 * (frames - 1)), stride)
    missing = -frames % stride
    assert features.shape[0] == mask.shape[0] == (frames + missing) // stride
    assert mask.tolist() == [1] * (mask.shape[0] - 1) + [0]
    assert torch.equal(features[-1, -80 * missing :], torch.ones(80 * missing))


def test_one_frame_is_refused() -> None:
    with pytest.raises(ValueError, match="two frames"):
        speech_features(noise(400))
