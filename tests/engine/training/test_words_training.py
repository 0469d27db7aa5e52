"""From texts and relations to a student that answers: each step on little data, the whole way once."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from oncue_engine.training.loop import LoopConfig
from oncue_engine.training.words.augment import Augment
from oncue_engine.training.words.labelled import LabelledText
from oncue_engine.training.words.language_data import SLOT, MeaningLine
from oncue_engine.training.words.language_model import (
    StudentSizes,
    new_student,
    start_as_mean_reader,
    start_embeddings,
    train_language_model,
)
from oncue_engine.training.words.stage import write_student
from oncue_engine.training.words.tokenizer import train_tokenizer, write_tokenizer
from oncue_engine.training.words.tuning import LoraSizes, Question, answer_ids, distributions, tune
from oncue_engine.training.words.word_vectors import WordVectors, base_forms, make_word_vectors
from oncue_engine.training.words.wordnet import feeling_words, read_wordnet, related_words
from oncue_engine.words.student import EMOTIONS, WordsToEmotion

_SIZES = StudentSizes(
    vocabulary=400, hidden=32, relation_dims=16, layers=2, heads=2, key_value_heads=1, head_dim=16, mlp=32
)
_NOUN_LINE = (
    "00000100 12 n 02 low_spirits 0 gloom 0 003 @ 00000300 n 0000 + 00000200 a 0101 ! 00000300 n 0000 | "
    'a state of sadness; "her gloom lasted"; "a deep gloom" - Somebody  '
)
_ADJECTIVE_LINE = "00000200 00 s 01 gloomy(a) 0 001 + 00000100 n 0101 | full of gloom  "
_PLAIN_LINE = "00000300 03 n 01 state 0 001 ~ 00000100 n 0000 | how things are  "


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Networks this small only wait for each other on several threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def wordnet(tmp_path: Path) -> Path:
    lines = {"noun": [_NOUN_LINE, _PLAIN_LINE], "verb": [], "adj": [_ADJECTIVE_LINE], "adv": []}
    for part, rows in lines.items():
        (tmp_path / f"data.{part}").write_text("  1 a licence\n" + "".join(row + "\n" for row in rows), "latin-1")
    return tmp_path


def test_wordnet_lines_are_read(wordnet: Path) -> None:
    synsets = read_wordnet(wordnet)
    gloom = synsets["noun", 100]
    assert gloom.words == ("low spirits", "gloom")
    assert gloom.definition == "a state of sadness"
    assert gloom.examples == ("her gloom lasted", "a deep gloom")
    assert gloom.about_feeling and not synsets["noun", 300].about_feeling
    assert synsets["adj", 200].words == ("gloomy",)
    assert feeling_words(synsets) == {"gloom", "gloomy", "state"}
    related = {(a, b): w for a, b, w in related_words(synsets)}
    assert related["gloom", "low spirits"] == 1
    assert related["gloomy", "gloom"] == related["gloom", "gloomy"] == 0.8
    assert related["gloom", "state"] == 0.35


def test_base_forms() -> None:
    known = {"giggle", "stop", "cry", "calm", "sad"}
    assert base_forms("giggling", known) == ["giggle"]
    assert base_forms("stopped", known) == ["stop"]
    assert base_forms("cried", known) == ["cry"]
    assert base_forms("calmly", known) == ["calm"]
    assert base_forms("sad", known) == []


def test_related_words_lie_close_together() -> None:
    groups = [[f"{name}{i}" for i in range(12)] for name in "abcdefgh"]
    rng = random.Random(0)
    relations = [(*rng.sample(group, 2), 1.0) for group in groups for _ in range(60)]
    words = [word for group in groups for word in group]
    texts = [rng.sample(words, 6) for _ in range(300)]  # the texts tell nothing
    found = make_word_vectors(relations, texts, ["alone"], relation_dims=8, text_dims=4)
    assert set(found.words) == {*words, "alone"}
    place = {word: i for i, word in enumerate(found.words)}
    near = found.vectors @ found.vectors.T
    inside = [near[place[a], place[b]] for group in groups for a in group for b in group if a != b]
    across = [near[place[a], place[b]] for a in groups[0] for group in groups[1:] for b in group]
    assert np.mean(inside) > np.mean(across) + 0.5


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    text = "the day was so and she felt in a word happy angry sad afraid disgusted surprised calm sunny stormy grey"
    made = train_tokenizer(Counter(dict.fromkeys(text.split(), 50)), ["sunny"], _SIZES.vocabulary)
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    write_tokenizer(made, path)
    read = Tokenizer.from_file(str(path))
    assert read.encode("The DAY was").tokens == made.encode("The DAY was").tokens == ["Ġthe", "Ġday", "Ġwas"]
    assert read.decode(read.encode("naïve 日本").ids).strip() == "naïve 日本"
    return read


def test_answers_are_seven_different_tokens(tokenizer: Tokenizer) -> None:
    found = answer_ids(tokenizer)
    assert list(found) == list(EMOTIONS)
    assert len(set(found.values())) == len(EMOTIONS)


def test_embeddings_start_from_the_vectors_of_their_words(tokenizer: Tokenizer) -> None:
    torch.manual_seed(0)
    model = new_student(_SIZES)
    vectors = np.eye(_SIZES.hidden, dtype=np.float32)[:2]
    start_embeddings(model, tokenizer, WordVectors(("sunny", "stormy"), vectors))
    row = model.get_input_embeddings().weight[tokenizer.encode("sunny").ids[0]]
    assert torch.nn.functional.cosine_similarity(row, torch.from_numpy(vectors[0]), dim=0) > 0.999


def test_the_slot_begins_with_the_mean_of_the_words(tokenizer: Tokenizer) -> None:
    torch.manual_seed(0)
    sizes = StudentSizes(
        vocabulary=400, hidden=32, relation_dims=16, layers=2, heads=2, key_value_heads=2, head_dim=16, mlp=32
    )
    model = new_student(sizes).eval()
    start_as_mean_reader(model)
    found, expected = [], []
    for text in ("sunny sunny grey", "stormy calm day", "she felt afraid"):
        ids = torch.tensor([tokenizer.encode(text).ids])
        words = torch.nn.functional.normalize(model.get_input_embeddings()(ids)[0], dim=-1)
        expected.append(words.mean(0) + 0.3 * words[-1])
        found.append(model.model(input_ids=ids).last_hidden_state[0, -1])
    near = torch.nn.functional.cosine_similarity(torch.stack(found)[:, None], torch.stack(expected)[None], dim=-1)
    assert near.argmax(1).tolist() == [0, 1, 2]
    assert near.diagonal().min() > 0.8


def test_a_student_learns_and_is_served_as_it_was_tuned(tokenizer: Tokenizer, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = new_student(_SIZES)
    with torch.no_grad():
        model.get_input_embeddings().weight.mul_(10)  # rows of length one, as word vectors have
    sentences = ["the day was so grey", "she felt so calm", "the day was sunny"]
    meanings = [MeaningLine("sunny", ("happy",), True), MeaningLine("stormy", ("angry",), True)]
    first = LoopConfig(steps=6, peak_lr=5e-3, warmup_steps=2, log_every=1)
    train_language_model(model, tokenizer, sentences, meanings, tmp_path / "language", first)
    frozen = model.get_input_embeddings().weight.detach().clone()

    sure = {name: tuple(0.94 if name == other else 0.01 for other in EMOTIONS) for name in EMOTIONS}
    items = [LabelledText(f"the day was {word}", sure[name]) for word, name in
             (("sunny", "happy"), ("stormy", "angry"), ("grey", "sad"), ("calm", "calm"))]  # fmt: skip
    question = Question(SLOT, width_tokens=16)
    loop = LoopConfig(steps=60, peak_lr=2e-2, warmup_steps=5, weight_decay=0.0, log_every=10)
    tuned = tune(
        model, tokenizer, [(items, 1.0)], items, Augment({}, [], drop_share=0, unmarked_share=0), question,
        tmp_path / "tuning", loop, LoraSizes(rank=8, rows=8),
    )  # fmt: skip
    texts = [item.text for item in items]
    said = distributions(tuned, tokenizer, texts, question)
    assert said.argmax(-1).tolist() == [item.strongest for item in items]
    assert torch.equal(tuned.get_input_embeddings().weight, frozen)
    assert not [name for name, _ in tuned.named_parameters() if "lora" in name]

    write_student(tuned, tokenizer, question, tmp_path / "student", small=False)
    served = WordsToEmotion.load(tmp_path / "student")
    for text, expected in zip(texts, said.tolist(), strict=True):
        assert list(served.weigh(text).values()) == pytest.approx(expected, abs=0.03)
