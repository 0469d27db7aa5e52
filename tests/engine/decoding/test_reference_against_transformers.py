"""Reference decoding against the generation code of `transformers`, on which the public implementation runs."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel
from transformers.generation.logits_process import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from oncue_engine.decoding.beam_search import BeamLimits, BeamOptions, filter_scores
from oncue_engine.decoding.reference import beam_search, cut_at_stop, greedy, prefix_rows
from oncue_engine.model.t2s import T2S, ConditionConfig, T2SConfig

START, STOP, MAX_TOKENS, WIDTH = 30, 31, 16, 16
CONDITION = ConditionConfig(output_size=8, linear_units=8, attention_heads=2, num_blocks=1, position_rows=10)
CONFIG = T2SConfig(
    model_dim=WIDTH,
    layers=2,
    heads=2,
    max_mel_tokens=24,
    max_text_tokens=10,
    number_text_tokens=20,
    number_mel_codes=32,
    start_mel_token=START,
    stop_mel_token=STOP,
    condition_module=CONDITION,
    emo_condition_module=CONDITION,
    codes_width=8,
    conditioning_latents=4,
    emotion_width=8,
)


@torch.no_grad()
def pair(seed: int) -> tuple[T2S, Tensor, GPT2LMHeadModel]:
    """Our model and prefix, and a stock GPT-2 with the same weights, where stop comes often.

    GPT-2 has one last norm only: ours has a plain first one, and normalising twice plainly is normalising once.
    """
    torch.manual_seed(seed)
    t2s = T2S(CONFIG).eval()
    for table in (t2s.mel_embedding, t2s.mel_pos_embedding.emb, t2s.text_embedding, t2s.mel_head):
        torch.nn.init.normal_(table.weight)
    t2s.mel_head.bias.zero_()
    t2s.mel_head.weight[STOP] *= 1.5
    torch.nn.init.normal_(t2s.final_norm.weight, 1.0, 0.3)
    prefix = prefix_rows(t2s, torch.randn(1, 4, WIDTH), torch.randn(1, WIDTH), torch.tensor([[3, 4, 5]]))
    before = prefix.shape[1] + 1
    positions = torch.zeros(before + MAX_TOKENS, WIDTH)
    positions[before:] = t2s.mel_pos_embedding.emb.weight[2 : 2 + MAX_TOKENS]  # the first generated code takes 2
    stock = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=CONFIG.number_mel_codes,
            n_positions=len(positions),
            n_embd=WIDTH,
            n_layer=CONFIG.layers,
            n_head=CONFIG.heads,
            tie_word_embeddings=False,
            bos_token_id=START,
            eos_token_id=STOP,
            pad_token_id=STOP,
            attn_implementation="eager",
        )
    ).eval()
    stock.load_state_dict(
        {
            **{f"transformer.{k[4:]}": v for k, v in t2s.state_dict().items() if k.startswith("gpt.h.")},
            "transformer.wte.weight": t2s.mel_embedding.weight,
            "transformer.wpe.weight": positions,
            "transformer.ln_f.weight": t2s.final_norm.weight,
            "transformer.ln_f.bias": t2s.final_norm.bias,
            "lm_head.weight": t2s.mel_head.weight,
        }
    )
    return t2s, prefix, stock


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
@torch.no_grad()
def test_codes_are_those_of_transformers(seed: int) -> None:
    t2s, prefix, stock = pair(seed)
    ids = torch.tensor([[1] * prefix.shape[1] + [START]])  # the placeholder ids, which the penalty sees
    embedded = torch.cat((prefix, t2s.start_row()[None]), dim=1)
    for penalty in (1.0, 10.0):
        for beams in (1, 2, 3):
            found = stock.generate(
                inputs=ids,
                inputs_embeds=embedded,
                attention_mask=torch.ones_like(ids),
                num_beams=beams,
                do_sample=False,
                repetition_penalty=penalty,
                length_penalty=0.0 if beams > 1 else None,
                max_new_tokens=MAX_TOKENS,
            )
            want = cut_at_stop(found[:, ids.shape[1] :], STOP)
            if beams == 1:
                got = cut_at_stop(greedy(t2s, prefix, MAX_TOKENS, penalty)[0], STOP)
            else:
                options = BeamOptions(beams=beams, sample=False, repetition_penalty=penalty)
                got = beam_search(t2s, prefix, BeamLimits(MAX_TOKENS), options)
            assert got.tolist() == want.tolist(), (penalty, beams)


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize(("top_k", "top_p", "temperature"), [(30, 0.8, 0.8), (5, 0.95, 1.3), (1, 0.1, 0.5)])
def test_filters_are_those_of_transformers(beams: int, top_k: int, top_p: float, temperature: float) -> None:
    torch.manual_seed(0)
    least = 2 if beams > 1 else 1
    scores = (torch.randn(20, 200) * 3).log_softmax(-1)
    want: Tensor = scores
    for warper in (
        TemperatureLogitsWarper(temperature),
        TopKLogitsWarper(top_k, min_tokens_to_keep=least),
        TopPLogitsWarper(top_p, min_tokens_to_keep=least),
    ):
        want = warper(torch.empty(0), want)
    options = BeamOptions(beams=beams, temperature=temperature, top_k=top_k, top_p=top_p)
    assert torch.equal(filter_scores(scores, options), want)
