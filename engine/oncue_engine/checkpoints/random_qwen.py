"""A Qwen3 with random weights in the layout of the public folder that turns words into emotions (spec 4.4).

The tokenizer is a real one: bytes to pieces, learned from a few sentences, with the marks that Qwen's chats are made
of. What the model says means nothing; it takes as long, and as much memory, as what the public one says.

    config.json, generation_config.json         sizes and how tokens are drawn
    tokenizer.json, tokenizer_config.json       pieces and marks
    chat_template.jinja                         how a chat becomes one text
    model.safetensors                           bfloat16
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import save_file
from torch import Tensor

from .random_weights import TiledNoise

__all__ = ["QwenSize", "write_random_qwen"]

QwenSize = Literal["small", "full"]

_MARKS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>")
_HIDDEN_MARKS = frozenset({"<|endoftext|>", "<|im_start|>", "<|im_end|>"})
"""Marks that a decoder leaves out on request; thoughts are not among them."""

_TEMPLATE = """\
{%- for message in messages %}
{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|im_start|>assistant\\n' }}
{%- if enable_thinking is defined and enable_thinking is false %}
{{- '<think>\\n\\n</think>\\n\\n' }}
{%- endif %}
{%- endif %}
"""

_SENTENCES = (
    "文本情感分类",
    '{"高兴": 0.8, "愤怒": 0.0, "悲伤": 0.0, "恐惧": 0.0, "反感": 0.0, "低落": 0.0, "惊讶": 0.2, "自然": 0.0}',
    '{"高兴": 0.15, "愤怒": 0.35, "悲伤": 0.45, "恐惧": 0.55, "反感": 0.65, "低落": 0.75, "惊讶": 0.95, "自然": 1.0}',
    "You are late again, and nobody in this house believes a word of it.",
    "What a wonderful morning! I could sing all day, and perhaps I will.",
    "今天天气真好，我们一起去公园吧。",
    "system user assistant",
)

_SIZES = {
    "small": {
        "vocab_size": 512,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "max_position_embeddings": 1024,
    },
    "full": {  # Qwen3-0.6B
        "vocab_size": 151_936,
        "hidden_size": 1024,
        "intermediate_size": 3072,
        "num_hidden_layers": 28,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "max_position_embeddings": 40_960,
    },
}


def write_random_qwen(folder: Path, size: QwenSize, seed: int = 0) -> Path:
    """Write all its files into `folder`, and return it. The same seed gives the same weights. Full: 1.2 GB on disk."""
    folder.mkdir(parents=True, exist_ok=True)
    ids = _write_tokenizer(folder, _SIZES[size]["vocab_size"])
    _write_json(folder / "config.json", _config(size, ids))
    _write_json(
        folder / "generation_config.json",
        {
            "do_sample": False,
            "eos_token_id": [ids["<|im_end|>"], ids["<|endoftext|>"]],
            "pad_token_id": ids["<|endoftext|>"],
        },
    )
    (folder / "chat_template.jinja").write_text(_TEMPLATE, encoding="utf-8")
    save_file(_weights(size, seed), folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)
    return folder


def _write_tokenizer(folder: Path, vocab_size: int) -> dict[str, int]:
    """Learn pieces and write them; returns the ids of the marks."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=min(vocab_size, _SIZES["small"]["vocab_size"]) - len(_MARKS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_SENTENCES, trainer)
    tokenizer.add_tokens([AddedToken(mark, special=mark in _HIDDEN_MARKS, normalized=False) for mark in _MARKS])
    tokenizer.save(str(folder / "tokenizer.json"))
    _write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "eos_token": "<|im_end|>",
            "pad_token": "<|endoftext|>",
            "clean_up_tokenization_spaces": False,
        },
    )
    vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    return {mark: vocabulary[mark] for mark in _MARKS}


def _config(size: QwenSize, ids: dict[str, int]) -> dict[str, object]:
    return {
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        **_SIZES[size],
        "hidden_act": "silu",
        "rms_norm_eps": 1e-6,
        "rope_theta": 1_000_000,
        "tie_word_embeddings": True,
        "attention_bias": False,
        "torch_dtype": "bfloat16",
        "bos_token_id": ids["<|endoftext|>"],
        "eos_token_id": ids["<|im_end|>"],
    }


def _weights(size: QwenSize, seed: int) -> dict[str, Tensor]:
    """Every tensor of a Qwen3 that shares its embeddings with its output, under its public name."""
    sizes = _SIZES[size]
    hidden, inner, head = sizes["hidden_size"], sizes["intermediate_size"], sizes["head_dim"]
    queries, keys = sizes["num_attention_heads"] * head, sizes["num_key_value_heads"] * head
    matrices = {
        "self_attn.q_proj": (queries, hidden),
        "self_attn.k_proj": (keys, hidden),
        "self_attn.v_proj": (keys, hidden),
        "self_attn.o_proj": (hidden, queries),
        "mlp.gate_proj": (inner, hidden),
        "mlp.up_proj": (inner, hidden),
        "mlp.down_proj": (hidden, inner),
    }
    norms = {
        "input_layernorm": hidden,
        "post_attention_layernorm": hidden,
        "self_attn.q_norm": head,
        "self_attn.k_norm": head,
    }
    state = {"model.norm.weight": torch.ones(hidden, dtype=torch.bfloat16)}
    with TiledNoise(seed):
        state["model.embed_tokens.weight"] = _drawn(sizes["vocab_size"], hidden)
        for layer in range(sizes["num_hidden_layers"]):
            for name, (rows, columns) in matrices.items():
                state[f"model.layers.{layer}.{name}.weight"] = _drawn(rows, columns)
            for name, width in norms.items():
                state[f"model.layers.{layer}.{name}.weight"] = torch.ones(width, dtype=torch.bfloat16)
    return state


def _drawn(rows: int, columns: int) -> Tensor:
    """[rows, columns] bfloat16, with the deviation that a fresh Qwen3 has."""
    return (0.02 * torch.randn(rows, columns)).to(torch.bfloat16)


def _write_json(path: Path, content: dict[str, object]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
