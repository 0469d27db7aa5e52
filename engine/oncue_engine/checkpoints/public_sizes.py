"""The three config files of a public model: the released sizes word for word (spec 0.1, 5, 7.2), and small ones.

Those of 2.5 follow from them: what is known of its file is in public_sizes_25.py.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from ..model.bigvgan import BigVGANConfig
from .config import ModelConfig, SemanticEncoderConfig, parse_config
from .random_qwen import QwenSize

__all__ = ["PublicSize", "PublicSizes", "public_sizes"]

PublicSize = Literal["full", "small"]


@dataclass(frozen=True, slots=True)
class PublicSizes:
    """What the files say, and what `bpe.model` is made of."""

    config: Mapping[str, Any]
    """config.yaml"""
    encoder: SemanticEncoderConfig
    """config.json of w2v-BERT"""
    vocoder: BigVGANConfig
    """config.json of the vocoder"""
    words: int
    characters: int
    language_model: QwenSize
    """What turns words into emotions."""

    def parsed(self) -> ModelConfig:
        """Sizes of every network, the codec with its decoder."""
        return parse_config({**self.config, "vocoder": asdict(self.vocoder), "semantic_encoder": asdict(self.encoder)})


def public_sizes(size: PublicSize) -> PublicSizes:
    """`full`: as released. `small`: the same structure in 7 MB, with the sizes that the released file omits."""
    if size == "full":
        return PublicSizes(
            _FULL, SemanticEncoderConfig(), BigVGANConfig(), words=120_000, characters=3_755, language_model="full"
        )
    return PublicSizes(_small(), _SMALL_ENCODER, _SMALL_VOCODER, words=400, characters=100, language_model="small")


_FULL: Mapping[str, Any] = {
    "dataset": {
        "bpe_model": "bpe.model",
        "sample_rate": 24000,
        "squeeze": False,
        "mel": {
            "sample_rate": 24000,
            "n_fft": 1024,
            "hop_length": 256,
            "win_length": 1024,
            "n_mels": 100,
            "mel_fmin": 0,
            "normalize": False,
        },
    },
    "gpt": {
        "model_dim": 1280,
        "max_mel_tokens": 1815,
        "max_text_tokens": 600,
        "heads": 20,
        "use_mel_codes_as_input": True,
        "mel_length_compression": 1024,
        "layers": 24,
        "number_text_tokens": 12000,
        "number_mel_codes": 8194,
        "start_mel_token": 8192,
        "stop_mel_token": 8193,
        "start_text_token": 0,
        "stop_text_token": 1,
        "train_solo_embeddings": False,
        "condition_type": "conformer_perceiver",
        "condition_module": {
            "output_size": 512,
            "linear_units": 2048,
            "attention_heads": 8,
            "num_blocks": 6,
            "input_layer": "conv2d2",
            "perceiver_mult": 2,
        },
        "emo_condition_module": {
            "output_size": 512,
            "linear_units": 1024,
            "attention_heads": 4,
            "num_blocks": 4,
            "input_layer": "conv2d2",
            "perceiver_mult": 2,
        },
    },
    "semantic_codec": {
        "codebook_size": 8192,
        "hidden_size": 1024,
        "codebook_dim": 8,
        "vocos_dim": 384,
        "vocos_intermediate_dim": 2048,
        "vocos_num_layers": 12,
    },
    "s2mel": {
        "preprocess_params": {
            "sr": 22050,
            "spect_params": {
                "n_fft": 1024,
                "win_length": 1024,
                "hop_length": 256,
                "n_mels": 80,
                "fmin": 0,
                "fmax": "None",
            },
        },
        "dit_type": "DiT",
        "reg_loss_type": "l1",
        "style_encoder": {"dim": 192},
        "length_regulator": {
            "channels": 512,
            "is_discrete": False,
            "in_channels": 1024,
            "content_codebook_size": 2048,
            "sampling_ratios": [1, 1, 1, 1],
            "vector_quantize": False,
            "n_codebooks": 1,
            "quantizer_dropout": 0.0,
            "f0_condition": False,
            "n_f0_bins": 512,
        },
        "DiT": {
            "hidden_dim": 512,
            "num_heads": 8,
            "depth": 13,
            "class_dropout_prob": 0.1,
            "block_size": 8192,
            "in_channels": 80,
            "style_condition": True,
            "final_layer_type": "wavenet",
            "target": "mel",
            "content_dim": 512,
            "content_codebook_size": 1024,
            "content_type": "discrete",
            "f0_condition": False,
            "n_f0_bins": 512,
            "content_codebooks": 1,
            "is_causal": False,
            "long_skip_connection": True,
            "zero_prompt_speech_token": False,
            "time_as_token": False,
            "style_as_token": False,
            "uvit_skip_connection": True,
            "add_resblock_in_transformer": False,
        },
        "wavenet": {
            "hidden_dim": 512,
            "num_layers": 8,
            "kernel_size": 5,
            "dilation_rate": 1,
            "p_dropout": 0.2,
            "style_condition": True,
        },
    },
    "gpt_checkpoint": "gpt.pth",
    "w2v_stat": "wav2vec2bert_stats.pt",
    "s2mel_checkpoint": "s2mel.pth",
    "emo_matrix": "feat2.pt",
    "spk_matrix": "feat1.pt",
    "emo_num": [3, 17, 2, 8, 4, 5, 10, 24],
    "qwen_emo_path": "qwen0.6bemo4-merge/",
    "vocoder": {"type": "bigvgan", "name": "nvidia/bigvgan_v2_22khz_80band_256x"},
    "version": 2.0,
}

_SMALL_ENCODER = SemanticEncoderConfig(
    hidden_size=32, num_hidden_layers=4, num_attention_heads=2, intermediate_size=64, conv_depthwise_kernel_size=7
)
_SMALL_VOCODER = BigVGANConfig(
    upsample_rates=(8, 8, 4),
    upsample_kernel_sizes=(16, 16, 8),
    upsample_initial_channel=16,
    resblock_kernel_sizes=(3,),
    resblock_dilation_sizes=((1,),),
)


def _small() -> dict[str, Any]:
    config: dict[str, Any] = copy.deepcopy(dict(_FULL))
    config["gpt"] |= {
        "model_dim": 64,
        "heads": 2,
        "layers": 2,
        "number_text_tokens": 400,
        "number_mel_codes": 258,
        "start_mel_token": 256,
        "stop_mel_token": 257,
        "codes_width": 32,
        "conditioning_latents": 8,
        "emotion_width": 64,
    }
    for module in ("condition_module", "emo_condition_module"):
        config["gpt"][module] |= {"output_size": 32, "linear_units": 64, "attention_heads": 2, "num_blocks": 1}
    config["semantic_codec"] = {
        "codebook_size": 256,
        "hidden_size": 32,
        "codebook_dim": 8,
        "vocos_dim": 32,
        "vocos_intermediate_dim": 64,
        "vocos_num_layers": 2,
    }
    s2mel = config["s2mel"]
    s2mel["gpt_layer_widths"] = [64, 32, 32, 32]
    s2mel["style_encoder"]["dim"] = 24
    s2mel["length_regulator"] |= {"channels": 32, "in_channels": 32, "content_codebook_size": 64}
    s2mel["DiT"] |= {"hidden_dim": 32, "num_heads": 2, "depth": 3, "content_dim": 32, "content_codebook_size": 64}
    s2mel["wavenet"] |= {"hidden_dim": 32, "num_layers": 2}
    config["style_encoder"] = {
        "embedding_size": 24,
        "growth_rate": 8,
        "bn_size": 2,
        "init_channels": 16,
        "head_channels": 4,
        "block_layers": [1, 1],
        "block_dilations": [1, 2],
    }
    config["oncue"] = {"encoder_layer": 2, "flow_steps": 3}
    return config
