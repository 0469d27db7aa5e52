"""Weight norm folded per output channel, and per input channel for transposed convolutions."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from oncue_engine.errors import CheckpointError
from oncue_engine.model.weight_norm import fold, fold_weight


@pytest.mark.parametrize(
    "layer",
    [nn.Conv1d(4, 6, 3), nn.ConvTranspose1d(6, 4, 8, stride=4), nn.Linear(5, 7)],
    ids=["convolution", "transposed", "linear"],
)
def test_fold_gives_the_weight_the_layer_computes(layer: nn.Module) -> None:
    torch.manual_seed(0)
    normed = parametrizations.weight_norm(layer)
    nn.init.uniform_(normed.parametrizations.weight.original0, 0.5, 2.0)
    folded = fold(nn.Sequential(normed).state_dict())
    assert set(folded) == {"0.weight", "0.bias"}
    torch.testing.assert_close(folded["0.weight"], normed.weight, rtol=1e-6, atol=1e-7)


def test_transposed_convolution_is_normed_per_input_channel() -> None:
    direction = torch.randn(6, 3, 8, generator=torch.Generator().manual_seed(1))  # [in, out, k]
    magnitude = torch.arange(1.0, 7.0).view(6, 1, 1)
    weight = fold_weight(magnitude, direction)
    torch.testing.assert_close(weight.flatten(1).norm(dim=1), magnitude.flatten())
    per_output = direction * magnitude / direction.norm(dim=(0, 2), keepdim=True)
    assert not torch.allclose(weight, per_output, rtol=1e-2)


def test_plain_state_passes_unchanged() -> None:
    state = {"a.weight": torch.ones(2), "a.bias": torch.zeros(2)}
    assert fold(state) == state


def test_half_a_pair_is_an_error() -> None:
    with pytest.raises(CheckpointError, match=r"a\.weight_v"):
        fold({"a.weight_g": torch.ones(2, 1)})
    with pytest.raises(CheckpointError, match=r"a\.weight_g"):
        fold({"a.weight_v": torch.ones(2, 3)})


def test_pair_beside_plain_weight_is_an_error() -> None:
    with pytest.raises(CheckpointError, match="twice"):
        fold({"a.weight_g": torch.ones(2, 1), "a.weight_v": torch.ones(2, 3), "a.weight": torch.ones(2, 3)})


def test_shapes_that_do_not_belong_together_are_an_error() -> None:
    with pytest.raises(CheckpointError, match="do not match"):
        fold({"a.weight_g": torch.ones(3, 1, 1), "a.weight_v": torch.ones(2, 3, 4)})
