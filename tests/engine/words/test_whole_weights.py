"""Weights in eight and in four bits: how far from the truth, and what damaged files say."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from oncue_engine.errors import CheckpointError
from oncue_engine.words.whole_weights import read_whole, snap_rows, write_whole


def _matrix() -> torch.Tensor:
    return torch.randn(40, 24, generator=torch.Generator().manual_seed(0)) * torch.logspace(-3, 2, 40)[:, None]


@pytest.mark.parametrize(("four_bits", "largest"), [((), 127), (("m",), 7)])
def test_a_row_is_off_by_at_most_half_a_step(tmp_path: Path, four_bits: tuple[str, ...], largest: int) -> None:
    matrix = _matrix()
    write_whole({"m": matrix, "v": torch.tensor([1.0, -0.5])}, tmp_path / "w", four_bits)
    found = read_whole(tmp_path / "w")
    step = matrix.abs().amax(1, keepdim=True) / largest
    assert set(found) == {"m", "v"}
    assert ((found["m"] - matrix).abs() <= 0.5 * step * 1.01 + matrix.abs() * 1e-3).all()
    assert torch.equal(found["v"], torch.tensor([1.0, -0.5]))


def test_a_snapped_matrix_is_written_without_loss(tmp_path: Path) -> None:
    snapped = snap_rows(_matrix())
    write_whole({"m": snapped}, tmp_path / "w", four_bits=("m",))
    torch.testing.assert_close(read_whole(tmp_path / "w")["m"], snapped, rtol=2e-3, atol=0)


def test_four_bits_take_half_the_room_of_eight(tmp_path: Path) -> None:
    matrix = torch.randn(2000, 64)
    write_whole({"m": matrix}, tmp_path / "eight")
    write_whole({"m": matrix}, tmp_path / "four", four_bits=("m",))
    assert (tmp_path / "four").stat().st_size < 0.55 * (tmp_path / "eight").stat().st_size


def test_rows_of_zeros_stay_zero(tmp_path: Path) -> None:
    write_whole({"m": torch.zeros(3, 4)}, tmp_path / "w")
    assert torch.equal(read_whole(tmp_path / "w")["m"], torch.zeros(3, 4))


def test_missing_and_damaged_files(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="missing"):
        read_whole(tmp_path / "none")
    (tmp_path / "bad").write_bytes(b"not safetensors")
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_whole(tmp_path / "bad")
