"""Weight norm, folded: `weight_g` and `weight_v` of a checkpoint become the plain `weight` our modules hold."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from oncue_engine.errors import CheckpointError

__all__ = ["fold", "fold_weight"]

# The same pair, as older and newer files spell it.
_SPELLINGS = (
    (".weight_g", ".weight_v"),
    (".parametrizations.weight.original0", ".parametrizations.weight.original1"),
)


def fold_weight(magnitude: Tensor, direction: Tensor) -> Tensor:
    """`magnitude * direction / |direction|`, the norm running over every axis where `magnitude` has size 1.

    A convolution has one magnitude per output channel, `[out, 1, 1]`; a transposed convolution stores its weight as
    `[in, out, k]`, so the same shape `[in, 1, 1]` there means one per *input* channel (spec 7.2, trap 16).
    Raises CheckpointError when the two shapes do not belong together.
    """
    fits = magnitude.dim() == direction.dim() and all(
        g in (1, v) for g, v in zip(magnitude.shape, direction.shape, strict=True)
    )
    if not fits:
        raise CheckpointError(f"weight norm shapes {tuple(magnitude.shape)} and {tuple(direction.shape)} do not match")
    axes = [axis for axis, size in enumerate(magnitude.shape) if size == 1]
    if not axes:
        return magnitude * direction.sign()  # one magnitude per element: the norm of one number is its size
    norm: Tensor = torch.linalg.vector_norm(direction, dim=axes, keepdim=True)
    return direction * (magnitude / norm)


def fold(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict with every weight-norm pair replaced by its plain `weight`; all else is passed on unchanged.

    A state dict without weight norm comes back equal. Raises CheckpointError for half a pair, or for a pair beside
    the plain weight it would become.
    """
    folded: dict[str, Tensor] = {}
    for key, value in state.items():
        for g_end, v_end in _SPELLINGS:
            if key.endswith(g_end):
                stem, partner = key.removesuffix(g_end), v_end
                break
            if key.endswith(v_end):
                stem, partner = key.removesuffix(v_end), g_end
                break
        else:
            folded[key] = value
            continue
        if stem + partner not in state:
            raise CheckpointError(f"{key} has no {stem + partner} beside it")
        if stem + ".weight" in state:
            raise CheckpointError(f"{stem}.weight is there twice: plain and in weight-norm form")
        if partner == v_end:
            folded[stem + ".weight"] = fold_weight(value, state[stem + partner])
    return folded
