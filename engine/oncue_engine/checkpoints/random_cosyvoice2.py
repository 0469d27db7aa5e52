"""A small model of the kind `cosyvoice2` with random weights: it speaks noise, fast, through every real part.

It proves that the engine's interface fits more than one kind of model, and is the smallest complete example of a
folder of this kind.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from ..tensor_file import as_float16
from .config_file import CONFIG_FILE
from .cosyvoice2 import COSYVOICE2_WEIGHTS, TEXT_PIECES_FILE, CosyVoice2Networks
from .cosyvoice2_config import COSYVOICE2_KIND, read_cosyvoice2_config
from .layout import PACE_FILE
from .made_voices import write_made_voices

__all__ = ["make_random_cosyvoice2"]

_RATE_HZ = 24_000
_PIECES = 400
_CODES_PER_BYTE = 2.0
"""A letter is a twelfth of a second, and a Chinese syllable, three bytes, a quarter."""
_SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_READING = (
    "The evening train was late, so we sat by the window and watched the rain. Nobody had seen the other one, and "
    "nobody asked what it was for. This is where they said that there would be something to eat and to drink.",
    "你好，今天的天气很好。我们在家里吃饭，他们在学校里看书。这是什么？那不是我的。请你说一遍。",
)
"""What text pieces are learnt from."""

_CONFIG: dict[str, Any] = {
    "kind": COSYVOICE2_KIND,
    "llm": {
        "text_tokens": _PIECES,
        "width": 64,
        "layers": 2,
        "heads": 4,
        "key_heads": 2,
        "feed_forward_width": 128,
    },
    "speech_tokenizer": {"width": 32, "heads": 2, "blocks": 1, "window": 8, "digits": 5},
    "flow": {
        "encoder": {"width": 32, "heads": 2, "blocks": 1, "upsampled_blocks": 1, "window_tokens": 6},
        "DiT": {"hidden_dim": 32, "num_heads": 2, "depth": 3, "in_channels": 80, "content_dim": 80},
        "wavenet": {"hidden_dim": 32, "num_layers": 2, "kernel_size": 5},
        "style_encoder": {"dim": 80},
    },
    "vocoder": {
        "upsample_rates": [8, 5, 4, 3],
        "upsample_kernel_sizes": [16, 11, 8, 7],
        "upsample_initial_channel": 32,
        "resblock_kernel_sizes": [3],
        "resblock_dilation_sizes": [[1]],
        "num_mels": 80,
        "harmonic_source": True,
    },
    "style_encoder": {
        "embedding_size": 192,
        "growth_rate": 8,
        "bn_size": 2,
        "init_channels": 16,
        "head_channels": 4,
        "block_layers": [1, 1],
        "block_dilations": [1, 2],
    },
    "prompt": {"language_model_s": 1.0},
    "oncue": {
        "name": "random-cosyvoice2",
        "sample_rate_hz": _RATE_HZ,
        "token_rate_hz": 25,
        "frames_per_token": 2,
        "flow_steps": 3,
        "guidance": 0.7,
        "prompt_limit_s": 6.0,
        "s2m_prompt_limit_s": 1.0,
        "tokenizer": "tokenizers",
        "languages": ["zh", "en"],
        "max_segment_pieces": 120,
        "max_segment_tokens": 500,
        "max_text_chars": 2000,
        "pause_ms": 200,
    },
}


def make_random_cosyvoice2(folder: Path, seed: int = 0) -> Path:
    """Write a whole model folder, two voices included, and return it. The same seed gives the same folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG_FILE).write_text(yaml.safe_dump(_CONFIG, sort_keys=False), encoding="utf-8")
    config = read_cosyvoice2_config(folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        networks = CosyVoice2Networks.fresh(config)
        _enliven(networks)
    for name, network in networks.named().items():
        save_file(as_float16(network.state_dict()), folder / COSYVOICE2_WEIGHTS[name])
    tokenizer = _pieces()
    tokenizer.save(str(folder / TEXT_PIECES_FILE))
    (folder / PACE_FILE).write_text(json.dumps(_pace(tokenizer)), encoding="utf-8")
    write_made_voices(folder / "voices", _RATE_HZ)
    return folder


def _pieces() -> Tokenizer:
    """Byte-level BPE over `_READING`."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=_PIECES,
        min_frequency=1,
        special_tokens=list(_SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_READING, trainer)
    return tokenizer


def _pace(tokenizer: Tokenizer) -> dict[str, Any]:
    # A byte-level piece is spelt with one character for each of its bytes.
    spelt = [str(tokenizer.id_to_token(index)) for index in range(tokenizer.get_vocab_size())]
    codes = [0.0 if piece in _SPECIAL else _CODES_PER_BYTE * len(piece) for piece in spelt]
    return {"codes_per_piece": codes, "codes_per_segment": 4.0}


@torch.no_grad()
def _enliven(networks: CosyVoice2Networks) -> None:
    """Undo what makes fresh networks trivial: text and prompt are heard in what is drawn, an end comes, the flow goes
    somewhere, and what the vocoder says is not cut off."""
    llm = networks.llm
    for parameter in llm.parameters():
        if parameter.dim() == 2:
            parameter.mul_(6.0)
    llm.llm_decoder.weight.div_(6.0)
    # Two ids that are never drawn do not matter; the end has to keep up with the best of many codes.
    llm.llm_decoder.bias[llm.stop] += 0.5
    networks.speech_tokenizer.project_down.weight.mul_(6.0)
    networks.flow.encoder_proj.weight.mul_(4.0)
    for parameter in networks.flow.estimator.parameters():
        if not bool(parameter.any()):
            parameter.normal_(std=0.05)
    networks.vocoder.conv_post.weight.mul_(0.5)  # with a source, fresh is loud
