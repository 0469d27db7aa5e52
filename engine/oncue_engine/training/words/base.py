"""The base model that tuning starts from: our own small Qwen3, made here, or one from a folder or the hub."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer

from oncue_engine.training.loop import LoopConfig
from oncue_engine.training.processes import join
from oncue_engine.training.sentences import everyday_sentences, harvest_sentences
from oncue_engine.training.words.labelled import DATA_FOLDER, emotion_words, read_labelled
from oncue_engine.training.words.language_data import gloss_texts, meaning_lines, plain_words, sense_texts
from oncue_engine.training.words.language_model import (
    StudentSizes,
    new_student,
    start_as_mean_reader,
    start_embeddings,
    train_language_model,
)
from oncue_engine.training.words.tokenizer import train_tokenizer, write_tokenizer
from oncue_engine.training.words.word_vectors import WordVectors, base_forms, make_word_vectors
from oncue_engine.training.words.wordnet import feeling_words, read_wordnet, related_words
from oncue_engine.words.whole_weights import snap_rows

__all__ = ["make_base"]

_EVERYDAY = 8000
_LONGEST_SENTENCE_WORDS = 40
_LEAST_COUNT = 3
"""Of a word about feelings: rarer ones are read in pieces."""


def _vocabulary_and_vectors(folder: Path, sizes: StudentSizes) -> tuple[Tokenizer, WordVectors]:
    """Tokenizer and word vectors, made once and kept in `folder`."""
    tokenizer_path, vectors_path = folder / "tokenizer.json", folder / "word_vectors.npz"
    if vectors_path.exists():
        kept = np.load(vectors_path)
        return Tokenizer.from_file(str(tokenizer_path)), WordVectors(tuple(kept["words"]), kept["vectors"])
    synsets = read_wordnet()
    texts = harvest_sentences(3, _LONGEST_SENTENCE_WORDS) + everyday_sentences(_EVERYDAY, seed=3)
    texts += gloss_texts(list(synsets.values()))
    words = [plain_words(text) for text in texts]
    counts = Counter(word for line in words for word in line)
    labelled = {word for item in read_labelled(DATA_FOLDER / "train.jsonl") for word in plain_words(item.text)}
    labelled |= {word for parts in emotion_words().values() for listed in parts.values() for word in listed}
    feeling = {word for word in feeling_words(synsets) if counts[word] >= _LEAST_COUNT}
    inflected = {word for word, count in counts.items() if count >= 2 and base_forms(word, feeling)}
    favoured = {word for word in feeling | inflected | labelled if word.isalpha()}
    vectors = make_word_vectors(
        related_words(synsets), words, favoured, sizes.relation_dims, sizes.hidden - sizes.relation_dims
    )
    tokenizer = train_tokenizer(counts, favoured, sizes.vocabulary)
    write_tokenizer(tokenizer, tokenizer_path)
    np.savez(vectors_path, words=np.array(vectors.words), vectors=vectors.vectors)
    return Tokenizer.from_file(str(tokenizer_path)), vectors


def make_base(folder: Path, sizes: StudentSizes, loop: LoopConfig) -> Path:
    """Stage one in `<folder>/language`; returns `<folder>/base`, a folder in the layout of `transformers`.

    Needs Debian's `wordnet-base` beside what the corpus needs; raises FileNotFoundError without.
    """
    base = folder / "base"
    if (base / "config.json").exists():
        return base
    folder.mkdir(parents=True, exist_ok=True)
    processes = join(loop.device)
    with processes.in_turn():
        tokenizer, vectors = _vocabulary_and_vectors(folder, sizes)
    torch.manual_seed(0)
    model = new_student(sizes)
    start_as_mean_reader(model)
    start_embeddings(model, tokenizer, vectors)
    synsets = list(read_wordnet().values())
    sentences = harvest_sentences() + everyday_sentences(_EVERYDAY, seed=3) + sense_texts(synsets)
    train_language_model(model, tokenizer, sentences, meaning_lines(), folder / "language", loop)
    # Tuning then sees the embedding that will be served.
    table = model.get_input_embeddings().weight
    with torch.no_grad():
        table.copy_(snap_rows(table))
    if processes.first:
        base.mkdir(exist_ok=True)
        write_tokenizer(tokenizer, base / "tokenizer.json")
        model.save_pretrained(base)
    processes.wait()
    return base
