"""Semantic codes to mel: the three networks that the public file keeps under `net` (spec 6).

latents of the language model -> gpt_layer -> + code embeddings -> length_regulator -> condition of the flow
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from torch import Tensor, nn

from oncue_engine.errors import CheckpointError
from oncue_engine.model.dit import DiT, DiTConfig
from oncue_engine.model.length_regulator import LengthRegulator, LengthRegulatorConfig

__all__ = ["S2Mel", "S2MelConfig"]


@dataclass(frozen=True, slots=True)
class S2MelConfig:
    """`gpt_layer_widths` [latent, hidden, hidden, semantic]: fixed in IndexTTS-2, a field of ours for others.

    Empty for a model whose semantic rows come from the codes alone (spec 9): it has no `gpt_layer`.
    """

    gpt_layer_widths: tuple[int, ...] = (1280, 256, 128, 1024)
    length_regulator: LengthRegulatorConfig = field(default_factory=LengthRegulatorConfig)
    dit: DiTConfig = field(default_factory=DiTConfig)

    @classmethod
    def from_public(cls, section: Mapping[str, Any]) -> S2MelConfig:
        """Read the `s2mel` section. CheckpointError for missing fields, or widths that do not fit each other."""
        if "length_regulator" not in section:
            raise CheckpointError("s2mel: the config lacks 'length_regulator'")
        config = cls(
            gpt_layer_widths=tuple(int(width) for width in section.get("gpt_layer_widths", (1280, 256, 128, 1024))),
            length_regulator=LengthRegulatorConfig.from_public(section["length_regulator"]),
            dit=DiTConfig.from_public(section),
        )
        if config.gpt_layer_widths and config.gpt_layer_widths[-1] != config.length_regulator.in_channels:
            raise CheckpointError("s2mel: gpt_layer does not end in the length regulator's in_channels")
        if config.length_regulator.channels != config.dit.content_dim:
            raise CheckpointError("s2mel: the length regulator's channels are not the DiT's content_dim")
        return config


class S2Mel(nn.Module):
    """Public keys `cfm.estimator.*`, `length_regulator.*`, `gpt_layer.{i}.*`, weight norms folded."""

    def __init__(self, config: S2MelConfig) -> None:
        super().__init__()
        self.config = config
        if config.gpt_layer_widths:
            self.gpt_layer = nn.Sequential(
                *(nn.Linear(before, after) for before, after in pairwise(config.gpt_layer_widths))
            )
        self.length_regulator = LengthRegulator(config.length_regulator)
        self.cfm = nn.ModuleDict({"estimator": DiT(config.dit)})

    @property
    def estimator(self) -> DiT:
        estimator = self.cfm["estimator"]
        assert isinstance(estimator, DiT)
        return estimator

    def regulate(self, rows: Tensor) -> Tensor:
        """Semantic rows [F,D], one for each mel frame -> condition [F,C] of the flow."""
        out: Tensor = self.length_regulator(rows[None], len(rows))[0]
        return out

    def semantic(self, latent: Tensor, code_emb: Tensor) -> Tensor:
        """Latents [B,N,M] and code embeddings [B,N,D] -> semantic features of the target [B,N,D].

        Of a model with a `gpt_layer`.
        """
        out: Tensor = self.gpt_layer(latent) + code_emb
        return out
