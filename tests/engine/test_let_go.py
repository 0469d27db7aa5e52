"""Memory of packed weights goes, and the weights do not."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from oncue_engine.let_go import let_go
from oncue_engine.tensor_file import load_tensor_file

_MB = 2**20


def _mapped_bytes() -> int:
    found = re.search(r"RssFile:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found.group(1)) * 1024


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_mapped_file_is_let_go_and_read_again(tmp_path: Path) -> None:
    whole = torch.randn(24 * _MB // 4)
    save_file({"a": whole, "b": torch.ones(100)}, tmp_path / "weights.safetensors")
    tensors = load_tensor_file(tmp_path / "weights.safetensors")
    assert torch.equal(tensors["a"], whole)
    before = _mapped_bytes()
    let_go(tensors.values())
    assert _mapped_bytes() < before - 16 * _MB
    assert torch.equal(tensors["a"], whole) and torch.equal(tensors["b"], torch.ones(100))


def test_what_is_no_file_stays_as_it_is() -> None:
    tensor, strided = torch.randn(1000, 1000), torch.randn(300, 200).t()
    copies = tensor.clone(), strided.clone()
    let_go((tensor, strided, torch.zeros(0), torch.zeros(3, device="meta")))
    assert torch.equal(tensor, copies[0]) and torch.equal(strided, copies[1])
