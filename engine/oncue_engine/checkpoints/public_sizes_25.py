"""The config files of IndexTTS-2.5: those of 2, as far as spec 9 tells of a difference.

The released config.yaml of 2.5 is not known word for word. It says version 2.0, and names its files by paths of another
machine; what else it leaves over from 2 is read past.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ..frontend.tiktoken_tokenizer import special_tokens
from ..model.bigvgan import BigVGANConfig
from .config import ModelConfig, SemanticEncoderConfig, parse_config
from .family import Shapes, completed_config
from .public_sizes import PublicSize, public_sizes
from .random_qwen import QwenSize

__all__ = ["PublicSizes25", "public_sizes_25"]

_RANKS: Mapping[PublicSize, int] = {"full": 58_836, "small": 1_024}
_LANGUAGES = 107
_STYLE_WIDTH = 192


@dataclass(frozen=True, slots=True)
class PublicSizes25:
    """What the files say."""

    config: Mapping[str, Any]
    """config.yaml"""
    encoder: SemanticEncoderConfig
    """config.json of w2v-BERT"""
    vocoder: BigVGANConfig
    """config.json of the vocoder"""
    num_ranks: int
    language_model: QwenSize

    def parsed(self) -> ModelConfig:
        """Sizes of every network."""
        whole = {**self.config, "vocoder": asdict(self.vocoder), "semantic_encoder": asdict(self.encoder)}
        return parse_config(completed_config(whole, *self._shapes()))

    def _shapes(self) -> tuple[Shapes, Shapes]:
        """Of those tensors of T2S and codec that say what the config does not."""
        width = int(self.config["gpt"]["model_dim"])
        style = int(self.config.get("style_encoder", {}).get("embedding_size", _STYLE_WIDTH))
        hidden = int(self.config["semantic_codec"]["hidden_size"])
        t2s: Shapes = {
            "spk_emb_proj.weight": (width, style),
            "spk_emb_proj.bias": (width,),
            "lang_embedding.weight": (_LANGUAGES, width),
            "text_embedding.weight": (self.num_ranks + len(special_tokens()) + 1, width),
        }
        codec: Shapes = {f"{name}.weight": (hidden, hidden, 3) for name in ("down", "up")}
        return t2s, {**codec, **{f"{name}.bias": (hidden,) for name in ("down", "up")}}


def public_sizes_25(size: PublicSize) -> PublicSizes25:
    """`full`: as released. `small`: the same structure in some megabytes."""
    older, num_ranks = public_sizes(size), _RANKS[size]
    config: dict[str, Any] = copy.deepcopy(dict(older.config))
    gpt, s2mel = config["gpt"], config["s2mel"]
    gpt.pop("conditioning_latents", None)
    gpt["number_text_tokens"] = num_ranks + len(special_tokens())
    config["semantic_codec"]["downsample_scale"] = 2
    s2mel.pop("gpt_layer_widths", None)
    for name in ("w2v_stat", "emo_matrix", "spk_matrix"):
        config[name] = f"/elsewhere/{config[name]}"
    # What these were called in training: no files of the release.
    config |= {"gpt_checkpoint": "/elsewhere/checkpoint_5000.pth", "s2mel_checkpoint": "/elsewhere/DiT_10000.pth"}
    return PublicSizes25(config, older.encoder, older.vocoder, num_ranks, older.language_model)
