"""Modules that wait for their parameters."""

from __future__ import annotations

import threading

import torch
from torch import nn

from oncue_engine.checkpoints.later_parameters import parameters_later


def test_parameters_wait_and_buffers_do_not() -> None:
    state = torch.random.get_rng_state()
    with parameters_later():
        network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Embedding(5, 6))
    assert torch.equal(torch.random.get_rng_state(), state)  # nothing was drawn
    assert all(parameter.is_meta and parameter.requires_grad for parameter in network.parameters())
    assert not any(buffer.is_meta for buffer in network.buffers())
    full = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Embedding(5, 6))
    assert not any(parameter.is_meta for parameter in full.parameters())
    network.load_state_dict(full.state_dict(), assign=True)
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), full.parameters(), strict=True))


def test_other_threads_build_as_ever() -> None:
    built: list[nn.Linear] = []
    with parameters_later():
        thread = threading.Thread(target=lambda: built.append(nn.Linear(30, 40)))
        thread.start()
        thread.join()
    assert not built[0].weight.is_meta and float(built[0].weight.detach().std()) > 0.0
