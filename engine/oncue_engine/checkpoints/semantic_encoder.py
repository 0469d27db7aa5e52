"""The w2v-BERT that turns speech into semantic features, cut after the layer that is used (spec 5)."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import Wav2Vec2BertConfig, Wav2Vec2BertModel

from ..errors import CheckpointError
from .config import SemanticEncoderConfig
from .layout import fill

__all__ = ["SemanticEncoder", "check_statistics", "fill_semantic_encoder"]

_LAYER_PREFIX = "encoder.layers."
_FBANK_BANDS = 80


class SemanticEncoder(Wav2Vec2BertModel):  # type: ignore[no-untyped-call]
    """Features [B,T,80*stride] -> hidden state of one layer, normalised, [B,T,D].

    Keys are those of `transformers`' Wav2Vec2BertModel, beside `stats.mean` and `stats.var` [D]: the variance, not
    the deviation (trap 5).
    """

    def __init__(self, config: SemanticEncoderConfig, layers: int, feature_stride: int) -> None:
        super().__init__(hugging_face_config(config, layers, feature_stride))
        self.stats = nn.ParameterDict({"mean": torch.zeros(config.hidden_size), "var": torch.ones(config.hidden_size)})

    def semantic_features(self, features: Tensor, mask: Tensor) -> Tensor:
        """features [B,T,80*stride], mask [B,T] 1 where valid -> [B,T,D]."""
        hidden: Tensor = self(input_features=features, attention_mask=mask).last_hidden_state
        normalised: Tensor = (hidden - self.stats["mean"]) / torch.sqrt(self.stats["var"])
        return normalised


def hugging_face_config(config: SemanticEncoderConfig, layers: int, feature_stride: int) -> Wav2Vec2BertConfig:
    """The `transformers` config of the first `layers` layers, without adapter and without masking in training."""
    return Wav2Vec2BertConfig(
        hidden_size=config.hidden_size,
        num_hidden_layers=layers,
        num_attention_heads=config.num_attention_heads,
        intermediate_size=config.intermediate_size,
        feature_projection_input_dim=_FBANK_BANDS * feature_stride,
        conv_depthwise_kernel_size=config.conv_depthwise_kernel_size,
        left_max_position_embeddings=config.left_max_position_embeddings,
        right_max_position_embeddings=config.right_max_position_embeddings,
        hidden_act=config.hidden_act,
        add_adapter=False,
        apply_spec_augment=False,
        mask_time_prob=0.0,
        mask_feature_prob=0.0,
    )


def fill_semantic_encoder(encoder: SemanticEncoder, path: Path) -> None:
    """Read encoder.safetensors: the network's layers, and the statistics of their output.

    Layers beyond the one that is used may be in the file. CheckpointError for all else that does not fit.
    """
    layers = len(encoder.encoder.layers)

    def unused(key: str) -> bool:
        if key.startswith(_LAYER_PREFIX):
            number = key.removeprefix(_LAYER_PREFIX).split(".")[0]
            return number.isdigit() and int(number) >= layers
        return key == "masked_spec_embed"

    fill(encoder, path, unused=unused)
    check_statistics(encoder, path.name)


def check_statistics(encoder: SemanticEncoder, name: str) -> None:
    """CheckpointError, with the file's `name` in it, for a variance that cannot be one."""
    if not bool((encoder.stats["var"] > 0.0).all()):
        raise CheckpointError(f"{name}: the statistics' var must be positive")
