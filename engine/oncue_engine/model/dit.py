"""The flow estimator: a diffusion transformer over frames with a WaveNet tail (spec 6.4).

    [noisy mel | prompt mel | content | style] per frame -> linear -> transformer (modulated by time, U-shaped skips)
        -> + noisy mel -> WaveNet -> modulated linear -> velocity of the mel

A solver calls it many times with the same prompt, content and style, and with times that are known beforehand. So the
work is split: `frame_layout`, `static_inputs` and `time_conditioning` are computed once, `evaluate` per step.
`forward` does all four, and is what training uses.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from oncue_engine.errors import CheckpointError
from oncue_engine.model.transformer import Transformer, feed_forward_width, rotary_table
from oncue_engine.model.wavenet import WaveNet, WaveNetConfig, reflect_index

__all__ = ["DiT", "DiTConfig", "FrameLayout", "TimeConditioning"]

_UNUSED_KEYS = (
    "input_pos",
    "x_embedder.weight",
    "x_embedder.weight_g",
    "x_embedder.weight_v",
    "x_embedder.bias",
    "cond_embedder.weight",
    "content_mask_embedder.weight",
)
# Structure switches of the public config, with the only values that this file implements.
_STRUCTURE: dict[str, object] = {
    "style_condition": True,
    "final_layer_type": "wavenet",
    "is_causal": False,
    "long_skip_connection": True,
    "uvit_skip_connection": True,
    "time_as_token": False,
    "style_as_token": False,
    "zero_prompt_speech_token": False,
    "add_resblock_in_transformer": False,
    "f0_condition": False,
}


@dataclass(frozen=True, slots=True)
class DiTConfig:
    """Widths of the estimator. `in_channels` mel bins, `content_dim` C of mu, `style_dim` of the style vector."""

    hidden_dim: int = 512
    num_heads: int = 8
    depth: int = 13
    in_channels: int = 80
    content_dim: int = 512
    style_dim: int = 192
    num_time_features: int = 256
    wavenet: WaveNetConfig = field(default_factory=WaveNetConfig)

    @classmethod
    def from_public(cls, section: Mapping[str, Any]) -> DiTConfig:
        """Read the whole `s2mel` section. CheckpointError for missing fields or unknown structure."""
        try:
            dit = section["DiT"]
            for name, value in _STRUCTURE.items():
                if dit.get(name, value) != value:
                    raise CheckpointError(f"DiT: {name} = {dit[name]!r} is not known, only {value!r}")
            config = cls(
                hidden_dim=int(dit["hidden_dim"]),
                num_heads=int(dit["num_heads"]),
                depth=int(dit["depth"]),
                in_channels=int(dit["in_channels"]),
                content_dim=int(dit["content_dim"]),
                style_dim=int(section["style_encoder"]["dim"]),
                wavenet=WaveNetConfig.from_public(section["wavenet"]),
            )
        except KeyError as missing:
            raise CheckpointError(f"s2mel: the config lacks {missing}") from None
        if config.hidden_dim % (2 * config.num_heads):
            raise CheckpointError("DiT: rotary positions need an even head width")
        return config


@dataclass(frozen=True, slots=True)
class FrameLayout:
    """What depends only on the rows' lengths: positions, and for ragged batches the padding."""

    rotary: Tensor  # [F, head_dim / 2, 2] cos, sin
    valid: Tensor | None  # [B, F] bool; None when every row fills the tensor
    reflect: Tensor | None  # [B, F + 2p] int64, of WaveNet


@dataclass(frozen=True, slots=True)
class TimeConditioning:
    """What depends only on the time: S rows, one per time."""

    adaptive: Tensor  # [S, 2 * depth + 1, 2, H] scale and shift of every adaptive norm
    wavenet: Tensor  # [S, layers * 2W]
    final: Tensor  # [S, 2, W] shift and scale of the last layer

    def row(self, step: int) -> TimeConditioning:
        """One time, for every row of a batch."""
        return TimeConditioning(*(part[step : step + 1] for part in (self.adaptive, self.wavenet, self.final)))

    def rows(self, index: Tensor) -> TimeConditioning:
        """The rows of the given times: index [B] int64, one per batch row."""
        return TimeConditioning(self.adaptive[index], self.wavenet[index], self.final[index])


