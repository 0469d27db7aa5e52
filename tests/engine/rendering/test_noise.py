"""Noise belongs to a frame, not to a call."""

from __future__ import annotations

from itertools import pairwise

import torch

from oncue_engine.rendering.noise import frame_noise


def test_noise_does_not_depend_on_how_it_is_cut() -> None:
    whole = frame_noise(5, 2, 0, 300, 80)
    for cuts in ([0, 300], [0, 1, 2, 150, 300], [0, 77, 78, 211, 300]):
        parts = [frame_noise(5, 2, a, b - a, 80) for a, b in pairwise(cuts)]
        assert torch.equal(torch.cat(parts, dim=1), whole)


def test_an_odd_number_of_bins_is_cut_alike() -> None:
    whole = frame_noise(5, 0, 0, 20, 7)
    assert whole.shape == (7, 20)
    assert torch.equal(torch.cat([frame_noise(5, 0, f, 1, 7) for f in range(20)], dim=1), whole)


def test_noise_is_standard_normal_and_white() -> None:
    noise = frame_noise(1, 0, 0, 5_000, 80)
    assert noise.mean().abs() < 0.01
    assert abs(noise.std() - 1.0) < 0.01
    assert 0.0022 < (noise.abs() > 3.0).float().mean() < 0.0032  # 0.0027 for a normal distribution
    assert (noise[:, 1:] * noise[:, :-1]).mean().abs() < 0.01
    assert (noise[1:] * noise[:-1]).mean().abs() < 0.01


def test_seed_segment_and_frame_each_change_it() -> None:
    noise = frame_noise(1, 0, 0, 10, 80)
    for other in (frame_noise(2, 0, 0, 10, 80), frame_noise(1, 1, 0, 10, 80), frame_noise(1, 0, 10, 10, 80)):
        assert (noise - other).abs().min() > 0.0
    assert torch.equal(frame_noise(2**64 - 1, 0, 0, 3, 80), frame_noise(2**64 - 1, 0, 0, 3, 80))
