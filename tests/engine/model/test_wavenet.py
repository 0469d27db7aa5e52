"""WaveNet: reflect padding at each row's own end (spec 11, trap 15), alone and in ragged batches."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from oncue_engine.errors import CheckpointError
from oncue_engine.model.wavenet import WaveNet, WaveNetConfig, reflect_index


@pytest.fixture
def wavenet() -> WaveNet:
    torch.manual_seed(0)
    return WaveNet(WaveNetConfig(hidden_dim=6, num_layers=3, kernel_size=5)).eval()


def _run(wavenet: WaveNet, x: Tensor, condition: Tensor, lengths: Tensor) -> Tensor:
    index = reflect_index(lengths, x.shape[2], wavenet.pad_frames)
    valid = None
    if index is not None:
        valid = (torch.arange(x.shape[2]) < lengths[:, None])[:, None].float()
    return wavenet(x, condition, valid, index)


@pytest.mark.parametrize("length", [3, 4, 9, 12])
@pytest.mark.parametrize("pad_frames", [1, 2])
def test_reflect_index_is_plain_reflection_of_each_row(length: int, pad_frames: int) -> None:
    x = torch.arange(12.0)[None, None]
    index = reflect_index(torch.tensor([length, 5]), 12, pad_frames)
    assert index is not None
    got = x[0, 0][index[0, : length + 2 * pad_frames]]
    assert torch.equal(got, F.pad(x[..., :length], (pad_frames, pad_frames), mode="reflect")[0, 0])


def test_full_rows_need_no_index() -> None:
    assert reflect_index(torch.tensor([12, 12]), 12, 2) is None
    assert reflect_index(torch.tensor([2, 2]), 2, 2) is not None


@torch.no_grad()
def test_padding_reflects_and_does_not_fill_with_zeros(wavenet: WaveNet) -> None:
    x = torch.randn(1, 6, 1).expand(-1, -1, 20)
    out = _run(wavenet, x, wavenet.condition(torch.randn(1, 6)), torch.tensor([20]))
    assert torch.allclose(out, out[:, :, 10:11].expand_as(out), atol=1e-5), "a constant stays constant up to the ends"
    zero_padded = wavenet.in_layers[0].inner(F.pad(x, (2, 2)))
    assert not torch.allclose(zero_padded[:, :, 0], zero_padded[:, :, 10], atol=1e-3)


@torch.no_grad()
@pytest.mark.parametrize("num_frames", [30, 9])
def test_ragged_rows_equal_single_rows(wavenet: WaveNet, num_frames: int) -> None:
    lengths = torch.tensor([num_frames, num_frames - 1, num_frames - 2, 5, 3, 2, 1])
    x, condition = torch.randn(7, 6, num_frames) * 3, wavenet.condition(torch.randn(7, 6))
    together = _run(wavenet, x, condition, lengths)
    for row, length in enumerate(lengths.tolist()):
        alone = _run(wavenet, x[row : row + 1, :, :length], condition[row : row + 1], torch.tensor([length]))
        assert torch.allclose(together[row : row + 1, :, :length], alone, atol=1e-5)
        assert not together[row, :, length:].any()


@torch.no_grad()
def test_a_frame_hears_two_neighbours_per_layer(wavenet: WaveNet) -> None:
    x, condition = torch.randn(1, 6, 40), wavenet.condition(torch.randn(1, 6))
    changed = x.clone()
    changed[:, :, 20] += 1.0
    moved = _run(wavenet, x, condition, torch.tensor([40])) - _run(wavenet, changed, condition, torch.tensor([40]))
    touched = moved.abs().amax(dim=(0, 1)).nonzero().flatten()
    assert (touched.min(), touched.max()) == (20 - 6, 20 + 6)


@torch.no_grad()
def test_each_row_has_its_own_condition(wavenet: WaveNet) -> None:
    x = torch.randn(1, 6, 11).expand(2, -1, -1)
    condition = wavenet.condition(torch.randn(2, 6))
    together = _run(wavenet, x, condition, torch.tensor([11, 11]))
    assert not torch.allclose(together[0], together[1], atol=1e-3)
    assert torch.allclose(together[1:], _run(wavenet, x[1:], condition[1:], torch.tensor([11])), atol=1e-6)


@pytest.mark.parametrize("change", [{"dilation_rate": 2}, {"kernel_size": 4}, {"style_condition": False}])
def test_configs_of_other_structure_are_refused(change: dict[str, object]) -> None:
    section = {"hidden_dim": 8, "num_layers": 4, "kernel_size": 5, "dilation_rate": 1, "style_condition": True}
    assert WaveNetConfig.from_public(section) == WaveNetConfig(8, 4, 5)
    with pytest.raises(CheckpointError):
        WaveNetConfig.from_public({**section, **change})