class _TimeEmbedder(nn.Module):
    """Sines and cosines of 1000 t, then a two-layer MLP: [S] -> [S, width].

    The angles reach 1000, so the frequencies stay in float32 whatever the model is cast to or was saved in: those of
    a file are taken only at that precision, and ours are not saved.
    """

    freqs: Tensor

    def __init__(self, width: int, num_features: int) -> None:
        super().__init__()
        self.register_buffer("freqs", _frequencies(num_features // 2), persistent=False)
        self.mlp = nn.Sequential(nn.Linear(num_features, width), nn.SiLU(), nn.Linear(width, width))
        self.register_load_state_dict_pre_hook(_take_frequencies)  # type: ignore[no-untyped-call]

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> _TimeEmbedder:
        kept = self.freqs
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if not self.freqs.is_meta:
            self.freqs = (_frequencies(len(kept)) if kept.is_meta else kept).to(self.freqs.device)
        return self

    def forward(self, t: Tensor) -> Tensor:
        angles = 1000.0 * t.to(torch.float32)[:, None] * self.freqs
        features = torch.cat([angles.cos(), angles.sin()], dim=-1)
        # The angles need float32, the network may be in another precision.
        out: Tensor = self.mlp(features.to(next(self.mlp.parameters()).dtype))
        return out


def _frequencies(count: int) -> Tensor:
    return torch.exp(-math.log(10000.0) * torch.arange(count, dtype=torch.float32) / count)


class _FinalLayer(nn.Module):
    """Norm without parameters, x (1 + scale) + shift from the time, linear (weight-normed in the public file)."""

    def __init__(self, width: int, time_width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(time_width, 2 * width))

    def forward(self, x: Tensor, modulation: Tensor) -> Tensor:
        shift, scale = modulation[:, 0, None], modulation[:, 1, None]  # [B,1,W]
        x = F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale) + shift
        out: Tensor = self.linear(x)
        return out


class DiT(nn.Module):
    """Velocity estimator; public keys of `net["cfm"]` without the prefix `estimator.`, weight norms folded."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.config = config
        hidden, tail, mels = config.hidden_dim, config.wavenet.hidden_dim, config.in_channels
        self.t_embedder = _TimeEmbedder(hidden, config.num_time_features)
        self.t_embedder2 = _TimeEmbedder(tail, config.num_time_features)
        self.cond_projection = nn.Linear(config.content_dim, hidden)
        self.cond_x_merge_linear = nn.Linear(2 * mels + hidden + config.style_dim, hidden)
        self.transformer = Transformer(config.depth, hidden, config.num_heads, feed_forward_width(hidden))
        self.skip_linear = nn.Linear(hidden + mels, hidden)
        self.conv1 = nn.Linear(hidden, tail)
        self.wavenet = WaveNet(config.wavenet)
        self.res_projection = nn.Linear(hidden, tail)
        self.final_layer = _FinalLayer(tail, hidden)
        self.conv2 = nn.Conv1d(tail, mels, 1)
        self.register_load_state_dict_pre_hook(_drop_unused)  # type: ignore[no-untyped-call]

    def forward(
        self, x: Tensor, prompt_x: Tensor, mu: Tensor, style: Tensor, t: Tensor, lengths: Tensor | None = None
    ) -> Tensor:
        """x [B,80,F], prompt_x [B,80,F], mu [B,F,C], style [B,S], t [B] in 0..1, lengths [B] -> velocity [B,80,F].

        Each row has its own time and length (None: all F); a row's result is that of the row alone, and zero after
        its end.
        """
        layout = self.frame_layout(x.shape[2], lengths)
        return self.evaluate(x, self.static_inputs(prompt_x, mu, style), self.time_conditioning(t), layout)

    def frame_layout(self, num_frames: int, lengths: Tensor | None = None) -> FrameLayout:
        """Positions and padding for rows of `lengths` [B] frames (None: all full). ValueError if out of range."""
        device = self.conv1.weight.device
        rotary = rotary_table(num_frames, self.config.hidden_dim // self.config.num_heads, device)
        if lengths is None:
            if num_frames > self.wavenet.pad_frames:
                return FrameLayout(rotary, None, None)
            lengths = torch.tensor([num_frames])
        lengths = lengths.to(device)
        if bool((lengths < 1).any()) or bool((lengths > num_frames).any()):
            raise ValueError(f"lengths must lie in 1..{num_frames}, got {lengths.tolist()}")
        index = reflect_index(lengths, num_frames, self.wavenet.pad_frames)
        if index is None:
            return FrameLayout(rotary, None, None)
        return FrameLayout(rotary, torch.arange(num_frames, device=device) < lengths[:, None], index)

    def static_inputs(self, prompt_x: Tensor, mu: Tensor, style: Tensor) -> Tensor:
        """The part of the first linear that does not change along the flow: [B,F,H].

        The unguided branch passes zeros for all three: biases stay.
        """
        mels, hidden = self.config.in_channels, self.config.hidden_dim
        widths = [mels, mels, hidden, self.config.style_dim]
        _, prompt, content, speaker = torch.split(self.cond_x_merge_linear.weight, widths, dim=1)
        static = F.linear(self.cond_projection(mu), content, self.cond_x_merge_linear.bias)
        return static + F.linear(prompt_x.transpose(1, 2), prompt) + F.linear(style, speaker)[:, None]

    def time_conditioning(self, t: Tensor) -> TimeConditioning:
        """Everything the times t [S] decide, for all layers at once."""
        t1 = self.t_embedder(t)  # [S,H]
        final = self.final_layer.adaLN_modulation(t1).reshape(t1.shape[0], 2, -1)
        return TimeConditioning(self.transformer.modulations(t1), self.wavenet.condition(self.t_embedder2(t)), final)

    def merge(self, x: Tensor, static: Tensor) -> Tensor:
        """x [B,80,F], static [B,F,H] -> transformer input [B,F,H]."""
        noisy = self.cond_x_merge_linear.weight[:, : self.config.in_channels]
        return F.linear(x.transpose(1, 2), noisy) + static

    def evaluate(self, x: Tensor, static: Tensor, time: TimeConditioning, layout: FrameLayout) -> Tensor:
        """One evaluation from prepared parts: x [B,80,F], `time` with B rows (or 1 for all) -> velocity [B,80,F]."""
        hidden = self.transformer(self.merge(x, static), time.adaptive, layout.rotary, layout.valid)
        hidden = self.skip_linear(torch.cat([hidden, x.transpose(1, 2)], dim=-1))  # [B,F,H]
        valid = None if layout.valid is None else layout.valid[:, None].to(x.dtype)  # [B,1,F]
        wave = self.wavenet(self.conv1(hidden).transpose(1, 2), time.wavenet, valid, layout.reflect)  # [B,W,F]
        out = self.final_layer(wave.transpose(1, 2) + self.res_projection(hidden), time.final)
        velocity: Tensor = self.conv2(out.transpose(1, 2))
        return velocity if valid is None else velocity * valid


def _drop_unused(module: nn.Module, state: dict[str, Any], prefix: str, *_: object) -> None:
    """The public file holds parameters that no evaluation reads, among them the skip linears of non-skip layers."""
    assert isinstance(module, DiT)
    for key in _UNUSED_KEYS:
        state.pop(prefix + key, None)
    for layer, block in enumerate(module.transformer.layers):
        if block.skip_in_linear is None:
            for name in ("weight", "bias"):
                state.pop(f"{prefix}transformer.layers.{layer}.skip_in_linear.{name}", None)


def _take_frequencies(
    module: nn.Module, state: dict[str, Any], prefix: str, _metadata: object, _strict: bool, *errors: list[str]
) -> None:
    """Frequencies of a file in full precision replace the computed ones; rounded ones are left aside."""
    assert isinstance(module, _TimeEmbedder)
    stored = state.pop(f"{prefix}freqs", None)
    if stored is None:
        return
    if stored.shape != module.freqs.shape:
        errors[-1].append(f"size mismatch for {prefix}freqs: {tuple(stored.shape)} and {tuple(module.freqs.shape)}")
    elif stored.dtype == torch.float32:
        module.freqs = stored.detach().clone().to(module.freqs.device)
