"""The T2S of IndexTTS-2.5 (spec 9): one speaker row from the style, zero rows, a language on every text row."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from oncue_engine.model.t2s import T2S, ConditionConfig, T2SConfig

EMOTION = ConditionConfig(output_size=16, linear_units=24, attention_heads=2, num_blocks=1, position_rows=100)
SMALL = T2SConfig(
    model_dim=32,
    layers=1,
    heads=4,
    max_mel_tokens=50,
    max_text_tokens=20,
    number_text_tokens=40,
    number_mel_codes=66,
    start_mel_token=64,
    stop_mel_token=65,
    condition_module=None,
    emo_condition_module=EMOTION,
    codes_width=24,
    conditioning_latents=1,
    emotion_width=20,
    duration_row="zero_rows",
    speaker="style",
    style_width=12,
    languages=7,
)


@pytest.fixture
def t2s() -> T2S:
    torch.manual_seed(0)
    return T2S(SMALL).eval()


def test_keys_are_the_public_ones(t2s: T2S) -> None:
    state = t2s.state_dict()
    assert state["spk_emb_proj.weight"].shape == (32, 12)
    assert state["lang_embedding.weight"].shape == (7, 32)
    assert not [key for key in state if key.startswith(("conditioning_encoder", "perceiver_encoder", "speed_emb"))]
    assert [key for key in state if key.startswith("emo_conditioning_encoder")]


@torch.no_grad()
def test_the_prefix_is_speaker_and_emotion_then_two_rows_of_zeros(t2s: T2S) -> None:
    style, emotion = torch.randn(2, 12), torch.randn(2, 32)
    latents = t2s.style_latents(style)
    assert latents.shape == (2, 1, 32)
    rows = t2s.conditioning_rows(latents, emotion, torch.tensor([9, 9]))
    assert rows.shape == (2, 3, 32) and SMALL.conditioning_rows == 3
    expected = style @ t2s.spk_emb_proj.weight.T + t2s.spk_emb_proj.bias + emotion
    assert torch.allclose(rows[:, 0], expected, atol=1e-6)
    assert not rows[:, 1:].any()


@torch.no_grad()
def test_the_language_is_added_to_every_text_row(t2s: T2S) -> None:
    ids = torch.tensor([[0, 5, 9, 1]])
    rows = [t2s.text_rows(ids, torch.tensor([language])) for language in (0, 3)]
    assert rows[0].shape == (1, 4, 32), "start and stop inside the text are dropped, and added around it"
    table = t2s.lang_embedding.weight
    assert torch.allclose(rows[1] - rows[0], (table[3] - table[0]).expand(1, 4, 32), atol=1e-6)
    bare = t2s.text_embedding(torch.tensor([0, 5, 9, 1])) + t2s.text_pos_embedding.emb.weight[:4] + table[3]
    assert torch.allclose(rows[1][0], bare, atol=1e-6)
    batch = t2s.text_rows(torch.tensor([[5, 9], [7, 1]]), torch.tensor([3, 0]))
    assert torch.allclose(batch[:1], rows[1], atol=1e-6)


def test_a_language_is_needed_where_there_is_a_table_and_only_there(t2s: T2S) -> None:
    with pytest.raises(ValueError, match="7 languages, and none"):
        t2s.text_rows(torch.tensor([[5]]))
    with pytest.raises(ValueError, match="0 languages, and one"):
        T2S(replace(SMALL, languages=0)).text_rows(torch.tensor([[5]]), torch.tensor([0]))


def test_config_of_the_public_section() -> None:
    section: dict[str, Any] = {
        **{name: getattr(SMALL, name) for name in SMALL.__dataclass_fields__ if "condition" not in name},
        "emo_condition_module": {
            "output_size": 16,
            "linear_units": 24,
            "attention_heads": 2,
            "num_blocks": 1,
            "position_rows": 100,
        },
        # Left over in the file: nothing is built from it.
        "condition_module": {"output_size": 8, "linear_units": 8, "attention_heads": 2, "num_blocks": 1},
    }
    assert T2SConfig.from_public(section) == SMALL
    with pytest.raises(ValueError, match="neither perceiver nor style"):
        T2SConfig.from_public({**section, "speaker": "voice"})


def test_contradicting_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="condition_module"):
        replace(SMALL, speaker="perceiver")
    with pytest.raises(ValueError, match="one speaker row"):
        replace(SMALL, conditioning_latents=32)
    with pytest.raises(ValueError, match="duration_row"):
        replace(SMALL, duration_row="none")  # type: ignore[arg-type]
