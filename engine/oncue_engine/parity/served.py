"""Golden outputs from the forms of the blocks that really serve: packed for a CPU, in each precision they have.

    gpt_t2s    model/packed_gpt      weights in float32, bfloat16 or int8; the cache in bf16 with the last two
    s2mel      model/packed_dit      products in float32 or bfloat16
    bigvgan    model/packed_vocoder  products of the residual blocks in float32 or bfloat16

Every other block serves as plain modules in float32. Of a file only the outputs that such a form computes are there:
what lies inside is folded into something else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import get_args

import torch
from torch import Tensor
from torch.nn import functional

from ..decoding import reference
from ..decoding.generation import FIRST_GENERATED_POSITION
from ..kernels.convolution import has_bf16_tiles
from ..model.bigvgan import BigVGAN, BigVGANConfig
from ..model.packed_gpt import PackedGPT, Precision
from ..model.packed_vocoder import inference_form
from ..model.t2s import T2S
from ..model.weight_norm import fold
from ..rendering.flow_batch import FlowBatch, render_mel
from ..rendering.mel import FlowJob
from .acoustic import load_s2mel
from .golden_file import GoldenFile
from .t2s import load_t2s

__all__ = ["SERVED", "Served"]

_PRODUCTS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True, slots=True, eq=False)
class Served:
    """`form`: what ran, which is float32 where the machine or the build has no other."""

    form: str
    outputs: dict[str, Tensor]


@torch.no_grad()
def _language_model(golden: GoldenFile, precision: str) -> Served:
    (word,) = [known for known in get_args(Precision) if known == precision]
    model, inputs = load_t2s(golden), golden.inputs
    gpt = PackedGPT(model, word)
    text_ids = inputs["text_ids"].long()
    prefix = reference.prefix_rows(model, inputs["cond_latents"], inputs["emo_vec"], text_ids)
    codes = [*inputs["codes"][0].tolist(), model.config.stop_mel_token]
    generation = _Generation(gpt, model, prefix)
    latents, logits = generation.forced(codes, first_position=1)
    greedy = generation.greedy(golden.outputs["greedy_codes"].shape[1])
    latents_of_greedy, _ = generation.forced(golden.outputs["greedy_codes"][0].tolist(), first_position=1)
    skipping = generation.forced(codes[:-1], first_position=FIRST_GENERATED_POSITION)[1]
    outputs = {
        "latent": latents[:, : len(codes) - 1],
        "logits_full_layout": logits,
        "logits_cached_decode": skipping,
        "greedy_codes": greedy[0],
        "greedy_logits": greedy[1],
        "latent_of_greedy": latents_of_greedy[:, :-1],
    }
    return Served(f"packed GPT, {precision} weights" if gpt.weight_bytes else "modules, float32", outputs)


class _Generation:
    """Runs of one prefix through the decode kernel."""

    def __init__(self, gpt: PackedGPT, model: T2S, prefix: Tensor) -> None:
        self._gpt, self._model = gpt, model
        self._rows = torch.cat((prefix[0], model.start_row()))

    def _begin(self, steps: int) -> tuple[Tensor, Tensor]:
        self._length = len(self._rows)
        self._cache = self._gpt.allocate_cache(1, self._length + steps)
        return self._gpt.prefill(self._rows, self._cache, 0)

    def _feed(self, code: int, position: int) -> tuple[Tensor, Tensor]:
        x = self._model.step_rows(torch.tensor([code]), torch.tensor([position]))
        latent, logits = self._gpt.step(x, self._cache, [0], [self._length])
        self._length += 1
        return latent[0], logits[0]

    def forced(self, codes: Sequence[int], first_position: int) -> tuple[Tensor, Tensor]:
        """Latents [1,N+1,M] and logits [1,N+1,V] of N given codes, the first from the start token."""
        states = [self._begin(len(codes))]
        states += [self._feed(code, first_position + n) for n, code in enumerate(codes)]
        return torch.stack([s[0] for s in states])[None], torch.stack([s[1] for s in states])[None]

    def greedy(self, max_tokens: int) -> tuple[Tensor, Tensor]:
        """The best code at each step, positions as the public generation skips them: [1,N], logits [1,N,V]."""
        _, logits = self._begin(max_tokens)
        codes, seen = [int(logits.argmax())], [logits]
        while len(codes) < max_tokens and codes[-1] != self._model.config.stop_mel_token:
            _, logits = self._feed(codes[-1], FIRST_GENERATED_POSITION + len(codes) - 1)
            codes.append(int(logits.argmax()))
            seen.append(logits)
        return torch.tensor([codes]), torch.stack(seen)[None]


@torch.no_grad()
def _s2mel(golden: GoldenFile, precision: str) -> Served:
    model, inputs = load_s2mel(golden), golden.inputs
    prompt_mel = inputs["prompt_mel"][0]
    num_prompt, num_target = prompt_mel.shape[1], int(inputs["target_lengths"])
    semantic = model.semantic(inputs["gpt_latent"], inputs["semantic_emb"])
    prompt = model.length_regulator(inputs["ref_semantic_emb"], num_prompt)
    mu = torch.cat([prompt, model.length_regulator(semantic, num_target)], dim=1)[0]
    job = FlowJob(inputs["noise"][0], prompt_mel, mu, inputs["style"][0], keep=num_target)

    def solved(steps: int, guidance: float) -> Tensor:
        batch = FlowBatch(model.estimator, guidance, _PRODUCTS[precision])
        return functional.pad(render_mel(batch, [job], steps)[0], (num_prompt, 0))[None]

    outputs = {name: solved(*_solver(name)) for name in golden.outputs if name.startswith("cfm_")}
    outputs["mel_target"] = outputs["cfm_4steps_cfg0.7"][:, :, num_prompt:]
    return Served(f"packed DiT, {precision} products", outputs)


def _solver(output: str) -> tuple[int, float]:
    """Steps and guidance of an output such as cfm_4steps_cfg0.7."""
    steps, guidance = output.removeprefix("cfm_").split("steps_cfg")
    return int(steps), float(guidance)


@torch.no_grad()
def _bigvgan(golden: GoldenFile, precision: str) -> Served:
    model = BigVGAN(BigVGANConfig.from_public(golden.config))
    model.load_state_dict(fold(golden.weights))
    vocoder = inference_form(model.eval(), _PRODUCTS[precision])
    mel = golden.inputs["mel"]
    outputs = {"conv_post_preclamp": vocoder.before_clamp(mel), "wav": vocoder(mel), "wav_folded": vocoder(mel)}
    for name in golden.outputs:
        if name.startswith("wav_") and name.endswith("frames"):
            outputs[name] = vocoder(mel[..., : int(name.removeprefix("wav_").removesuffix("frames"))])
    if vocoder is model:
        return Served("modules, float32", outputs)
    return Served(f"packed vocoder, {precision if has_bf16_tiles() else 'float32'} products", outputs)


SERVED: dict[str, tuple[tuple[str, ...], Callable[[GoldenFile, str], Served]]] = {
    "gpt_t2s": (get_args(Precision), _language_model),
    "s2mel": (tuple(_PRODUCTS), _s2mel),
    "bigvgan": (tuple(_PRODUCTS), _bigvgan),
}
"""Golden set -> the precisions that its block can serve in, and its outputs in one of them."""
