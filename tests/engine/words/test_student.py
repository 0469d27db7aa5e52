"""The student as it is served, on a tiny one that the test makes."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import Qwen3Config, Qwen3ForCausalLM

from oncue_engine.errors import CheckpointError
from oncue_engine.words.student import EMOTIONS, MAX_CHARS, WordsToEmotion
from oncue_engine.words.whole_weights import write_whole

_SLOT = "\nin a word:"


def _bytes_tokenizer() -> Tokenizer:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({piece: i for i, piece in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _make_student(folder: Path, max_tokens: int = 64) -> Qwen3ForCausalLM:
    torch.manual_seed(0)
    model = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=256, hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2,
            num_key_value_heads=1, head_dim=8, max_position_embeddings=128, tie_word_embeddings=True,
        )
    ).eval()  # fmt: skip
    with torch.no_grad():
        model.model.embed_tokens.weight.mul_(20)  # answers that differ by more than rounding
    folder.mkdir(exist_ok=True)
    state = {key: value for key, value in model.state_dict().items() if key != "lm_head.weight"}
    write_whole(state, folder / "model.safetensors")
    model.config.to_json_file(folder / "config.json")
    _bytes_tokenizer().save(str(folder / "tokenizer.json"))
    answers = {name: 40 + i for i, name in enumerate(EMOTIONS)}
    (folder / "words.json").write_text(json.dumps({"slot": _SLOT, "answers": answers, "max_tokens": max_tokens}))
    return model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("words")
    _make_student(made)
    return made


@pytest.fixture(scope="module")
def student(folder: Path) -> WordsToEmotion:
    return WordsToEmotion.load(folder)


def test_weights_are_the_models_answers_at_the_slot(folder: Path, student: WordsToEmotion) -> None:
    model = _make_student(folder)
    tokenizer = _bytes_tokenizer()
    ids = tokenizer.encode("tired, but proud").ids + tokenizer.encode(_SLOT).ids
    logits = model(input_ids=torch.tensor([ids])).logits[0, -1, 40 : 40 + len(EMOTIONS)]
    expected = logits.softmax(0).tolist()
    found = student.weigh("  tired, \n but   proud ")
    assert list(found) == list(EMOTIONS)
    assert list(found.values()) == pytest.approx(expected, abs=0.02)  # eight bits a weight
    assert max(expected) - min(expected) > 0.1


def test_weights_sum_to_one_and_repeat(student: WordsToEmotion) -> None:
    for text in ("They cancelled the trip.", "ok", "日本語", "a" * MAX_CHARS, "🙂 fine"):
        first = student.weigh(text)
        assert sum(first.values()) == pytest.approx(1)
        assert all(0 <= weight <= 1 for weight in first.values())
        assert student.weigh(text) == first


def test_a_long_text_is_the_mean_of_its_windows(student: WordsToEmotion) -> None:
    room = 64 - len(_bytes_tokenizer().encode(_SLOT).ids)
    one, two = "b" * (room - 1), "c" * room  # the blank in front is a token too
    parts = [student.weigh(one), student._distribution(_bytes_tokenizer().encode("x" + two).ids[2:])]
    whole = student.weigh(one + two)
    for i, name in enumerate(EMOTIONS):
        assert whole[name] == pytest.approx((parts[0][name] + float(parts[1][i])) / 2, abs=1e-6)


def test_text_without_a_letter_is_calm(student: WordsToEmotion) -> None:
    assert student.weigh("...!") == {name: float(name == "calm") for name in EMOTIONS}


@pytest.mark.parametrize(
    ("text", "why"), [("", "empty"), (" \n\t", "empty"), ("a" * (MAX_CHARS + 1), "2001"), ("bad \ud800", "Unicode")]
)
def test_text_that_cannot_be_weighed(student: WordsToEmotion, text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        student.weigh(text)


def test_threads_do_not_disturb_each_other(student: WordsToEmotion) -> None:
    texts = [f"line {i} of a play" for i in range(12)]
    alone = [student.weigh(text) for text in texts]
    found: dict[int, dict[str, float]] = {}

    def ask(i: int) -> None:
        found[i] = student.weigh(texts[i])

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(len(texts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[i] for i in range(len(texts))] == alone


@pytest.mark.parametrize(
    ("file", "content", "why"),
    [
        ("words.json", None, "missing"),
        ("words.json", "{", "no JSON"),
        ("words.json", '{"slot": "x"}', "answers"),
        ("words.json", '{"slot": "x", "answers": {"hungry": 3}, "max_tokens": 64}', "hungry"),
        ("words.json", '{"slot": "x", "answers": {"sad": 3000}, "max_tokens": 64}', "3000"),
        ("words.json", '{"slot": "x", "answers": {"sad": 3}, "max_tokens": 1}', "room"),
        ("tokenizer.json", None, "missing"),
        ("tokenizer.json", "[]", "tokenizer.json"),
        ("config.json", None, "missing"),
        ("model.safetensors", None, "missing"),
    ],
)
def test_a_broken_folder_says_what_is_wrong(tmp_path: Path, file: str, content: str | None, why: str) -> None:
    _make_student(tmp_path)
    (tmp_path / file).unlink()
    if content is not None:
        (tmp_path / file).write_text(content)
    with pytest.raises(CheckpointError, match=why):
        WordsToEmotion.load(tmp_path)


def test_weights_of_another_size_are_refused(tmp_path: Path) -> None:
    _make_student(tmp_path)
    write_whole({"model.embed_tokens.weight": torch.zeros(256, 8)}, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        WordsToEmotion.load(tmp_path)
