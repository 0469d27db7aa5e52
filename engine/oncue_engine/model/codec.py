"""The semantic codec: continuous speech features <-> one stream of discrete codes (spec 5).

    features [B,T,D] -> encoder -> in_project (a few dimensions) -> nearest codebook row -> out_project -> [B,T,D]

The lookup is by direction only: both sides are scaled to unit norm for the comparison, but the row that is returned
keeps its own length. Projections are weight-normed in the public file; fold them first (`model/weight_norm.py`).

IndexTTS-2.5's codec has the same parts, and one code for every two frames (spec 9): a convolution of stride 2 before
the encoder, and after the decoder every row twice, then a convolution.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from oncue_engine.errors import CheckpointError, Unsupported

__all__ = ["CodecConfig", "SemanticCodec"]

_NORM_EPS = 1e-6
_KERNEL = 7


@dataclass(frozen=True, slots=True)
class CodecConfig:
    """Sizes of the codec; `downsample_scale` frames of features to a code, 1 or 2.

    `has_decoder` is ours: IndexTTS-2's synthesis never decodes, so a file may leave the decoder out.
    """

    codebook_size: int = 8192
    hidden_size: int = 1024
    codebook_dim: int = 8
    vocos_dim: int = 384
    vocos_intermediate_dim: int = 2048
    vocos_num_layers: int = 12
    downsample_scale: int = 1
    has_decoder: bool = True

    @classmethod
    def from_public(cls, section: Mapping[str, Any]) -> CodecConfig:
        """Read the `semantic_codec` section. CheckpointError for a missing field or another structure."""
        scale = int(section.get("downsample_scale") or 1)
        if scale not in (1, 2) or int(section.get("num_quantizers") or 1) != 1:
            raise CheckpointError("semantic_codec: only one quantizer at the features' own rate or half of it is known")
        try:
            return cls(
                codebook_size=int(section["codebook_size"]),
                hidden_size=int(section["hidden_size"]),
                codebook_dim=int(section["codebook_dim"]),
                vocos_dim=int(section["vocos_dim"]),
                vocos_intermediate_dim=int(section["vocos_intermediate_dim"]),
                vocos_num_layers=int(section["vocos_num_layers"]),
                downsample_scale=scale,
                has_decoder=bool(section.get("has_decoder", True)),
            )
        except KeyError as missing:
            raise CheckpointError(f"semantic_codec: the config lacks {missing}") from None


class _ConvNeXtBlock(nn.Module):
    """Depthwise convolution over time, then a gated residual MLP over channels."""

    def __init__(self, dim: int, inner_dim: int, layer_scale: float) -> None:
        super().__init__()
        self.dwconv = nn.Conv1d(dim, dim, _KERNEL, padding=_KERNEL // 2, groups=dim)
        self.norm = nn.LayerNorm(dim, eps=_NORM_EPS)
        self.pwconv1 = nn.Linear(dim, inner_dim)
        self.pwconv2 = nn.Linear(inner_dim, dim)
        self.gamma = nn.Parameter(torch.full((dim,), layer_scale))

    def forward(self, x: Tensor, valid: Tensor | None) -> Tensor:
        inner = x if valid is None else x * valid
        inner = self.dwconv(inner).transpose(1, 2)  # [B,T,C]
        inner = self.gamma * self.pwconv2(F.gelu(self.pwconv1(self.norm(inner))))
        out: Tensor = x + inner.transpose(1, 2)  # [B,C,T]
        return out


class _Backbone(nn.Module):
    """Convolution in, ConvNeXt blocks, norm: [B,T,D] -> [B,T,C]."""

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        dim = config.vocos_dim
        self.embed = nn.Conv1d(config.hidden_size, dim, _KERNEL, padding=_KERNEL // 2)
        self.norm = nn.LayerNorm(dim, eps=_NORM_EPS)
        self.convnext = nn.ModuleList(
            _ConvNeXtBlock(dim, config.vocos_intermediate_dim, 1.0 / config.vocos_num_layers)
            for _ in range(config.vocos_num_layers)
        )
        self.final_layer_norm = nn.LayerNorm(dim, eps=_NORM_EPS)

    def forward(self, x: Tensor, valid: Tensor | None) -> Tensor:
        x = x.transpose(1, 2)  # [B,D,T]
        x = self.embed(x if valid is None else x * valid)
        x = self.norm(x.transpose(1, 2)).transpose(1, 2)
        for block in self.convnext:
            x = block(x, valid)
        normed: Tensor = self.final_layer_norm(x.transpose(1, 2))
        return normed  # [B,T,C]


class _Quantizer(nn.Module):
    """One codebook in a small space, with projections in and out (1x1 convolutions in the public keys)."""

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        self.in_project = nn.Conv1d(config.hidden_size, config.codebook_dim, 1)
        self.out_project = nn.Conv1d(config.codebook_dim, config.hidden_size, 1)
        self.codebook = nn.Embedding(config.codebook_size, config.codebook_dim)


class SemanticCodec(nn.Module):
    """Public keys `encoder.*`, `quantizer.quantizers.0.*`, `decoder.*` (spec 5), and `down.*`, `up.*` (spec 9)."""

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        self.config = config
        if config.downsample_scale == 2:
            self.down = nn.Conv1d(config.hidden_size, config.hidden_size, 3, stride=2, padding=1)
            if config.has_decoder:
                self.up = nn.Conv1d(config.hidden_size, config.hidden_size, 3, padding=1)
        self.encoder = self._stack(config)
        self.quantizer = nn.ModuleDict({"quantizers": nn.ModuleList([_Quantizer(config)])})
        self.decoder = self._stack(config) if config.has_decoder else None
        self.register_load_state_dict_pre_hook(_drop_unused)  # type: ignore[no-untyped-call]

    @staticmethod
    def _stack(config: CodecConfig) -> nn.ModuleList:
        return nn.ModuleList([_Backbone(config), nn.Linear(config.vocos_dim, config.hidden_size)])

    @property
    def codebook(self) -> Tensor:
        """Raw code rows, [codebook_size, codebook_dim]."""
        rows: Tensor = self._quantizer.codebook.weight
        return rows

    @property
    def _quantizer(self) -> _Quantizer:
        quantizers = self.quantizer["quantizers"]
        assert isinstance(quantizers, nn.ModuleList)
        quantizer = quantizers[0]
        assert isinstance(quantizer, _Quantizer)
        return quantizer

    def encode(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Features [B,T,D] -> encoder output before the quantiser [B,N,D]; N = ceil(T / downsample_scale).

        `lengths` [B]: frames of each row; frames after them do not touch the row's own result.
        """
        if self.config.downsample_scale == 2:
            x = x.transpose(1, 2)  # [B,D,T]
            x = F.gelu(self.down(x if lengths is None else x * _valid(x.shape[2], lengths, x))).transpose(1, 2)
            lengths = None if lengths is None else (lengths + 1) // 2
        return self._run(self.encoder, x, lengths)

    def decode(self, emb: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Quantised embeddings [B,N,D] -> features [B,N * downsample_scale,D].

        `lengths` [B]: rows of each that count. Raises Unsupported where the file has no decoder.
        """
        if self.decoder is None:
            raise Unsupported("this model's codec was shipped without its decoder")
        x = self._run(self.decoder, emb, lengths)
        if self.config.downsample_scale == 1:
            return x
        x = x.transpose(1, 2).repeat_interleave(2, dim=2)  # [B,D,2N]
        out: Tensor = self.up(x if lengths is None else x * _valid(x.shape[2], 2 * lengths, x)).transpose(1, 2)
        return out

    @property
    def decoder_reach_codes(self) -> int:
        """Codes on each side that a decoded row depends on, exactly: all convolutions look to both sides."""
        convolutions = 1 + self.config.vocos_num_layers
        # The last one sees one frame to each side, which belongs to the code beside.
        return convolutions * (_KERNEL // 2) + (1 if self.config.downsample_scale == 2 else 0)

    def project(self, encoded: Tensor) -> Tensor:
        """Encoder output [B,T,D] -> code space [B,T,codebook_dim]."""
        layer = self._quantizer.in_project
        return F.linear(encoded, layer.weight[:, :, 0], layer.bias)

    def nearest(self, projected: Tensor) -> Tensor:
        """Code space [B,T,d] -> codes [B,T] int64: the row of nearest direction."""
        return (F.normalize(projected, dim=-1) @ F.normalize(self.codebook, dim=-1).T).argmax(dim=-1)

    def expand(self, rows: Tensor) -> Tensor:
        """Code rows [B,T,d] -> embeddings [B,T,D]."""
        layer = self._quantizer.out_project
        return F.linear(rows, layer.weight[:, :, 0], layer.bias)

    def embed(self, codes: Tensor) -> Tensor:
        """Codes [B,N] -> embeddings [B,N,D], from the un-normalised rows; any batch size (spec 5, vq2emb)."""
        return self.expand(F.embedding(codes, self.codebook))

    def quantize(self, x: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Features [B,T,D] -> (codes [B,T] int64, embeddings [B,T,D]); the encoder is included."""
        codes = self.nearest(self.project(self.encode(x, lengths)))
        return codes, self.embed(codes)

    @staticmethod
    def _run(stack: nn.ModuleList, x: Tensor, lengths: Tensor | None) -> Tensor:
        valid = None if lengths is None else _valid(x.shape[1], lengths, x)
        out: Tensor = stack[1](stack[0](x, valid))
        return out


def _valid(frames: int, lengths: Tensor, like: Tensor) -> Tensor:
    """[B,1,frames] of ones where a row of `lengths` [B] still counts, in the type and place of `like`."""
    return (torch.arange(frames, device=like.device) < lengths.to(like.device)[:, None])[:, None].to(like.dtype)


def _drop_unused(module: nn.Module, state: dict[str, Any], prefix: str, *_: object) -> None:
    """Let a full public state dict load into a codec built without its decoder."""
    if getattr(module, "decoder", None) is None:
        for key in [key for key in state if key.startswith((f"{prefix}decoder.", f"{prefix}up."))]:
            del state[key]
