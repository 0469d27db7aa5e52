"""A small Qwen that says what a test wants to hear: the real network and the real tokenizer, taught a few answers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from oncue_engine.checkpoints.random_qwen import write_random_qwen

_STEPS = 300
_RATE = 4e-3
_TASK = "文本情感分类"


def write_taught_qwen(folder: Path, answers: Mapping[str, str], seed: int = 0) -> Path:
    """A folder whose model gives these answers to these texts. Takes seconds."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    write_random_qwen(folder, "small", seed)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    rows, begins = [], []
    for text, answer in answers.items():
        chat = tokenizer.apply_chat_template(
            [{"role": "system", "content": _TASK}, {"role": "user", "content": text}],
            add_generation_prompt=True,
            enable_thinking=False,
            return_dict=True,
        )["input_ids"]
        begins.append(len(chat))
        rows.append(chat + tokenizer(answer + "<|im_end|>")["input_ids"])
    width = max(map(len, rows))
    ids = torch.full((len(rows), width), tokenizer.pad_token_id)
    wanted = torch.full((len(rows), width), -100)
    for number, (row, begin) in enumerate(zip(rows, begins, strict=True)):
        ids[number, : len(row)] = torch.tensor(row)
        wanted[number, begin : len(row)] = torch.tensor(row[begin:])
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        optimizer = torch.optim.AdamW(model.parameters(), lr=_RATE)
        for _ in range(_STEPS):
            loss = model(input_ids=ids, labels=wanted).loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if loss < 0.02:
                break
        else:
            raise AssertionError(f"it did not learn: loss {float(loss)}")
        model.to(torch.bfloat16).save_pretrained(folder)
    finally:
        torch.set_num_threads(threads)
    return folder
