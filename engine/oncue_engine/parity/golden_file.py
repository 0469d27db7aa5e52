"""A golden file: the weights of one small model, inputs, and the outputs a right implementation computes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from oncue_engine.errors import CheckpointError

__all__ = ["GoldenFile", "read_golden"]

# An output that only files of this set have. File names are not trusted: a copy may be called anything.
_TELLING_OUTPUTS = {
    "gpt_conditioning_spk": "cond_latents",
    "gpt_conditioning_emo": "emovec_layer",
    "gpt_t2s": "logits_full_layout",
    "emo_mix": "emovec_mat",
    "semantic_codec": "vq2emb",
    "s2mel": "dit_single",
    "campplus": "style",
    "bigvgan": "wav",
    "mel_frontends": "mel_basis",
}
# Times of the flow: as angles of a thousand times their size they are never rounded, whatever the networks run in.
_AT_LEAST_FLOAT32 = ("t_single",)
_FOLDED = "bigvgan_folded"  # weights alone
_FOLDED_TELLING_WEIGHT = "conv_post.weight"


@dataclass(frozen=True, slots=True)
class GoldenFile:
    """One file, taken apart.

    `set` says what is in it ("bigvgan", "gpt_t2s", ...: the keys of the SETS of this package); `variant` which model
    of that kind (the file's own `set` metadata: "a", "b"). Names have lost their `weights.`, `in.` and `out.`.
    """

    path: Path
    set: str
    variant: str
    config: dict[str, Any]
    weights: dict[str, Tensor]
    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]

    def on(self, device: torch.device) -> GoldenFile:
        """The same with weights and inputs on a device; outputs stay where they are."""
        moved = ({name: value.to(device) for name, value in kept.items()} for kept in (self.weights, self.inputs))
        weights, inputs = moved
        return replace(self, weights=weights, inputs=inputs)

    def cast(self, dtype: torch.dtype) -> GoldenFile:
        """The same with floating weights and inputs in `dtype`; outputs, integers and (but in float64) times stay."""
        kept = {} if dtype is torch.float64 else {n: self.inputs[n] for n in _AT_LEAST_FLOAT32 if n in self.inputs}
        return GoldenFile(
            path=self.path,
            set=self.set,
            variant=self.variant,
            config=self.config,
            weights=_cast(self.weights, dtype),
            inputs=_cast(self.inputs, dtype) | kept,
            outputs=self.outputs,
        )


def read_golden(path: Path) -> GoldenFile:
    """Read a golden safetensors file.

    Raises CheckpointError (reason GOLDEN_INVALID) when it is no safetensors file, has no config, or is of no known set.
    """
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata: Mapping[str, str] = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}
        config = json.loads(metadata["config"])
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path}: not a readable safetensors file: {error}", reason="GOLDEN_INVALID") from error
    except (KeyError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{path}: no JSON config in its metadata", reason="GOLDEN_INVALID") from error
    weights, inputs, outputs = (_under(tensors, prefix) for prefix in ("weights.", "in.", "out."))
    stray = len(tensors) - len(weights) - len(inputs) - len(outputs)
    if stray:
        raise CheckpointError(f"{path}: {stray} tensors are neither weights, in nor out", reason="GOLDEN_INVALID")
    return GoldenFile(
        path=path,
        set=_set_of(path, weights, outputs),
        variant=metadata.get("set", ""),
        config=config,
        weights=weights,
        inputs=inputs,
        outputs=outputs,
    )


def _set_of(path: Path, weights: Mapping[str, Tensor], outputs: Mapping[str, Tensor]) -> str:
    found = [name for name, output in _TELLING_OUTPUTS.items() if output in outputs]
    if not outputs and _FOLDED_TELLING_WEIGHT in weights:
        found = [_FOLDED]
    if len(found) != 1:
        outs = ", ".join(sorted(outputs)[:5]) or "none"
        raise CheckpointError(f"{path}: unknown set of golden tensors (outputs: {outs})", reason="GOLDEN_UNKNOWN_SET")
    return found[0]


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _cast(tensors: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    return {name: value.to(dtype) if value.is_floating_point() else value for name, value in tensors.items()}
