"""Samples: streamed ones are those of one vocoder call, and ends do not click."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from oncue_engine.checkpoints.loaded import LoadedModel
from oncue_engine.model.bigvgan import BigVGAN
from oncue_engine.rendering.wave import SegmentWave, ease_out, render_wave


def _mel(frames: int) -> torch.Tensor:
    return torch.randn(80, frames, generator=torch.Generator().manual_seed(0)) * 2.0 - 4.0


@pytest.mark.parametrize("cuts", [[150], [30, 31, 60, 150], [1, 2, 3, 149, 150]])
def test_streamed_samples_equal_one_call(nano: LoadedModel, cuts: list[int]) -> None:
    mel, reach, hop = _mel(150), nano.vocoder.context_frames, nano.config.mel.hop_length
    with torch.inference_mode():
        whole = nano.vocoder(mel[None])[0, 0].numpy()
        wave, parts = SegmentWave(hop, reach, reach), []
        for end in cuts:
            job = wave.job(mel[:, :end], last=end == 150)
            if job is not None:
                parts += render_wave(nano.vocoder, [job])
    assert np.abs(whole).max() > 0.1
    np.testing.assert_allclose(np.concatenate(parts), whole, rtol=0, atol=1e-4)


@pytest.mark.parametrize("cuts", [[150], [30, 31, 60, 150], [1, 2, 3, 149, 150]])
def test_streamed_samples_equal_one_call_with_a_harmonic_source(nano: LoadedModel, cuts: list[int]) -> None:
    """The phase goes on from call to call; without it, pulses would fall elsewhere after the first cut."""
    torch.manual_seed(0)
    vocoder = BigVGAN(replace(nano.config.vocoder, harmonic_source=True)).eval()
    vocoder.conv_post.weight.data.mul_(4.0)
    mel, reach, hop = _mel(150), vocoder.context_frames, nano.config.mel.hop_length
    with torch.inference_mode():
        whole = vocoder(mel[None])[0, 0].numpy()
        wave, parts = SegmentWave(hop, reach, reach), []
        for end in cuts:
            job = wave.job(mel[:, :end], last=end == 150)
            if job is not None:
                parts += render_wave(vocoder, [job])
        excitation = vocoder.excite(mel[None])
    assert np.abs(whole).max() > 0.1
    # The pitch is computed in float64, so that its rounding does not add up: what is left is that of the filters.
    np.testing.assert_allclose(np.concatenate(parts), whole, rtol=0, atol=1e-4)
    assert excitation is not None
    assert wave.phase.cycles == pytest.approx(float(excitation.cycles[0, -1]), abs=1e-9)


def test_only_settled_samples_leave(nano: LoadedModel) -> None:
    """A sample that left does not change when the mel after what was known turns out otherwise."""
    reach, hop = nano.vocoder.context_frames, nano.config.mel.hop_length
    known, one, other = _mel(60), _mel(90), _mel(90)
    one[:, :60], other[:, :60] = known, known
    other[:, 60:] += 3.0
    with torch.inference_mode():
        job = SegmentWave(hop, reach, reach).job(known, last=False)
        assert job is not None
        (left,) = render_wave(nano.vocoder, [job])
        for mel in (one, other):
            np.testing.assert_allclose(left, nano.vocoder(mel[None])[0, 0, : len(left)].numpy(), rtol=0, atol=1e-4)
        after = [nano.vocoder(mel[None])[0, 0, len(left) :].numpy() for mel in (one, other)]
    assert len(left) == (60 - reach) * hop
    assert np.abs(after[0] - after[1]).max() > 1e-2


def test_a_loud_end_fades_inside_the_last_frame() -> None:
    loud = np.full(1000, 0.5, np.float32)
    faded = ease_out(loud, 16_000, 256)
    assert faded[-1] == pytest.approx(0.0, abs=1e-6)
    assert np.abs(np.diff(faded)).max() < 0.02
    assert np.array_equal(faded[:-64], loud[:-64])  # 4 ms
    assert np.all(np.diff(faded[-64:]) <= 0)
    assert loud[-1] == 0.5, "the input stays as it was"


def test_a_quiet_end_is_left_alone() -> None:
    quiet = np.concatenate([np.full(500, 0.5, np.float32), np.zeros(10, np.float32)])
    assert ease_out(quiet, 16_000, 256) is quiet
    assert len(ease_out(np.zeros(0, np.float32), 16_000, 256)) == 0
