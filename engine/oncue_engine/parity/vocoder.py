"""Golden outputs of the vocoder, and its weights with weight norm folded."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from oncue_engine.errors import CheckpointError
from oncue_engine.model.bigvgan import BigVGAN, BigVGANConfig
from oncue_engine.model.weight_norm import fold
from oncue_engine.parity.golden_file import GoldenFile, read_golden

__all__ = ["SETS"]


@torch.no_grad()
def _bigvgan(golden: GoldenFile) -> dict[str, Tensor]:
    model = BigVGAN(BigVGANConfig.from_public(golden.config))
    model.load_state_dict(fold(golden.weights))
    model.eval()
    mel = golden.inputs["mel"]
    x = model.conv_pre(mel)
    found = {"conv_pre": x}
    for stage in range(len(model.ups)):
        up = model.upsample(x, stage)
        found[f"up{stage}"] = up
        if stage == 0:
            found["resblock0_act0"] = model.resblocks[0].get_submodule("activations.0")(up)
            found["resblock0"] = model.resblocks[0](up)
        x = model.stage(x, stage)
    found["activation_post"] = model.activation_post(x)
    found["conv_post_preclamp"] = model.before_clamp(mel)
    found["wav"] = model(mel)
    for name in golden.outputs:
        if name.startswith("wav_") and name.endswith("frames"):
            found[name] = model(mel[..., : int(name.removeprefix("wav_").removesuffix("frames"))])
    # Our modules hold folded weights only, so both forms of the checkpoint are one path.
    found["wav_folded"] = found["wav"]
    return found


@torch.no_grad()
def _bigvgan_folded(golden: GoldenFile) -> dict[str, Tensor]:
    """The weights of the weight-norm file that lies beside this one, folded by us, under their own names."""
    BigVGAN(BigVGANConfig.from_public(golden.config)).load_state_dict(golden.weights)
    for path in sorted(golden.path.parent.glob("*.safetensors")):
        try:
            other = read_golden(path)
        except CheckpointError:
            continue
        if (other.set, other.variant, other.config) == ("bigvgan", golden.variant, golden.config):
            return fold(other.weights)
    raise CheckpointError(
        f"{golden.path}: needs the weight-norm file of the same set beside it", reason="GOLDEN_INVALID"
    )


SETS: dict[str, Callable[[GoldenFile], dict[str, Tensor]]] = {
    "bigvgan": _bigvgan,
    "bigvgan_folded": _bigvgan_folded,
}
