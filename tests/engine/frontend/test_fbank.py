"""Kaldi's filterbank, against golden numbers and an independent implementation."""

from pathlib import Path

import numpy as np
import pytest
import torch

from oncue_engine.frontend.fbank import fbank, minus_mean
from oncue_engine.parity.golden_file import read_golden

GOLDEN = Path(__file__).parents[2] / "golden" / "mel_frontends.safetensors"


def noise(samples: int, seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(samples, generator=torch.Generator().manual_seed(seed))


def test_golden_fbank() -> None:
    golden = read_golden(GOLDEN)
    got = fbank(golden.inputs["wav_16000"][0])
    for name, value in (("fbank_kaldi", got), ("fbank_kaldi_minus_mean", minus_mean(got))):
        want = golden.outputs[name]
        assert (value - want).abs().max() / want.abs().max() < 1e-3, name


def test_signal_is_not_scaled_to_16_bits() -> None:
    """The golden numbers are of samples in [-1, 1]; on integers every bin would stand 2 ln 32768 higher."""
    golden = read_golden(GOLDEN)
    wav, want = golden.inputs["wav_16000"][0], golden.outputs["fbank_kaldi"]
    loud = want > want.max() - 10
    assert (fbank(wav) - want)[loud].abs().max() < 0.01
    assert (fbank(wav * 32768) - want)[loud].mean().item() == pytest.approx(2 * np.log(32768), abs=0.01)


def test_same_as_an_independent_implementation() -> None:
    knf = pytest.importorskip("kaldi_native_fbank")
    options = knf.FbankOptions()
    options.frame_opts.dither = 0
    options.frame_opts.snip_edges = True
    options.mel_opts.num_bins = 80
    wav = noise(16_000, seed=4)
    online = knf.OnlineFbank(options)
    online.accept_waveform(16_000, wav.tolist())
    online.input_finished()
    want = torch.from_numpy(np.stack([online.get_frame(i) for i in range(online.num_frames_ready)]))
    torch.testing.assert_close(fbank(wav), want, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("samples", [400, 559, 560, 16_000])
def test_only_whole_frames(samples: int) -> None:
    assert fbank(noise(samples)).shape == (1 + (samples - 400) // 160, 80)


def test_a_constant_offset_changes_nothing() -> None:
    wav = noise(8000).double()
    torch.testing.assert_close(fbank(wav + 0.3), fbank(wav), rtol=1e-6, atol=1e-6)


def test_less_than_a_frame_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 400"):
        fbank(torch.zeros(399))
