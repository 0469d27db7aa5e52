"""The recipe's own parts: what turns sentences into training items, and what must equal the model's own parts."""

from __future__ import annotations

import random

import numpy as np
import torch

from oncue_engine.frontend.phones import phone_id
from oncue_engine.model.bigvgan import AntiAliasedSnake, BigVGANConfig
from oncue_engine.model.t2s import T2S
from oncue_engine.model.t2s_config import ConditionConfig, T2SConfig
from oncue_engine.training.batches import endless_batches, pad_rows
from oncue_engine.training.corpus import text_tokens
from oncue_engine.training.pitch import track_pitch
from oncue_engine.training.sentences import everyday_sentences, is_held_out, normal_form
from oncue_engine.training.t2s import PromptPicker, T2STraining, code_targets, forward_states
from oncue_engine.training.tokens import TokenItem, spoken_text_index
from oncue_engine.training.virtual_speakers import held_out_speakers, training_speakers
from oncue_engine.training.vocoder import BlockSnake, trainable


def test_pauses_take_the_marks_of_the_sentence() -> None:
    phones = ("pau", "w", "ey", "t", "pau", "ae", "n", "ax", "pau", "g", "ow", "pau")
    assert text_tokens("Wait, Anna: go!", phones) == ["w", "ey", "t", ",", "ae", "n", "ax", ",", "g", "ow", "!"]


def test_pauses_that_do_not_match_the_marks_become_commas() -> None:
    phones = ("pau", "g", "ow", "pau", "n", "aw", "pau")
    assert text_tokens("Go now?", phones) == ["g", "ow", ",", "n", "aw", "?"]


def test_spoken_index_points_at_the_token_in_the_middle_of_each_code() -> None:
    # 25 codes a second: middles at 20, 60, 100 ... ms
    index = spoken_text_index(["pau", "g", "ow", "pau"], [0.05, 0.13, 0.25, 0.4], num_text=3, num_codes=10)
    assert index.tolist() == [-1, 0, 0, 1, 1, 1, 2, 2, 2, 2]


def test_block_snake_equals_the_models_activation_inside() -> None:
    torch.manual_seed(0)
    plain = AntiAliasedSnake(6, logscale=True)
    plain.act.alpha.data.normal_(std=0.5)
    plain.act.beta.data.normal_(std=0.5)
    x = torch.randn(2, 6, 1000)
    made, true = BlockSnake(plain)(x), plain(x)
    assert made.shape == true.shape
    torch.testing.assert_close(made[..., 12:-12], true[..., 12:-12], rtol=1e-5, atol=1e-5)


def test_trainable_vocoder_has_the_plain_state() -> None:
    config = BigVGANConfig((8, 8, 4), (16, 16, 8), 32, (3,), ((1, 3),))
    from oncue_engine.model.bigvgan import BigVGAN

    assert set(trainable(config).state_dict()) == set(BigVGAN(config).state_dict())


def test_everyday_sentences_differ_and_repeat_with_the_seed() -> None:
    first = everyday_sentences(300, 5)
    assert first == everyday_sentences(300, 5)
    assert len({normal_form(sentence) for sentence in first}) == 300
    assert first != everyday_sentences(300, 6)


def test_held_out_is_decided_by_the_words_alone() -> None:
    sentences = everyday_sentences(2000, 1)
    share = sum(map(is_held_out, sentences)) / len(sentences)
    assert 0.005 < share < 0.04
    assert all(is_held_out(s) == is_held_out(s.upper().rstrip(".?!")) for s in sentences[:200])


def test_no_held_out_speaker_is_a_training_speaker() -> None:
    assert len(training_speakers()) >= 40 and len(held_out_speakers()) == 10
    known = {(s.base, s.warp, s.f0_shift) for s in training_speakers()}
    assert all((s.base, s.warp, s.f0_shift) not in known for s in held_out_speakers())


