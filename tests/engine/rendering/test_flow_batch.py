"""Chunks in the flow: each becomes what it becomes alone, whoever else is there and whatever befalls them."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from oncue_engine.checkpoints.loaded import LoadedModel
from oncue_engine.model.flow import solve
from oncue_engine.rendering.flow_batch import FlowBatch, FlowRow, render_mel
from oncue_engine.rendering.mel import FlowJob

_GUIDANCE = 0.7


@pytest.fixture(scope="module", params=[torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def flow(request: pytest.FixtureRequest, nano: LoadedModel) -> FlowBatch:
    return FlowBatch(nano.s2mel.estimator, _GUIDANCE, request.param)


def _job(nano: LoadedModel, seed: int, frames: int, prompt: int, skip: int = 0) -> FlowJob:
    generator = torch.Generator().manual_seed(seed)
    dit = nano.config.s2mel.dit
    noise = torch.randn(80, frames, generator=generator)
    noise[:, :prompt] = 0
    return FlowJob(
        noise=noise,
        prompt_mel=torch.randn(80, prompt, generator=generator) - 4.0,
        mu=torch.randn(frames, dit.content_dim, generator=generator),
        style=torch.randn(dit.style_dim, generator=generator),
        keep=frames - prompt - skip - 3,
        skip=skip,
    )


def _near(got: torch.Tensor, want: torch.Tensor, flow: FlowBatch) -> None:
    share = 1e-4 if flow.precision is torch.float32 else 0.03
    assert (got - want).square().mean().sqrt() < share * want.square().mean().sqrt()


@pytest.mark.parametrize("guidance", [0.0, _GUIDANCE])
def test_in_float32_the_rows_are_what_the_solver_gives(nano: LoadedModel, guidance: float) -> None:
    jobs = [_job(nano, 1, 70, 31, skip=4), _job(nano, 2, 44, 0), _job(nano, 3, 52, 40)]
    mels = render_mel(FlowBatch(nano.s2mel.estimator, guidance, torch.float32), jobs, 5)
    for job, mel in zip(jobs, mels, strict=True):
        parts = (job.noise[None], job.prompt_mel[None], job.mu[None], job.style[None])
        first = job.prompt_mel.shape[1] + job.skip
        want = solve(nano.s2mel.estimator, *parts, 5, guidance)[0, :, first : first + job.keep]
        torch.testing.assert_close(mel, want, rtol=0, atol=1e-4)


def test_bfloat16_is_near_float32(nano: LoadedModel) -> None:
    jobs = [_job(nano, 1, 70, 31), _job(nano, 2, 44, 0)]
    full, half = (
        torch.cat(render_mel(FlowBatch(nano.s2mel.estimator, _GUIDANCE, precision), jobs, 5), dim=1)
        for precision in (torch.float32, torch.bfloat16)
    )
    assert 0 < (half - full).square().mean().sqrt() < 0.03 * full.square().mean().sqrt()


def test_rows_join_and_leave_at_any_step_and_become_what_they_are_alone(nano: LoadedModel, flow: FlowBatch) -> None:
    jobs = [_job(nano, 1, 70, 31), _job(nano, 2, 44, 0), _job(nano, 3, 52, 40), _job(nano, 4, 36, 20)]
    steps = (6, 3, 4, 6)
    rows: list[FlowRow] = []
    for job, count in zip(jobs, steps, strict=True):
        rows.append(flow.start(job, count))
        flow.step(rows)
    assert [row.step for row in rows] == [4, 3, 2, 1]
    assert [row.done for row in rows] == [False, True, False, False]
    while not all(row.done for row in rows[:3]):
        flow.step(rows[:3])  # the last one is abandoned
    assert (rows[3].step, rows[0].frames) == (1, 70)
    with pytest.raises(RuntimeError, match="1 of 6"):
        rows[3].mel()
    for row, job, count in zip(rows[:3], jobs, steps, strict=False):
        (alone,) = render_mel(flow, [job], count)
        assert alone.shape == (80, job.keep)
        _near(row.mel(), alone, flow)


def test_alone_a_row_is_the_same_bits_each_time(nano: LoadedModel, flow: FlowBatch) -> None:
    job = _job(nano, 1, 70, 31)
    assert torch.equal(render_mel(flow, [job], 4)[0], render_mel(flow, [job], 4)[0])


def test_what_is_no_number_stays_in_its_row(nano: LoadedModel, flow: FlowBatch) -> None:
    jobs = [_job(nano, 1, 70, 31), _job(nano, 2, 44, 0), _job(nano, 3, 52, 40)]
    clean = render_mel(flow, jobs, 3)
    jobs[1].mu[5] = float("nan")
    mels = render_mel(flow, jobs, 3)
    assert mels[1].isnan().all()
    for at in (0, 2):
        _near(mels[at], clean[at], flow)


def test_a_row_that_raises_leaves_the_others_where_they_would_be(nano: LoadedModel, flow: FlowBatch) -> None:
    jobs = [_job(nano, 1, 70, 31), _job(nano, 2, 44, 0), _job(nano, 3, 52, 40)]
    clean = render_mel(flow, jobs, 3)
    rows = [flow.start(job, 3) for job in jobs]
    flow.step(rows)
    rows[1].static = rows[1].static[:-1]
    flow.step(rows)
    flow.step(rows)
    assert [row.step for row in rows] == [3, 1, 3]
    assert rows[1].error is not None and not rows[1].done and not rows[1].live
    with pytest.raises(type(rows[1].error)):
        rows[1].mel()
    for at in (0, 2):
        assert rows[at].error is None
        _near(rows[at].mel(), clean[at], flow)


def test_two_threads_step_rows_of_their_own(nano: LoadedModel, flow: FlowBatch) -> None:
    jobs = [_job(nano, seed, 40 + seed, 11) for seed in range(8)]
    want = [render_mel(flow, [job], 4)[0] for job in jobs]
    with ThreadPoolExecutor(2) as lanes:
        got = list(lanes.map(lambda job: render_mel(flow, [job], 4)[0], jobs))
    assert all(torch.equal(mel, alone) for mel, alone in zip(got, want, strict=True))


def test_what_does_not_fit_is_refused_at_the_start(nano: LoadedModel, flow: FlowBatch) -> None:
    job = _job(nano, 1, 70, 31)
    for change in (
        {"mu": job.mu[:-1]},
        {"mu": job.mu[:, :-1]},
        {"prompt_mel": job.noise},
        {"noise": job.noise[:79]},
        {"style": job.style[1:]},
        {"keep": 40},
        {"skip": -1},
    ):
        with pytest.raises(ValueError):
            flow.start(dataclasses.replace(job, **change), 4)
    with pytest.raises(ValueError, match="one step"):
        flow.start(job, 0)
