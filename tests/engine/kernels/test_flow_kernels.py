"""Kernels of the flow estimator against the same in PyTorch."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from oncue_engine.kernels.flow import silu_gate


@pytest.mark.parametrize(("rows", "width"), [(1, 3), (7, 512), (33, 160)])
def test_the_gate_is_silu_times_the_other_half(rows: int, width: int) -> None:
    both = (4 * torch.randn(rows, 2 * width, generator=torch.Generator().manual_seed(rows))).bfloat16()
    first, second = both.float().chunk(2, dim=-1)
    torch.testing.assert_close(silu_gate(both).float(), functional.silu(first) * second, rtol=2**-7, atol=1e-6)


def test_the_gate_keeps_what_is_no_number() -> None:
    both = torch.tensor([[float("nan"), 100.0, -100.0, 1.0, 2.0, 3.0]]).bfloat16()
    out = silu_gate(both)[0]
    assert out[0].isnan() and out[1] == 200.0 and out[2].abs() < 1e-30
