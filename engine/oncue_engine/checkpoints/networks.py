"""All networks of one model, built to be filled from files."""

from __future__ import annotations

from dataclasses import dataclass, fields

from torch import nn

from ..model.bigvgan import BigVGAN
from ..model.campplus import CampPlus
from ..model.codec import SemanticCodec
from ..model.s2mel import S2Mel
from ..model.t2s import T2S
from .config import ModelConfig
from .later_parameters import parameters_later
from .semantic_encoder import SemanticEncoder

__all__ = ["Networks", "empty_networks"]


@dataclass(frozen=True, slots=True, eq=False)
class Networks:
    """Every network of one model, under its name in layout.WEIGHT_FILES."""

    encoder: SemanticEncoder
    codec: SemanticCodec
    t2s: T2S
    s2mel: S2Mel
    style: CampPlus
    vocoder: BigVGAN

    def named(self) -> dict[str, nn.Module]:
        """All of them by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def empty_networks(config: ModelConfig) -> Networks:
    """Networks of these sizes whose parameters are still to come, and take no memory until then."""
    speech = config.speech
    with parameters_later():
        return Networks(
            encoder=SemanticEncoder(config.semantic_encoder, speech.encoder_layer, speech.feature_stride),
            codec=SemanticCodec(config.codec),
            t2s=T2S(config.t2s),
            s2mel=S2Mel(config.s2mel),
            style=CampPlus(config.style_encoder),
            vocoder=BigVGAN(config.vocoder),
        )
