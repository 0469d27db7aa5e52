"""Golden outputs of the style encoder."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from oncue_engine.model.campplus import CampPlus, CampPlusConfig
from oncue_engine.parity.golden_file import GoldenFile

__all__ = ["SETS"]


@torch.no_grad()
def _campplus(golden: GoldenFile) -> dict[str, Tensor]:
    model = CampPlus(CampPlusConfig.from_public(golden.config))
    model.load_state_dict(golden.weights)
    model.eval()
    head = model.head(golden.inputs["feat"].transpose(1, 2))
    # Of this large tensor the file keeps only the start; the number of frames is in the name.
    starts = [name for name in golden.outputs if name.startswith("head_first")]
    found = {name: head[..., : int(name.removeprefix("head_first"))] for name in starts}
    x = head
    for name, part in model.xvector.named_children():
        x = part(x)
        if name in golden.outputs:
            found[name] = x
    found["style"] = model(golden.inputs["feat"])
    found["style_short"] = model(golden.inputs["feat_short"])
    return found


SETS: dict[str, Callable[[GoldenFile], dict[str, Tensor]]] = {"campplus": _campplus}
