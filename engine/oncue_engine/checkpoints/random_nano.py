"""A tiny model with random weights in the embedded model's layout: it speaks noise, fast, through every real part.

For tests of all that stands above the networks, and as the smallest complete example of a model folder.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import save_file

from ..frontend.phones import VOCABULARY
from ..tensor_file import as_float16
from .config import read_config
from .layout import EMOTION_BANK_FILE, PACE_FILE, WEIGHT_FILES
from .made_voices import write_made_voices
from .random_weights import random_bank, random_networks

__all__ = ["make_random_nano"]

_CODES = 64
_FEATURE_WIDTH = 32
_STYLE_WIDTH = 24
_RATE_HZ = 16_000
_CODES_PER_PIECE = 2.0

_BANK_ROWS = (2, 2, 2, 2, 2, 0, 2, 2)
"""As the embedded model: no `melancholic`."""

_CONFIG: dict[str, Any] = {
    "emo_num": list(_BANK_ROWS),
    "gpt": {
        "model_dim": 64,
        "layers": 2,
        "heads": 2,
        "max_mel_tokens": 400,
        "max_text_tokens": 160,
        "number_text_tokens": len(VOCABULARY),
        "number_mel_codes": _CODES + 2,
        "start_mel_token": _CODES,
        "stop_mel_token": _CODES + 1,
        "codes_width": _FEATURE_WIDTH,
        "conditioning_latents": 8,
        "emotion_width": 64,
        "condition_module": {
            "output_size": 32,
            "linear_units": 64,
            "attention_heads": 2,
            "num_blocks": 1,
            "position_rows": 500,
        },
        "emo_condition_module": {
            "output_size": 32,
            "linear_units": 64,
            "attention_heads": 2,
            "num_blocks": 1,
            "position_rows": 500,
        },
    },
    "semantic_codec": {
        "codebook_size": _CODES,
        "hidden_size": _FEATURE_WIDTH,
        "codebook_dim": 8,
        "vocos_dim": 32,
        "vocos_intermediate_dim": 64,
        "vocos_num_layers": 2,
        "has_decoder": False,
    },
    "s2mel": {
        "preprocess_params": {
            "sr": _RATE_HZ,
            "spect_params": {
                "n_fft": 1024,
                "win_length": 1024,
                "hop_length": 256,
                "n_mels": 80,
                "fmin": 0,
                "fmax": "None",
            },
        },
        "gpt_layer_widths": [64, 32, 32, _FEATURE_WIDTH],
        "style_encoder": {"dim": _STYLE_WIDTH},
        "length_regulator": {"channels": 32, "in_channels": _FEATURE_WIDTH, "sampling_ratios": [1, 1]},
        "DiT": {"hidden_dim": 32, "num_heads": 2, "depth": 3, "in_channels": 80, "content_dim": 32},
        "wavenet": {"hidden_dim": 32, "num_layers": 2, "kernel_size": 5, "dilation_rate": 1, "style_condition": True},
    },
    "vocoder": {
        "upsample_rates": [8, 8, 4],
        "upsample_kernel_sizes": [16, 16, 8],
        "upsample_initial_channel": 16,
        "resblock_kernel_sizes": [3],
        "resblock_dilation_sizes": [[1]],
        "num_mels": 80,
    },
    "style_encoder": {
        "embedding_size": _STYLE_WIDTH,
        "growth_rate": 8,
        "bn_size": 2,
        "init_channels": 16,
        "head_channels": 4,
        "block_layers": [1, 1],
        "block_dilations": [1, 2],
    },
    "semantic_encoder": {
        "hidden_size": _FEATURE_WIDTH,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "conv_depthwise_kernel_size": 7,
    },
    "oncue": {
        "name": "random-nano",
        "sample_rate_hz": _RATE_HZ,
        "token_rate_hz": 25,
        "feature_stride": 4,
        "frames_per_token": 2.5,
        "encoder_layer": 2,
        "flow_steps": 2,
        "guidance": 0.7,
        "prompt_limit_s": 6.0,
        "s2m_prompt_limit_s": 1.0,
        "tokenizer": "arpabet",
        "languages": ["en"],
        "duration_row": "tied",
        "max_segment_pieces": 60,
        "max_segment_tokens": 300,
        "max_text_chars": 2000,
        "pause_ms": 200,
    },
}


def make_random_nano(folder: Path, seed: int = 0) -> Path:
    """Write a whole model folder, two voices included, and return it. The same seed gives the same folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(_CONFIG, sort_keys=False), encoding="utf-8")
    config = read_config(folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        networks = random_networks(config).named()
        bank = random_bank(config)
    for name, network in networks.items():
        save_file(as_float16(network.state_dict()), folder / WEIGHT_FILES[name])
    save_file(as_float16(bank), folder / EMOTION_BANK_FILE)
    pace = {"codes_per_piece": [_CODES_PER_PIECE] * len(VOCABULARY), "codes_per_segment": 4.0}
    (folder / PACE_FILE).write_text(json.dumps(pace), encoding="utf-8")
    write_made_voices(folder / "voices", _RATE_HZ)
    return folder
