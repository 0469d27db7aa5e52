"""The text-to-semantic model: golden numbers, the rows of its sequence, its sizes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from oncue_engine.errors import CheckpointError
from oncue_engine.model.t2s import T2S, ConditionConfig, T2SConfig, merge_emotion
from oncue_engine.parity.golden_file import GoldenFile, read_golden
from oncue_engine.parity.t2s import SETS

GOLDEN = Path(__file__).parents[2] / "golden"
CONDITION = ConditionConfig(output_size=16, linear_units=24, attention_heads=2, num_blocks=1, position_rows=100)
SMALL = T2SConfig(
    model_dim=32,
    layers=2,
    heads=4,
    max_mel_tokens=50,
    max_text_tokens=20,
    number_text_tokens=40,
    number_mel_codes=66,
    start_mel_token=64,
    stop_mel_token=65,
    condition_module=CONDITION,
    emo_condition_module=CONDITION,
    codes_width=24,
    conditioning_latents=8,
    emotion_width=20,
)
PUBLIC: dict[str, Any] = {
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
}


@pytest.fixture
def t2s() -> T2S:
    torch.manual_seed(0)
    return T2S(SMALL).eval()


@pytest.fixture
def tied() -> T2S:
    torch.manual_seed(0)
    return T2S(replace(SMALL, duration_row="tied")).eval()


def failures(golden: GoldenFile) -> list[str]:
    """Outputs over the tolerance of the golden README, integers included."""
    got = SETS[golden.set](golden)
    tolerance = 2e-5 if golden.set == "gpt_t2s" else 1e-5
    bad = []
    for name, want in golden.outputs.items():
        assert got[name].shape == want.shape, name
        if want.is_floating_point():
            if not float((got[name] - want).abs().max()) <= tolerance * float(want.abs().max()):
                bad.append(name)
        elif not torch.equal(got[name], want):
            bad.append(name)
    return bad


@pytest.mark.parametrize("name", ["gpt_conditioning_spk", "gpt_conditioning_emo", "gpt_t2s"])
def test_golden(name: str) -> None:
    golden = read_golden(GOLDEN / f"{name}.safetensors")
    assert failures(golden) == []


@pytest.mark.parametrize(
    ("name", "key", "expected"),
    [
        ("gpt_conditioning_spk", "conditioning_encoder.encoders.1.self_attn.pos_bias_v", "encoder"),
        ("gpt_conditioning_spk", "perceiver_encoder.layers.1.0.to_kv.weight", "cond_latents"),
        ("gpt_conditioning_emo", "emo_layer.bias", "emo_vec"),
        ("gpt_t2s", "gpt.h.1.attn.c_attn.weight", "latent"),
        ("gpt_t2s", "speed_emb.weight", "prefix_emb"),
    ],
)
def test_one_changed_weight_fails_parity(name: str, key: str, expected: str) -> None:
    golden = read_golden(GOLDEN / f"{name}.safetensors")
    golden.weights[key].view(-1)[1] += 0.5
    assert expected in failures(golden)


def test_parity_names_keys_that_do_not_fit() -> None:
    golden = read_golden(GOLDEN / "gpt_t2s.safetensors")
    golden.weights["gpt.h.0.ln_9.weight"] = golden.weights.pop("gpt.h.0.ln_1.weight")
    with pytest.raises(CheckpointError, match=r"ln_9.*ln_1"):
        SETS["gpt_t2s"](golden)


def test_public_sizes_and_keys() -> None:
    with torch.device("meta"):
        state = T2S(T2SConfig.from_public(PUBLIC)).state_dict()
    shapes = {key: tuple(value.shape) for key, value in state.items()}
    assert len(shapes) == 665  # spec 0: entries of gpt.pth
    assert {
        "conditioning_encoder.embed.out.0.weight": (512, 261632),
        "conditioning_encoder.embed.pos_enc.pe": (1, 5000, 512),
        "conditioning_encoder.encoders.5.self_attn.pos_bias_u": (8, 64),
        "emo_conditioning_encoder.encoders.3.feed_forward.w_1.weight": (1024, 512),
        "emo_conditioning_encoder.encoders.3.self_attn.pos_bias_v": (4, 128),
        "perceiver_encoder.latents": (32, 1280),
        "perceiver_encoder.layers.1.0.to_kv.weight": (1024, 1280),
        "perceiver_encoder.layers.1.1.0.weight": (3412, 1280),
        "emo_perceiver_encoder.latents": (1, 1024),
        "emo_perceiver_encoder.layers.0.1.2.weight": (1024, 1365),
        "emovec_layer.weight": (1280, 1024),
        "speed_emb.weight": (2, 1280),
        "text_embedding.weight": (12001, 1280),
        "mel_embedding.weight": (8194, 1280),
        "mel_pos_embedding.emb.weight": (1818, 1280),
        "text_pos_embedding.emb.weight": (602, 1280),
        "gpt.h.23.attn.c_attn.weight": (1280, 3840),
        "gpt.h.23.mlp.c_proj.weight": (5120, 1280),
        "mel_head.weight": (8194, 1280),
        "text_head.bias": (12001,),
    }.items() <= shapes.items()
    parameters = sum(value.numel() for value in state.values())
    assert 860e6 < parameters < 880e6


def test_stop_is_also_the_padding_of_codes() -> None:
    config = T2SConfig.from_public(PUBLIC)
    assert (config.start_mel_token, config.stop_mel_token) == (8192, 8193)
    assert config.number_mel_codes == config.stop_mel_token + 1  # no id of its own for padding
    assert config.conditioning_rows == 34


def test_prefix_order_is_speed_row_one_then_zero(t2s: T2S) -> None:
    latents, emotion = torch.randn(2, 8, 32), torch.randn(2, 32)
    rows = t2s.conditioning_rows(latents, emotion, None)
    assert rows.shape == (2, SMALL.conditioning_rows, 32)
    torch.testing.assert_close(rows[:, :8], latents + emotion[:, None])
    for batch in range(2):  # neither emotion nor position on these two
        assert torch.equal(rows[batch, 8], t2s.speed_emb.weight[1])
        assert torch.equal(rows[batch, 9], t2s.speed_emb.weight[0])
    assert torch.equal(rows, t2s.conditioning_rows(latents, emotion, torch.tensor([7, 9])))


def test_the_experiment_puts_a_length_into_the_first_of_the_speed_rows(t2s: T2S) -> None:
    latents, emotion = torch.randn(4, 8, 32), torch.randn(4, 32)
    table = t2s.mel_pos_embedding.emb.weight
    asked = torch.tensor([17, 0, len(table) - 1, len(table) + 500])
    rows = t2s.conditioning_rows(latents, emotion, asked, experiment=True)
    plain = t2s.conditioning_rows(latents, emotion, None)
    assert torch.equal(rows[:, :8], plain[:, :8]) and torch.equal(rows[:, 9], plain[:, 9])
    assert torch.equal(rows[0, 8], table[17])
    assert torch.equal(rows[1, 8], t2s.speed_emb.weight[1])  # free: the row that is always there
    assert torch.equal(rows[2, 8], table[-1]) and torch.equal(rows[3, 8], table[-1])
    assert torch.equal(t2s.conditioning_rows(latents, emotion, None, experiment=True), plain)


def test_tied_duration_row_is_the_code_position_row(tied: T2S) -> None:
    latents, emotion = torch.randn(3, 8, 32), torch.randn(3, 32)
    rows = tied.conditioning_rows(latents, emotion, torch.tensor([17, 0, 3]))
    assert rows.shape == (3, tied.config.conditioning_rows, 32) == (3, 9, 32)
    table = tied.mel_pos_embedding.emb.weight
    assert torch.equal(rows[0, 8], table[17])
    assert not rows[1, 8].any()  # free length, though the table has a row 0
    assert torch.equal(rows[2, 8], table[3])
    assert not tied.conditioning_rows(latents, emotion, None)[:, 8].any()
    assert not any("speed" in key for key in tied.state_dict())
    rows[0, 8].sum().backward()
    assert table.grad is not None and table.grad[17].any() and not table.grad[16].any()


def test_text_rows_add_start_stop_and_positions(t2s: T2S) -> None:
    rows = t2s.text_rows(torch.tensor([[5, 9]]))
    want = t2s.text_embedding.weight[[0, 5, 9, 1]] + t2s.text_pos_embedding.emb.weight[:4]
    assert torch.equal(rows[0], want)


def test_text_rows_drop_start_and_stop_ids_of_a_single_row(t2s: T2S) -> None:
    assert torch.equal(t2s.text_rows(torch.tensor([[0, 5, 1, 9, 1]])), t2s.text_rows(torch.tensor([[5, 9]])))
    assert t2s.text_rows(torch.tensor([[5, 9], [7, 1]])).shape == (2, 4, 32)  # there they pad


def test_code_rows_start_where_told(t2s: T2S) -> None:
    rows = t2s.code_rows(torch.tensor([[3, 4]]), 2)
    assert torch.equal(rows[0], t2s.mel_embedding.weight[[3, 4]] + t2s.mel_pos_embedding.emb.weight[2:4])
    assert torch.equal(t2s.step_rows(torch.tensor([3, 4]), torch.tensor([2, 3])), rows[0])
    start = t2s.mel_embedding.weight[64] + t2s.mel_pos_embedding.emb.weight[0]
    assert torch.equal(t2s.start_row(), start[None])


def test_too_long_sequences_are_refused(t2s: T2S) -> None:
    assert t2s.text_rows(torch.full((1, 20), 5)).shape[1] == 22
    with pytest.raises(ValueError, match="21 text tokens"):
        t2s.text_rows(torch.full((1, 21), 5))
    assert t2s.code_rows(torch.zeros(1, 51, dtype=torch.long), 2).shape[1] == 51
    with pytest.raises(ValueError, match="position 53"):
        t2s.code_rows(torch.zeros(1, 52, dtype=torch.long), 2)


@torch.no_grad()
def test_two_layer_norms_in_a_row(t2s: T2S) -> None:
    for norm in (t2s.gpt.ln_f, t2s.final_norm):
        torch.nn.init.normal_(norm.weight)
        torch.nn.init.normal_(norm.bias)
    x = torch.randn(1, 5, 32)
    raw = x
    hidden_keys = torch.ones(5, 5, dtype=torch.bool).triu(1)[None, None]
    for block in t2s.gpt.h:
        raw, _ = block(raw, hidden_keys)
    once = functional.layer_norm(raw, (32,), t2s.gpt.ln_f.weight, t2s.gpt.ln_f.bias)
    twice = functional.layer_norm(once, (32,), t2s.final_norm.weight, t2s.final_norm.bias)
    hidden = t2s.gpt(x)
    torch.testing.assert_close(hidden, once, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(t2s.latent(hidden), twice, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(t2s.logits(hidden), t2s.mel_head(twice), rtol=1e-4, atol=1e-5)


def test_merge_goes_from_base_to_emotion() -> None:
    base, emotion = torch.randn(2, 4), torch.randn(2, 4)
    assert torch.equal(merge_emotion(base, emotion, 0.0), base)
    torch.testing.assert_close(merge_emotion(base, emotion, 1.0), emotion)
    torch.testing.assert_close(merge_emotion(base, emotion, 0.25), 0.75 * base + 0.25 * emotion)
    each = torch.tensor([[0.0], [1.0]])
    torch.testing.assert_close(merge_emotion(base, emotion, each), torch.stack((base[0], emotion[1])))


@torch.no_grad()
def test_prompts_of_any_length_give_fixed_shapes(t2s: T2S) -> None:
    for frames in (3, 40):
        features = torch.randn(1, frames, 24)
        assert t2s.speaker_latents(features, torch.tensor([frames])).shape == (1, 8, 32)
        assert t2s.emotion_vector(features, torch.tensor([frames])).shape == (1, 32)


def test_sizes_that_the_config_does_not_name_come_from_the_weights() -> None:
    other = replace(SMALL, codes_width=30, conditioning_latents=5, emotion_width=28)
    weights: dict[str, Tensor] = T2S(other).state_dict()
    assert SMALL.fitted(weights) == other
    assert SMALL.fitted({}) == SMALL


def test_config_refuses_what_it_does_not_know() -> None:
    with pytest.raises(ValueError, match="duration_row"):
        replace(SMALL, duration_row="both")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="input_layer"):
        T2SConfig.from_public({**PUBLIC, "condition_module": {**PUBLIC["condition_module"], "input_layer": "linear"}})
    with pytest.raises(KeyError, match="heads"):
        T2SConfig.from_public({key: value for key, value in PUBLIC.items() if key != "heads"})
    own = {"codes_width": 192, "conditioning_latents": 16, "emotion_width": 192, "duration_row": "tied"}
    config = T2SConfig.from_public({**PUBLIC, **own})
    assert (config.codes_width, config.conditioning_rows, config.duration_row) == (192, 17, "tied")


def test_every_parameter_trains(tied: T2S) -> None:
    features, lengths = torch.randn(2, 12, 24), torch.tensor([12, 9])
    prefix = tied.conditioning_rows(
        tied.speaker_latents(features, lengths), tied.emotion_vector(features, lengths), torch.tensor([4, 0])
    )
    text = tied.text_rows(torch.tensor([[5, 9, 7], [3, 1, 1]]))
    start = tied.start_row().expand(2, 1, -1)
    rows = torch.cat((prefix, text, start, tied.code_rows(torch.randint(0, 64, (2, 6)), 1)), dim=1)
    hidden = tied.gpt(rows)
    (tied.logits(hidden).square().mean() + tied.text_head(tied.latent(hidden)).square().mean()).backward()
    assert [name for name, p in tied.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []
