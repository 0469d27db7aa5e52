"""From one row per semantic code to one row per mel frame (spec 6.2).

    code embeddings [B,N,D] -> linear -> nearest-neighbour stretch to F frames -> convolutions, GroupNorm -> [B,F,C]

GroupNorm here is one group: its mean and variance run over channels AND the whole time axis, so a frame's result
depends on every other frame of the call. Never pad or cut before it without saying so: rows of a ragged batch pass
their own lengths, and then each row is normalised over its own frames only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from oncue_engine.errors import CheckpointError

__all__ = ["LengthRegulator", "LengthRegulatorConfig", "mel_frames"]

_UNUSED_KEYS = ("embedding.weight", "mask_token")


def mel_frames(num_codes: int, frames_per_token: float) -> int:
    """Mel frames for a (cut) count of codes: trunc(num_codes * frames_per_token), 1.72 in the public model."""
    return math.trunc(num_codes * frames_per_token)


@dataclass(frozen=True, slots=True)
class LengthRegulatorConfig:
    """`channels` C out, `in_channels` D in, `num_convs` blocks of convolution, norm and Mish."""

    channels: int = 512
    in_channels: int = 1024
    num_convs: int = 4

    @classmethod
    def from_public(cls, section: Mapping[str, Any]) -> LengthRegulatorConfig:
        """Read the `s2mel.length_regulator` section. CheckpointError for missing fields or unknown structure."""
        if section.get("is_discrete") or section.get("vector_quantize") or section.get("f0_condition"):
            raise CheckpointError("length_regulator: only continuous content without F0 is known")
        try:
            ratios = list(section["sampling_ratios"])
            config = cls(int(section["channels"]), int(section["in_channels"]), len(ratios))
        except KeyError as missing:
            raise CheckpointError(f"length_regulator: the config lacks {missing}") from None
        if any(ratio != 1 for ratio in ratios):
            raise CheckpointError("length_regulator: sampling ratios other than 1 are not known")
        return config


class LengthRegulator(nn.Module):
    """Public keys `content_in_proj.*`, `model.{0,1,3,4,...}.*`; the unused embedding and mask token are not kept."""

    def __init__(self, config: LengthRegulatorConfig) -> None:
        super().__init__()
        self.config = config
        channels = config.channels
        self.content_in_proj = nn.Linear(config.in_channels, channels)
        layers: list[nn.Module] = []
        for _ in range(config.num_convs):
            layers += [nn.Conv1d(channels, channels, 3, padding=1), nn.GroupNorm(1, channels), nn.Mish()]
        self.model = nn.Sequential(*layers, nn.Conv1d(channels, channels, 1))
        self.register_load_state_dict_pre_hook(_drop_unused)  # type: ignore[no-untyped-call]

    def forward(
        self, x: Tensor, num_frames: int, *, lengths: Tensor | None = None, frames: Tensor | None = None
    ) -> Tensor:
        """x [B,N,D] -> [B,num_frames,C].

        Ragged batches give both `lengths` [B], the codes of each row, and `frames` [B], the mel frames of each row
        (at most `num_frames`); each row then equals its own single call, and is zero after its end.
        """
        if (lengths is None) != (frames is None):
            raise ValueError("lengths and frames go together")
        x = self.content_in_proj(x)  # [B,N,C]
        if lengths is None or frames is None:
            source = _nearest(torch.tensor(x.shape[1]), torch.tensor(num_frames), num_frames).to(x.device)
            out: Tensor = self.model(x[:, source].transpose(1, 2)).transpose(1, 2)
            return out
        lengths, frames = lengths.to(x.device), frames.to(x.device)
        source = _nearest(lengths[:, None], frames[:, None], num_frames)  # [B,F]
        x = x.gather(1, source[..., None].expand(-1, -1, x.shape[-1])).transpose(1, 2)  # [B,C,F]
        valid = (torch.arange(num_frames, device=x.device) < frames[:, None])[:, None].to(x.dtype)  # [B,1,F]
        x = x * valid
        for layer in self.model:
            if isinstance(layer, nn.GroupNorm):
                x = _masked_group_norm(x, layer, valid)
            else:
                x = layer(x) * valid
        return x.transpose(1, 2)


def _nearest(length: Tensor, frames: Tensor, num_frames: int) -> Tensor:
    """Source index of each frame: floor(frame * (length / frames)), in float32 as PyTorch's `nearest` has it."""
    ratio = length.to(torch.float32) / frames.to(torch.float32)
    frame = torch.arange(num_frames, dtype=torch.float32, device=ratio.device)
    return torch.minimum((frame * ratio).floor().long(), length.to(ratio.device) - 1)


def _masked_group_norm(x: Tensor, norm: nn.GroupNorm, valid: Tensor) -> Tensor:
    """Single-group norm over each row's own frames; x [B,C,F] is zero where `valid` [B,1,F] is."""
    # Sums over thousands of values: in float32 also where the network runs in half precision.
    full, inside = x.to(torch.float32), valid.to(torch.float32)
    count = inside.sum(dim=(1, 2), keepdim=True) * x.shape[1]
    mean = full.sum(dim=(1, 2), keepdim=True) / count
    centred = (full - mean) * inside
    variance = centred.square().sum(dim=(1, 2), keepdim=True) / count
    scaled = centred * torch.rsqrt(variance + norm.eps)
    return ((scaled * norm.weight[:, None] + norm.bias[:, None]) * inside).to(x.dtype)


def _drop_unused(module: nn.Module, state: dict[str, Any], prefix: str, *_: object) -> None:
    """The public file holds two parameters that synthesis never reads."""
    for key in _UNUSED_KEYS:
        state.pop(prefix + key, None)
