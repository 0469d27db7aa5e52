"""The ablations: what they measure, what they expect, and that a measured run is not run again."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from oncue_engine.model.bigvgan import BigVGAN, BigVGANConfig
from oncue_engine.model.t2s import T2S
from oncue_engine.model.t2s_config import ConditionConfig, T2SConfig
from oncue_engine.training.ablation_s2mel import S2MelBench, cepstral_distance_db, choose_sentences
from oncue_engine.training.ablation_t2s import T2S_VARIANTS, T2SBench, probe_accuracy, speak_freely
from oncue_engine.training.ablations import Row, Runs, compare, merge_rows, packaged_vocoder
from oncue_engine.training.intelligibility import Listener
from oncue_engine.training.loop import LoopConfig
from oncue_engine.training.s2mel import S2MelTraining
from oncue_engine.training.t2s import PromptPicker, T2STraining, forward_states, t2s_modules
from oncue_engine.training.teacher import SAMPLE_RATE_HZ, read_aloud
from oncue_engine.training.tokens import TokenItem
from oncue_engine.training.virtual_speakers import EMOTION_RULES, VirtualSpeaker

from .test_s2mel_training import CONFIG as S2MEL
from .test_s2mel_training import SETTINGS, codec, items

_PART = ConditionConfig(output_size=16, linear_units=16, attention_heads=2, num_blocks=1, position_rows=100)
T2S_TINY = T2SConfig(
    model_dim=32, layers=3, heads=2, max_mel_tokens=60, max_text_tokens=40, number_text_tokens=47,
    number_mel_codes=34, start_mel_token=32, stop_mel_token=33, condition_module=_PART, emo_condition_module=_PART,
    codes_width=12, conditioning_latents=4, emotion_width=16, duration_row="tied",
)  # fmt: skip


def _tokens(count: int) -> list[TokenItem]:
    rng = np.random.default_rng(0)
    made = []
    for k in range(count):
        n, text = int(rng.integers(20, 40)), 8
        spoken = np.sort(rng.integers(-1, text, n)).astype(np.int16)
        made.append(
            TokenItem(
                rng.integers(0, 32, n).astype(np.int16), rng.standard_normal((n, 12)).astype(np.float16),
                np.zeros((int(n * 2.5), 80), np.float16), tuple(int(x) for x in rng.integers(7, 47, text)), spoken,
                k % 3, k % 7, "",
            )
        )  # fmt: skip
    return made


def _sharp(settings: T2STraining) -> torch.nn.ModuleDict:
    """Random weights with decided opinions: few codes are likely at each step."""
    torch.manual_seed(0)
    modules = t2s_modules(T2S_TINY, settings, 3).eval().requires_grad_(False)
    model = modules["t2s"]
    assert isinstance(model, T2S)
    model.mel_head.weight.mul_(12.0)
    model.mel_head.bias[T2S_TINY.stop_mel_token] = -100.0
    model.text_embedding.weight.mul_(20.0)
    return modules


def _spoken(modules: torch.nn.ModuleDict, asked: list[int]) -> tuple[list[list[int]], list[TokenItem], Tensor, Tensor]:
    model = modules["t2s"]
    assert isinstance(model, T2S)
    own = _tokens(len(asked))
    batch = PromptPicker(own).batch(own, T2STraining(), random.Random(0), T2S_TINY)
    latents = model.speaker_latents(batch.speaker_prompt, batch.speaker_lengths)
    emotion = model.emotion_vector(batch.emotion_prompt, batch.emotion_lengths)
    return speak_freely(modules, latents, emotion, [i.text for i in own], torch.tensor(asked), 1), own, latents, emotion


@pytest.mark.parametrize("variant", ["base", "untied_length"])
def test_every_code_drawn_is_one_that_the_whole_pass_finds_likely(variant: str) -> None:
    """Cached decoding sees the same sequence as training does: its draws lie in the nucleus of the forced logits."""
    settings = T2S_VARIANTS[variant]
    modules = _sharp(settings)
    model = modules["t2s"]
    assert isinstance(model, T2S)
    asked = [9, 14, 11]
    codes, own, _, _ = _spoken(modules, asked)
    assert [len(row) for row in codes] == [2 * n + 8 for n in asked], "no stop: cut off at the limit"
    picker = PromptPicker(own)
    batch = picker.batch(own, T2STraining(), random.Random(0), T2S_TINY)
    longest = max(map(len, codes))
    forced = replace(
        batch,
        codes=torch.tensor([row + [0] * (longest - len(row)) for row in codes]),
        code_lengths=torch.tensor(asked),
    )
    table = modules["lengths"] if "lengths" in modules else None
    states, _ = forward_states(model, forced, torch.zeros(3, dtype=torch.bool), lengths=table)
    logits = model.logits(states)
    logits[..., T2S_TINY.start_mel_token] = -torch.inf
    shares = (logits / 0.6).softmax(-1)
    for b, row in enumerate(codes):
        for n, code in enumerate(row):
            above = float(shares[b, n][shares[b, n] > shares[b, n, code]].sum())
            assert above < 0.81, (b, n)


def test_each_variant_reads_its_own_length_table() -> None:
    tied, own = _sharp(T2STraining()), _sharp(replace(T2STraining(), tied_length=False))
    before = _spoken(own, [9, 14])[0]
    own["lengths"].weight.copy_(torch.randn_like(own["lengths"].weight))
    assert _spoken(own, [9, 14])[0] != before
    assert "lengths" not in tied


def test_a_stop_ends_a_sequence_without_counting() -> None:
    modules = _sharp(T2STraining())
    model = modules["t2s"]
    assert isinstance(model, T2S)
    model.mel_head.bias[T2S_TINY.stop_mel_token] = 1000.0
    assert _spoken(modules, [9, 14])[0] == [[], []]


def test_t2s_bench_trains_and_measures_each_variant(tmp_path: Path) -> None:
    loop = LoopConfig(steps=2, peak_lr=1e-3, bf16=False, average=0.9)
    own = _tokens(40)
    bench = T2SBench(own, own[:6], T2S_TINY, loop, 600, speakers=3, sentences=4, probe_clips=30)
    for name, settings in T2S_VARIANTS.items():
        found = bench.run(settings, tmp_path / name, seed=1)
        assert found.keys() >= {"token_error", "token_error@0.75", "token_error@1.25", "speaker_from_emotion"}
        assert all(np.isfinite(list(found.values())))
        assert 0 <= found["speaker_from_emotion"] <= 1


def test_probe_finds_what_is_there_and_nothing_else() -> None:
    torch.manual_seed(0)
    labels = torch.arange(600) % 6
    told = torch.randn(600, 16)
    told[:, :6] += 5.0 * torch.nn.functional.one_hot(labels, 6)
    assert probe_accuracy(told, labels, 6, seed=1) > 0.95
    assert probe_accuracy(torch.randn(600, 16), labels, 6, seed=1) < 0.3


def test_cepstral_distance_leaves_out_the_level_and_measures_the_shape() -> None:
    true = np.random.default_rng(0).standard_normal((50, 80)).astype(np.float32)
    assert cepstral_distance_db(true, true) == 0.0
    assert cepstral_distance_db(true + 0.7, true) < 1e-4
    # a ripple of one cosine with norm 1: 10 / ln 10 * sqrt 2 dB
    ripple = np.sqrt(2 / 80) * np.cos(np.pi * 3 * (np.arange(80) + 0.5) / 80)
    assert abs(cepstral_distance_db(true + ripple.astype(np.float32), true) - 6.1419) < 1e-3


def test_s2mel_bench_renders_and_listens(tmp_path: Path) -> None:
    torch.manual_seed(0)
    vocoder = BigVGAN(BigVGANConfig((8, 8, 4), (16, 16, 8), 16, (3,), ((1,),))).eval()
    own = items(12)
    chosen, wer = choose_sentences([(i, "good morning") for i in own[:5]], own[5:], vocoder, Listener(), 2, 8)
    assert len(chosen) == 2 and all(one.prompt.speaker == one.target.speaker for one in chosen)
    assert wer > 0.5, "noise says nothing"
    loop = LoopConfig(steps=2, peak_lr=1e-3, bf16=False)
    bench = S2MelBench(own, own[:4], codec(), vocoder, S2MEL, loop, chosen, 8)
    variants = (SETTINGS, replace(SETTINGS, objective="regression"), replace(SETTINGS, latent_share=0.0, text_width=3))
    for k, settings in enumerate(variants):
        found = bench.run(settings, tmp_path / str(k), seed=1)
        assert found.keys() == {"mel_l1", "mel_cepstral_distance_db", "mel_detail", "wer"}
        assert all(np.isfinite(list(found.values()))) and found["mel_l1"] > 0
    with pytest.raises(ValueError, match="prompt of its speaker"):
        choose_sentences([(own[0], "good morning")], [], vocoder, Listener(), 2, 8)


def test_the_vocoder_of_a_model_folder_speaks(tiny_model_dir: Path) -> None:
    vocoder = packaged_vocoder(tiny_model_dir)
    mels = vocoder.config.num_mels
    assert vocoder(torch.zeros(1, mels, 6)).shape[-1] == 6 * int(np.prod(vocoder.config.upsample_rates))


def test_the_listener_understands_the_teacher_and_not_noise() -> None:
    sentence = "The train leaves at seven o'clock."
    samples = read_aloud(sentence, VirtualSpeaker("x", "slt", 1.0, 1.0, 1.0), EMOTION_RULES[0]).samples
    listener = Listener()
    wave = samples.astype(np.float32) / 32768.0
    first = listener.errors(wave, sentence)
    assert first[1] == 6 and first[0] <= 2
    noise = np.random.default_rng(0).normal(scale=0.1, size=2 * SAMPLE_RATE_HZ).astype(np.float32)
    assert listener.errors(noise, sentence)[0] >= 5
    assert listener.errors(wave, sentence) == first, "what it heard before does not matter"


def test_rows_say_whether_the_papers_direction_came_out() -> None:
    found = {
        "base": [{"wer": 0.2, "mel_cepstral_distance_db": 5.0}, {"wer": 0.4, "mel_cepstral_distance_db": 5.0}],
        "without_latents": [{"wer": 0.5, "mel_cepstral_distance_db": 5.0}],
        "bert": [{"wer": 0.4, "mel_cepstral_distance_db": 6.0}],
    }
    rows = {(row.variant, row.figure): row for row in compare("s2mel", found, 700)}
    assert rows["base", "wer"] == Row("4", "s2mel", "base", "wer", 0.3, 700, 2, None, None, None)
    assert rows["without_latents", "wer"].agrees is True
    assert rows["without_latents", "mel_cepstral_distance_db"].agrees is False, "equal is not higher"
    assert rows["bert", "wer"].against == "without_latents" and rows["bert", "wer"].agrees is True
    assert rows["bert", "mel_cepstral_distance_db"].agrees is False
    probe = compare("t2s", {"without_reversal": [{"speaker_from_emotion": 0.5}]}, 1)
    assert probe[0].table == "2b" and probe[0].expected == "higher" and probe[0].agrees is None, "no base to compare"


def test_rows_of_earlier_calls_stay_until_they_are_measured_anew() -> None:
    old = compare("s2mel", {"base": [{"wer": 0.3}], "bert": [{"wer": 0.4}]}, 700)
    new = compare("s2mel", {"base": [{"wer": 0.2}]}, 700)
    merged = merge_rows([json.loads(json.dumps(row)) for row in merge_rows([], old)], new)
    assert {(row["variant"], row["value"]) for row in merged} == {("base", 0.2), ("bert", 0.4)}


def test_a_measured_run_is_passed_over_and_other_inputs_are_refused(tmp_path: Path) -> None:
    calls: list[Path] = []

    def run(folder: Path) -> dict[str, float]:
        calls.append(folder)
        return {"wer": 0.25}

    assert Runs(tmp_path, "one").measure("base-1", run) == {"wer": 0.25}
    assert Runs(tmp_path, "one").measure("base-1", run) == {"wer": 0.25}
    assert calls == [tmp_path / "base-1"]
    Runs(tmp_path, "one", "another vocoder").measure("base-1", run)
    assert len(calls) == 2, "measured anew, in the same folder"
    with pytest.raises(ValueError, match="remove it to begin anew"):
        Runs(tmp_path, "two").measure("base-1", run)


def test_base_variants_are_what_the_recipe_trains() -> None:
    from oncue_engine.training.ablation_s2mel import S2MEL_VARIANTS

    assert S2MEL_VARIANTS["base"] == S2MelTraining() and T2S_VARIANTS["base"] == T2STraining()
