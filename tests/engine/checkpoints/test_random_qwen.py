"""A random Qwen3 is one: `transformers` reads it whole, and at full size it is as large as the public one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from oncue_engine.checkpoints import random_qwen
from oncue_engine.checkpoints.random_qwen import write_random_qwen
from oncue_engine.words.qwen import Qwen

PUBLIC_PARAMETERS = 596_049_920


def test_the_small_one_loads_and_speaks(tmp_path: Path) -> None:
    folder = write_random_qwen(tmp_path / "qwen", "small")
    qwen = Qwen.load(folder)
    assert isinstance(qwen.answer("tired, but proud"), str)
    chat = qwen._tokenizer.apply_chat_template(
        [{"role": "system", "content": "文本"}, {"role": "user", "content": "happy"}],
        add_generation_prompt=True,
        enable_thinking=False,
        tokenize=False,
    )
    assert chat == (
        "<|im_start|>system\n文本<|im_end|>\n<|im_start|>user\nhappy<|im_end|>\n"
        "<|im_start|>assistant\n<think>\n\n</think>\n\n"
    )
    thinking = qwen._tokenizer.apply_chat_template([{"role": "user", "content": "x"}], add_generation_prompt=True)
    text = qwen._tokenizer.decode(thinking["input_ids"])
    assert text == "<|im_start|>user\nx<|im_end|>\n<|im_start|>assistant\n"


@pytest.mark.parametrize(
    "text", ["tired, but proud", "今天天气真好 😀", "Ünïcödé\n\ttabs  and  blanks", '{"高兴": 0.85}']
)
def test_every_text_comes_back_from_its_pieces(tmp_path: Path, text: str) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(write_random_qwen(tmp_path / "qwen", "small"))
    ids = tokenizer(text)["input_ids"]
    assert len(ids) < len(text.encode()) + 1
    assert tokenizer.decode(ids) == text


def test_the_same_seed_gives_the_same_weights(tmp_path: Path) -> None:
    one, same, other = (
        load_file(write_random_qwen(tmp_path / name, "small", seed) / "model.safetensors")
        for name, seed in (("one", 1), ("same", 1), ("other", 2))
    )
    assert all(torch.equal(one[key], same[key]) for key in one)
    assert not torch.equal(one["model.embed_tokens.weight"], other["model.embed_tokens.weight"])
    assert all(value.dtype == torch.bfloat16 for value in one.values())


def test_the_full_size_is_the_public_one(tmp_path: Path) -> None:
    """By its config; writing it takes 1.2 GB."""
    from transformers import Qwen3Config, Qwen3ForCausalLM

    config = Qwen3Config.from_dict(random_qwen._config("full", {"<|endoftext|>": 1, "<|im_end|>": 2}))
    with torch.device("meta"):
        model = Qwen3ForCausalLM(config)
    assert model.num_parameters() == PUBLIC_PARAMETERS
    small = json.loads((write_random_qwen(tmp_path / "qwen", "small") / "config.json").read_text())
    assert small.keys() == random_qwen._config("full", {"<|endoftext|>": 1, "<|im_end|>": 2}).keys()
