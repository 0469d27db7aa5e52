"""Samples: streamed ones are those of one vocoder call, and ends do not click."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import numpy as np
import numpy.typing as npt
import pytest
import torch

from oncue_engine.checkpoints.loaded import LoadedModel
from oncue_engine.model.bigvgan import BigVGAN
from oncue_engine.model.harmonic_source import Excitation
from oncue_engine.model.packed_vocoder import inference_form
from oncue_engine.rendering.wave import SegmentWave, VocoderJob, ease_out, render_wave

Samples = npt.NDArray[np.float32]
MARK = 77.0


def _mel(frames: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(80, frames, generator=torch.Generator().manual_seed(seed)) * 2.0 - 4.0


def _sourced(nano: LoadedModel) -> BigVGAN:
    """A vocoder with a harmonic source, loud enough to compare."""
    torch.manual_seed(0)
    vocoder = BigVGAN(replace(nano.config.vocoder, harmonic_source=True)).eval()
    vocoder.conv_post.weight.data.mul_(4.0)
    return vocoder


def _samples(waves: Sequence[Samples | Exception]) -> list[Samples]:
    return [wave for wave in waves if not isinstance(wave, Exception)]


@pytest.mark.parametrize("cuts", [[150], [30, 31, 60, 150], [1, 2, 3, 149, 150]])
def test_streamed_samples_equal_one_call(nano: LoadedModel, cuts: list[int]) -> None:
    mel, reach, hop = _mel(150), nano.vocoder.context_frames, nano.config.mel.hop_length
    with torch.inference_mode():
        whole = nano.vocoder(mel[None])[0, 0].numpy()
        wave, parts = SegmentWave(hop, reach, reach), []
        for end in cuts:
            job = wave.job(mel[:, :end], last=end == 150)
            if job is not None:
                parts += _samples(render_wave(nano.vocoder, [job]))
    assert np.abs(whole).max() > 0.1
    np.testing.assert_allclose(np.concatenate(parts), whole, rtol=0, atol=1e-4)


@pytest.mark.parametrize("cuts", [[150], [30, 31, 60, 150], [1, 2, 3, 149, 150]])
def test_streamed_samples_equal_one_call_with_a_harmonic_source(nano: LoadedModel, cuts: list[int]) -> None:
    """The phase goes on from call to call; without it, pulses would fall elsewhere after the first cut."""
    vocoder = _sourced(nano)
    mel, reach, hop = _mel(150), vocoder.context_frames, nano.config.mel.hop_length
    with torch.inference_mode():
        whole = vocoder(mel[None])[0, 0].numpy()
        wave, parts = SegmentWave(hop, reach, reach), []
        for end in cuts:
            job = wave.job(mel[:, :end], last=end == 150)
            if job is not None:
                parts += _samples(render_wave(vocoder, [job]))
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
        (left,) = _samples(render_wave(nano.vocoder, [job]))
        for mel in (one, other):
            np.testing.assert_allclose(left, nano.vocoder(mel[None])[0, 0, : len(left)].numpy(), rtol=0, atol=1e-4)
        after = [nano.vocoder(mel[None])[0, 0, len(left) :].numpy() for mel in (one, other)]
    assert len(left) == (60 - reach) * hop
    assert np.abs(after[0] - after[1]).max() > 1e-2


class Watched:
    """A vocoder that counts its calls and fails in those with a row that a test has marked."""

    def __init__(self, vocoder: BigVGAN) -> None:
        self.hop_samples, self.context_frames, self.excite = vocoder.hop_samples, vocoder.context_frames, vocoder.excite
        self.rows: list[int] = []
        self._vocoder = vocoder

    def __call__(self, mel: torch.Tensor, excitation: Excitation | None) -> torch.Tensor:
        self.rows.append(len(mel))
        if (mel[:, 0, 0] == MARK).any():
            raise RuntimeError("marked")
        wave: torch.Tensor = self._vocoder(mel, excitation)
        return wave


def _jobs(vocoder: BigVGAN, mark: int | None = None, value: float = MARK) -> list[VocoderJob]:
    """Nine windows of segments of their own: first, middle and last ones, some equally long. `mark`: one is spoilt."""
    reach, hop = vocoder.context_frames, vocoder.hop_samples
    lengths = [(0, 60, False), (0, 60, True), (40, 80, False), (0, 44, True), (30, 75, True)]
    lengths += [(0, 52, False), (0, 60, True), (50, 120, False), (0, 5, True)]
    jobs = []
    for number, (before, frames, last) in enumerate(lengths):
        mel = _mel(frames, number)
        if number == mark:
            mel[0, 0] = value
        wave = SegmentWave(hop, reach, reach)
        if before:
            wave.done_frames = before - reach
            wave.phase.cycles = 0.3 * number
        job = wave.job(mel, last)
        assert job is not None
        jobs.append(job)
    return jobs


@pytest.mark.parametrize("rows", [2, 3, 16])
@pytest.mark.parametrize("sourced", [False, True])
def test_samples_do_not_depend_on_who_shares_the_call(nano: LoadedModel, sourced: bool, rows: int) -> None:
    vocoder = _sourced(nano) if sourced else nano.vocoder
    watched, together, alone = Watched(vocoder), _jobs(vocoder), _jobs(vocoder)
    with torch.inference_mode():
        got = _samples(render_wave(cast(BigVGAN, watched), together, rows))
        want = [_samples(render_wave(vocoder, [job]))[0] for job in alone]
    assert [len(one) for one in got] == [job.count for job in alone]
    for one, other in zip(got, want, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=2e-5 * np.abs(other).max() + 1e-7)
    assert sum(watched.rows) == len(together) and max(watched.rows) <= rows
    assert len(watched.rows) < len(together), "some share a call"
    assert [job.phase for job in together] == [job.phase for job in alone]
    assert not sourced or all(job.phase.cycles > 0 for job in together)


def test_on_a_cpu_each_has_its_own_call(nano: LoadedModel) -> None:
    watched = Watched(nano.vocoder)
    with torch.inference_mode():
        render_wave(cast(BigVGAN, watched), _jobs(nano.vocoder))
    assert watched.rows == [1] * 9


@pytest.mark.parametrize("rows", [1, 16])
def test_a_job_that_fails_fails_alone(nano: LoadedModel, rows: int) -> None:
    vocoder = _sourced(nano)
    jobs, alone = _jobs(vocoder, mark=1), _jobs(vocoder)
    with torch.inference_mode():
        waves = render_wave(cast(BigVGAN, Watched(vocoder)), jobs, rows)
        want = [_samples(render_wave(vocoder, [job]))[0] for job in alone]
    assert isinstance(waves[1], RuntimeError) and jobs[1].phase.cycles == 0.0
    for index, (wave, other) in enumerate(zip(waves, want, strict=True)):
        if index != 1:
            assert not isinstance(wave, Exception)
            np.testing.assert_allclose(wave, other, rtol=0, atol=2e-5 * np.abs(other).max() + 1e-7)
            assert jobs[index].phase == alone[index].phase


def test_a_row_that_is_no_number_stays_in_its_row(nano: LoadedModel) -> None:
    jobs, clean = _jobs(nano.vocoder, mark=1, value=float("nan")), _jobs(nano.vocoder)
    with torch.inference_mode():
        waves = _samples(render_wave(nano.vocoder, jobs, 16))
        want = _samples(render_wave(nano.vocoder, clean, 16))
    assert np.isnan(waves[1]).any()
    assert all(np.array_equal(waves[index], want[index]) for index in range(9) if index != 1)


def test_the_packed_form_streams_the_same(nano: LoadedModel) -> None:
    vocoder = inference_form(_sourced(nano))
    mel, reach, hop = _mel(150), vocoder.context_frames, nano.config.mel.hop_length
    with torch.inference_mode():
        whole = vocoder(mel[None])[0, 0].numpy()
        wave, parts = SegmentWave(hop, reach, reach), []
        for end in (30, 31, 60, 150):
            job = wave.job(mel[:, :end], last=end == 150)
            if job is not None:
                parts += _samples(render_wave(vocoder, [job]))
    np.testing.assert_allclose(np.concatenate(parts), whole, rtol=0, atol=1e-4)


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