def test_pitch_follows_a_glide() -> None:
    rate = 16000
    time = np.arange(rate) / rate
    f0 = 120 + 80 * time
    phase = 2 * np.pi * np.cumsum(f0) / rate
    wave = sum(np.sin(h * phase) / h for h in range(1, 12)).astype(np.float32) * 0.2
    found, energy = track_pitch(wave, rate, 25.0, 25)
    middles = 120 + 80 * (np.arange(25) + 0.5) / 25
    assert np.abs(found[2:-2] - middles[2:-2]).max() < 6.0
    assert energy.shape == (25,)
    silent, _ = track_pitch(np.zeros(rate, np.float32), rate, 25.0, 25)
    assert not silent.any()


def test_batches_stay_in_budget_see_all_and_resume() -> None:
    items = [np.zeros(n) for n in range(5, 60)]
    source = endless_batches(items, len, 200, seed=3)
    seen: list[list[np.ndarray]] = [next(source) for _ in range(20)]
    assert all(len(batch) * max(map(len, batch)) <= 200 for batch in seen)
    assert {len(item) for batch in seen for item in batch} == set(range(5, 60))
    resumed = endless_batches(items, len, 200, seed=3, first_step=7)
    assert [len(i) for i in next(resumed)] == [len(i) for i in seen[7]]


def test_padding_keeps_rows_and_lengths() -> None:
    rows, lengths = pad_rows([np.ones((2, 3)), np.ones((4, 3))], 7.0)
    assert lengths.tolist() == [2, 4] and rows.shape == (2, 4, 3)
    assert rows[0, 2:].eq(7.0).all() and rows[0, :2].eq(1.0).all()


def _tiny() -> T2SConfig:
    part = ConditionConfig(output_size=16, linear_units=16, attention_heads=2, num_blocks=1, position_rows=100)
    return T2SConfig(
        model_dim=32, layers=3, heads=2, max_mel_tokens=60, max_text_tokens=40, number_text_tokens=47,
        number_mel_codes=34, start_mel_token=32, stop_mel_token=33, condition_module=part, emo_condition_module=part,
        codes_width=12, conditioning_latents=4, emotion_width=16, duration_row="tied",
    )  # fmt: skip


def _item(rng: np.random.Generator, codes: int, text: int) -> TokenItem:
    return TokenItem(
        codes=rng.integers(0, 32, codes).astype(np.int16),
        features=rng.standard_normal((codes, 12)).astype(np.float16),
        mel=np.zeros((int(codes * 2.5), 80), np.float16),
        text=tuple(int(x) for x in rng.integers(phone_id("aa"), 47, text)),
        spoken=np.sort(rng.integers(-1, text, codes)).astype(np.int16),
        speaker=0,
        emotion=0,
        sentence="",
    )


def test_training_states_do_not_depend_on_the_padding_of_the_batch() -> None:
    """A short item next to a long one predicts what it predicts alone: its padding is invisible."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    model = T2S(_tiny()).eval()
    short, long = _item(rng, 20, 6), _item(rng, 50, 25)
    picker = PromptPicker([short, long])
    both = picker.batch([short, long], T2STraining(), random.Random(1), _tiny())
    from dataclasses import replace

    alone = replace(
        both, text=both.text[:1, :6], text_lengths=both.text_lengths[:1], codes=both.codes[:1, :20],
        code_lengths=both.code_lengths[:1], spoken=both.spoken[:1, :20],
        speaker_prompt=both.speaker_prompt[:1], speaker_lengths=both.speaker_lengths[:1],
        emotion_prompt=both.emotion_prompt[:1], emotion_lengths=both.emotion_lengths[:1],
    )  # fmt: skip
    with torch.no_grad():
        together, _ = forward_states(model, both, torch.tensor([False, False]))
        single, _ = forward_states(model, alone, torch.tensor([False]))
    torch.testing.assert_close(together[:1, :21], single, rtol=1e-4, atol=1e-4)


def test_targets_end_in_one_stop() -> None:
    rng = np.random.default_rng(0)
    items = [_item(rng, 20, 6), _item(rng, 30, 9)]
    batch = PromptPicker(items).batch(items, T2STraining(), random.Random(1), _tiny())
    targets, valid = code_targets(batch, 33)
    assert targets.shape == (2, 33)  # codes are padded to a multiple of 16
    assert valid.sum(1).tolist() == [21, 31]
    assert targets[0, 20] == 33 and targets[1, 30] == 33
    assert int((targets[valid] == 33).sum()) == 2
