"""Kernels of the flow estimator against the same in PyTorch, in both precisions."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from oncue_engine.kernels.flow import Segments, guided_norm, residual_norm, silu_gate, wave_gate, wave_input

SEGMENTS = Segments((7, 14, 16, 18, 23, 28), 2)
NAN = float("nan")

precisions = pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
widths = pytest.mark.parametrize("width", [5, 32, 160])


def _random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _near(got: Tensor, want: Tensor, precision: torch.dtype) -> None:
    assert got.dtype is precision
    tolerance = 2**-7 if precision is torch.bfloat16 else 1e-5
    torch.testing.assert_close(got.float(), want, rtol=tolerance, atol=tolerance)


def test_segments_know_their_spans() -> None:
    assert SEGMENTS.frames == 28
    assert SEGMENTS.spans == [(0, 7), (7, 14), (14, 16), (16, 18), (18, 23), (23, 28)]
    assert SEGMENTS.job_spans == [(0, 14), (14, 18), (18, 28)]


@precisions
@pytest.mark.parametrize(("rows", "width"), [(1, 3), (7, 512), (33, 160)])
def test_the_gate_is_silu_times_the_other_half(rows: int, width: int, precision: torch.dtype) -> None:
    both = (4 * _random(rows, 2 * width, seed=rows)).to(precision)
    first, second = both.float().chunk(2, dim=-1)
    _near(silu_gate(both), functional.silu(first) * second, precision)


@pytest.mark.parametrize("width", [3, 32])
def test_the_gate_keeps_what_is_no_number(width: int) -> None:
    both = torch.ones(1, 2 * width).bfloat16()
    both[0, :3] = torch.tensor([NAN, 100.0, -100.0])
    both[0, width : width + 3] = torch.tensor([1.0, 2.0, 3.0])
    out = silu_gate(both)[0]
    assert out[0].isnan() and out[1] == 200.0 and out[2].abs() < 1e-30


@precisions
@widths
@pytest.mark.parametrize("replace", [False, True])
def test_a_residual_is_added_or_taken_then_normed_and_modulated(
    width: int, replace: bool, precision: torch.dtype
) -> None:
    stream, added = _random(28, width), _random(28, width, seed=1).to(precision)
    modulation = _random(3, 4, 2, width, seed=2)[:, 1]  # further norms lie between those of two jobs
    wider, out = (torch.full((28, 2 * width), 9.0, dtype=precision) for _ in range(2))
    want = added.float() if replace else stream + added.float()
    normed = torch.cat(
        [
            functional.rms_norm(want[begin:end], (width,), None, 1e-5) * modulation[job, 0] + modulation[job, 1]
            for job, (begin, end) in enumerate(SEGMENTS.job_spans)
        ]
    )
    residual_norm(stream, added, SEGMENTS, modulation, out[:, :width], replace=replace, copy=wider[:, width:])
    torch.testing.assert_close(stream, want)
    _near(wider[:, width:], want, precision)
    _near(out[:, :width], normed, precision)
    assert (wider[:, :width] == 9.0).all() and (out[:, width:] == 9.0).all()


def test_the_norm_keeps_what_is_no_number_in_its_frame() -> None:
    stream, added, out = _random(28, 160), torch.zeros(28, 160).bfloat16(), torch.zeros(28, 160).bfloat16()
    added[9, 3] = NAN
    residual_norm(stream, added, SEGMENTS, torch.ones(3, 2, 160), out)
    assert out[9].isnan().all() and out[:9].isfinite().all() and out[10:].isfinite().all()


@precisions
@widths
@pytest.mark.parametrize("pad", [1, 2, 4])
def test_the_wave_input_reflects_each_segment_at_its_own_ends(pad: int, width: int, precision: torch.dtype) -> None:
    stream, added = _random(28, width), _random(28, 3 * width, seed=1).to(precision)[:, width : 2 * width]
    want = stream + added.float()
    out = torch.full((28 + 2 * pad * 6, width), 9.0, dtype=precision)
    wave_input(stream, added, SEGMENTS, pad, out)
    torch.testing.assert_close(stream, want)
    at = 0
    for begin, end in SEGMENTS.spans:
        rows = want[begin:end]
        missing = pad + 1 - len(rows)
        if missing > 0:
            rows = functional.pad(rows, (0, 0, 0, missing))
        padded = functional.pad(rows.t()[None], (pad, pad), mode="reflect")[0].t()[: end - begin + 2 * pad]
        _near(out[at : at + len(padded)], padded, precision)
        at += end - begin + 2 * pad
    assert at == len(out)


@precisions
@widths
def test_the_wave_gate_is_tanh_times_sigmoid_with_the_time_of_its_job(width: int, precision: torch.dtype) -> None:
    pad = 2
    gates = (3 * _random(28 + 2 * pad * 5, 2 * width)).to(precision)
    condition = _random(3, 3, 2 * width, seed=1)[:, 1]
    out = torch.full((28, 3 * width), 9.0, dtype=precision)
    wave_gate(gates, condition, SEGMENTS, pad, out[:, width : 2 * width])
    for number, (begin, end) in enumerate(SEGMENTS.spans):
        at = begin + 2 * pad * number
        value, gate = (gates[at : at + end - begin].float() + condition[number // 2]).chunk(2, dim=-1)
        _near(out[begin:end, width : 2 * width], value.tanh() * gate.sigmoid(), precision)
    assert (out[:, :width] == 9.0).all() and (out[:, 2 * width :] == 9.0).all()


@precisions
def test_the_wave_gate_is_right_far_out_and_keeps_what_is_no_number(precision: torch.dtype) -> None:
    gates = torch.tensor([[200.0, -200.0, NAN, 1.0, 1.0, 200.0, 200.0, 0.0, NAN, -200.0]]).to(precision)
    out = torch.zeros(1, 5, dtype=precision)
    wave_gate(gates, torch.zeros(1, 10), Segments((1,), 1), 0, out)
    assert out[0, :2].tolist() == [1.0, -1.0] and out[0, 2:4].isnan().all() and out[0, 4].abs() < 1e-30


@precisions
@widths
@pytest.mark.parametrize("branches", [1, 2])
def test_the_last_norm_joins_the_branches(branches: int, width: int, precision: torch.dtype) -> None:
    segments = SEGMENTS if branches == 2 else Segments((14, 18, 28), 1)
    kept, guidance = (3, 2, 5), 0.7
    x, y = _random(28, width).to(precision), _random(28, 2 * width, seed=1).to(precision)[:, width:]
    modulation = _random(3, 2, width, seed=2)
    normed = functional.layer_norm(x.float() + y.float(), (width,), eps=1e-6)
    want = []
    for job, count in enumerate(kept):
        ends = segments.ends[job * branches : (job + 1) * branches]
        values = [normed[end - count : end] for end in ends]
        joined = values[0] if branches == 1 else (1 + guidance) * values[0] - guidance * values[1]
        want.append(joined * modulation[job, 0] + modulation[job, 1])
    _near(guided_norm(x, y, segments, kept, guidance, modulation), torch.cat(want), precision)
