"""Parity of the text-to-semantic model: conditioning, language model, its decoding, and the emotion mix."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from oncue_engine.decoding import reference
from oncue_engine.decoding.beam_search import BeamLimits, BeamOptions
from oncue_engine.errors import CheckpointError
from oncue_engine.model.emotion_bank import EmotionBank, mix_bank, mix_rows, nearest_rows, normalize_weights
from oncue_engine.model.gpt import prefill
from oncue_engine.model.t2s import T2S, T2SConfig, merge_emotion
from oncue_engine.parity.golden_file import GoldenFile

__all__ = ["SETS", "load_t2s"]

_ALPHA_OUTPUT = "merged_alpha_"


def load_t2s(golden: GoldenFile) -> T2S:
    """The model with the file's weights; the parts that it does not carry stay random and are not used.

    Raises CheckpointError for keys that the model does not have, or a part of which only some keys are there.
    """
    model = T2S(T2SConfig.from_public(golden.config).fitted(golden.weights))
    missing, unexpected = model.load_state_dict(golden.weights, strict=False)
    carried = {name.split(".")[0] for name in golden.weights}
    lacking = [name for name in missing if name.split(".")[0] in carried]
    if unexpected or lacking:
        raise CheckpointError(f"{golden.path}: unexpected keys {unexpected}, missing keys {lacking}")
    dtype = next(iter(golden.weights.values())).dtype
    return model.to(dtype).eval()


@torch.no_grad()
def speaker_conditioning(golden: GoldenFile) -> dict[str, Tensor]:
    """Set gpt_conditioning_spk."""
    model = load_t2s(golden)
    features, lengths = golden.inputs["spk_cond_emb"], golden.inputs["cond_lengths"]
    encoded, mask = model.conditioning_encoder(features, lengths)
    pair = torch.cat((features, features.flip(1)))  # row 1 is row 0 with time reversed
    return {
        "subsample": model.conditioning_encoder.embed(features),
        "encoder": encoded,
        "encoder_mask": mask[:, None].to(torch.uint8),
        "cond_latents": model.speaker_latents(features, lengths),
        "cond_latents_batch2_masked": model.speaker_latents(pair, golden.inputs["batch_lengths"]),
    }


@torch.no_grad()
def emotion_conditioning(golden: GoldenFile) -> dict[str, Tensor]:
    """Set gpt_conditioning_emo."""
    model = load_t2s(golden)
    features, lengths = golden.inputs["emo_cond_emb"], golden.inputs["emo_cond_lengths"]
    encoded, mask = model.emo_conditioning_encoder(features, lengths)
    perceived = model.emo_perceiver_encoder(encoded, mask)[:, 0]
    emotion = model.emotion_vector(features, lengths)
    base = model.emotion_vector(golden.inputs["spk_cond_emb_short"], lengths)
    merged = {
        name: merge_emotion(base, emotion, float(name.removeprefix(_ALPHA_OUTPUT)))
        for name in golden.outputs
        if name.startswith(_ALPHA_OUTPUT)
    }
    return {
        "encoder": encoded,
        "perceiver": perceived,
        "emovec_layer": model.emovec_layer(perceived),
        "emo_vec": emotion,
        "base_vec": base,
        **merged,
    }


@torch.no_grad()
def language_model(golden: GoldenFile) -> dict[str, Tensor]:
    """Set gpt_t2s. The runs are as long as the file's outputs are."""
    model = load_t2s(golden)
    inputs, outputs = golden.inputs, golden.outputs
    text_ids, codes = inputs["text_ids"].long(), inputs["codes"]
    prefix = reference.prefix_rows(model, inputs["cond_latents"], inputs["emo_vec"], text_ids)
    started = torch.cat((prefix[0], model.start_row()))
    stop = torch.full_like(codes[:, :1], model.config.stop_mel_token)
    full = torch.cat((started[None], model.code_rows(torch.cat((codes, stop), dim=1), 1)), dim=1)
    hidden = model.gpt(full)
    greedy_codes, greedy_logits = reference.greedy(model, prefix, outputs["greedy_codes"].shape[1])
    penalized, _ = reference.greedy(model, prefix, outputs["greedy_codes_rep10"].shape[1], 10.0)

    def beams(output: str, penalty: float) -> Tensor:
        options = BeamOptions(sample=False, repetition_penalty=penalty)
        length = outputs[output].shape[1]
        found = reference.beam_search(model, prefix, BeamLimits(max(length, codes.shape[1])), options)
        lacking = max(length - found.shape[1], 0)
        return functional.pad(found, (0, lacking), value=model.config.stop_mel_token)  # stop is the padding too

    return {
        "prefix_emb": prefix,
        "prefill_hidden_ln_f": prefill(model.gpt, started, model.allocate_cache(1), 0)[None],
        "gpt_hidden_ln_f_full": hidden,
        "logits_full_layout": model.logits(hidden[:, prefix.shape[1] :]),
        "logits_cached_decode": reference.forced_logits(model, prefix, codes),
        "latent": reference.latent_pass(model, prefix, codes),
        "greedy_codes": greedy_codes,
        "greedy_logits": greedy_logits,
        "greedy_codes_rep10": penalized,
        "beam3_codes": beams("beam3_codes", 1.0),
        "beam3_codes_rep10": beams("beam3_codes_rep10", 10.0),
        "latent_of_greedy": reference.latent_pass(model, prefix, outputs["greedy_codes"]),
    }


def _normalized(weights: Tensor, *, bias: bool) -> Tensor:
    """[8] -> [8]"""
    return torch.tensor(normalize_weights(weights.tolist(), bias=bias, cap=True))


def emotion_mix(golden: GoldenFile) -> dict[str, Tensor]:
    """Set emo_mix."""
    inputs = golden.inputs
    bank = EmotionBank(inputs["spk_matrix"], inputs["emo_matrix"], tuple(golden.config["emo_num"]))
    rows = nearest_rows(bank, inputs["style"])
    return {
        "row_index": rows,
        "emovec_mat": mix_rows(bank, rows, inputs["weight_vector"]),
        "emo_vec_mixed": mix_bank(bank, rows, inputs["weight_vector"], inputs["emo_vec"]),
        "raw_normalized_bias": _normalized(inputs["raw_vector"], bias=True),
        "raw_normalized_nobias": _normalized(inputs["raw_vector"], bias=False),
    }


SETS: dict[str, Callable[[GoldenFile], dict[str, Tensor]]] = {
    "gpt_conditioning_spk": speaker_conditioning,
    "gpt_conditioning_emo": emotion_conditioning,
    "gpt_t2s": language_model,
    "emo_mix": emotion_mix,
}
