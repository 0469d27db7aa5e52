"""Between T2S and S2M: the states with which the trained language model predicts each item's own codes."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

from oncue_engine.model.t2s import T2S
from oncue_engine.training.t2s import PromptPicker, T2STraining, forward_states
from oncue_engine.training.tokens import TokenItem

__all__ = ["teacher_forced_latents"]


def teacher_forced_latents(
    model: T2S, items: Sequence[TokenItem], seed: int, batch: int = 24
) -> list[npt.NDArray[np.float16]]:
    """[N, M] for every item: `final_norm` states that predict code 1..N, with prompts drawn as in training."""
    picker = PromptPicker(items)
    settings = T2STraining()
    out: list[npt.NDArray[np.float16]] = [np.zeros((0, 0), np.float16)] * len(items)
    order = sorted(range(len(items)), key=lambda i: len(items[i].codes))
    for begin in tqdm(range(0, len(order), batch), desc="latents", unit="batch"):
        picked = order[begin : begin + batch]
        rng = random.Random(f"{seed}/{begin}")
        data = picker.batch([items[i] for i in picked], settings, rng, model.config)
        free = torch.tensor([rng.random() < 0.3 for _ in picked])
        with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
            states, _ = forward_states(model, data, free)
        latent = model.latent(states.float())
        for row, i in enumerate(picked):
            out[i] = latent[row, : len(items[i].codes)].detach().numpy().astype(np.float16)
    return out
