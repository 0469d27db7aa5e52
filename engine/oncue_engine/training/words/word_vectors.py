"""Word vectors from WordNet's relations and from running text: where the small language model's embeddings start.

A walk of three steps over the relations gives each word its neighbourhood, windows of five words give it its company;
both become positive pointwise mutual information and then the leading singular vectors (Levy and Goldberg 2014). Words
that never occur in labelled sentences thus lie near those that do, which a few million words of text cannot teach.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_matrix, csr_matrix, diags, identity
from scipy.sparse.linalg import svds

__all__ = ["WordVectors", "base_forms", "make_word_vectors"]

_STEPS = 3
_STEP_SHARE = 0.75
_SMALLEST_WALK = 3e-4
_WINDOW_WORDS = 5
_CONTEXT_POWER = 0.75
_INFLECTION_WEIGHT = 0.8
_SUFFIXES = (
    ("ies", "y"), ("ied", "y"), ("ily", "y"), ("es", ""), ("s", ""), ("ed", "e"), ("ed", ""), ("ing", "e"), ("ing", ""),
    ("er", ""), ("est", ""), ("ly", ""), ("ness", ""), ("ful", ""),
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class WordVectors:
    """Unit vectors of whole words."""

    words: tuple[str, ...]
    vectors: npt.NDArray[np.float32]
    """[num_words, dims]."""


def base_forms(word: str, known: set[str]) -> list[str]:
    """Words of `known` that `word` is an inflection of, by English suffixes ("giggling": "giggle")."""
    found = []
    for suffix, ending in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= 2:
            stem = word[: -len(suffix)]
            tries = [stem + ending]
            if len(stem) > 3 and stem[-1] == stem[-2] and not ending:
                tries.append(stem[:-1])
            found += [form for form in tries if form in known and form != word]
    return found


def _neighbourhoods(links: csr_matrix) -> csr_matrix:
    """Where a walk of up to _STEPS steps from each word arrives. [words, words]."""
    degree = np.maximum(np.asarray(links.sum(1)).ravel(), 1e-9)
    step = diags(_STEP_SHARE / degree) @ links
    walk = identity(links.shape[0], format="csr")
    total = walk
    for _ in range(_STEPS):
        walk = walk @ step
        walk.data[walk.data < _SMALLEST_WALK] = 0
        walk.eliminate_zeros()
        total = total + walk
    return csr_matrix(total)


def _leading_vectors(matrix: csr_matrix, dims: int) -> npt.NDArray[np.float64]:
    """Unit rows of the leading singular vectors of the positive pointwise mutual information. [words, dims]."""
    entries = matrix.tocoo()
    of_row = np.asarray(matrix.sum(1)).ravel()
    of_column = np.asarray(matrix.sum(0)).ravel() ** _CONTEXT_POWER
    of_column = of_column / of_column.sum()
    information = np.log(entries.data / (of_row[entries.row] * of_column[entries.col] + 1e-12))
    kept = information > 0
    positive = csr_matrix((information[kept], (entries.row[kept], entries.col[kept])), shape=matrix.shape)
    left, strength, _ = svds(positive, k=dims, rng=np.random.default_rng(0))
    vectors = left * np.sqrt(strength)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)


def _company(texts: Iterable[Sequence[str]], index: dict[str, int]) -> csr_matrix:
    """Words seen within the window of each other, by one over their distance. [words, words]."""
    stream: list[int] = []
    for words in texts:
        stream += [index.get(word, -1) for word in words]
        stream += [-1] * _WINDOW_WORDS
    places = np.array(stream)
    rows, columns, weights = [], [], []
    for distance in range(1, _WINDOW_WORDS + 1):
        one, other = places[:-distance], places[distance:]
        both = (one >= 0) & (other >= 0)
        rows.append(one[both])
        columns.append(other[both])
        weights.append(np.full(int(both.sum()), 1.0 / distance))
    found = coo_matrix(
        (np.concatenate(weights), (np.concatenate(rows), np.concatenate(columns))), shape=(len(index), len(index))
    ).tocsr()
    return csr_matrix(found + found.T)


def make_word_vectors(
    relations: Iterable[tuple[str, str, float]],
    texts: Sequence[Sequence[str]],
    extra_words: Iterable[str],
    relation_dims: int,
    text_dims: int,
    max_words: int = 30000,
) -> WordVectors:
    """Vectors of the most frequent words of `texts` and of all `extra_words`.

    `relations` are (word, word, weight in (0, 1]); entries with blanks in a word are passed over. The text's share of
    a vector has half the length of the relations' share.
    """
    counts = Counter(word for words in texts for word in words)
    words = list(dict.fromkeys([*(w for w, _ in counts.most_common(max_words)), *sorted(extra_words)]))
    index = {word: i for i, word in enumerate(words)}
    links: dict[tuple[int, int], float] = defaultdict(float)
    for word, other, weight in relations:
        if word in index and other in index:
            pair = index[word], index[other]
            for key in (pair, pair[::-1]):
                links[key] = max(links[key], weight)
    known = {words[i] for i, _ in links}
    for word in words:
        for form in base_forms(word, known):
            links[index[word], index[form]] = links[index[form], index[word]] = _INFLECTION_WEIGHT
    rows, columns = zip(*links, strict=True)
    graph = csr_matrix((list(links.values()), (rows, columns)), shape=(len(words), len(words)))
    relation_part = _leading_vectors(_neighbourhoods(graph), relation_dims)
    text_part = _leading_vectors(_company(texts, index), text_dims)
    joined = np.concatenate([relation_part, 0.5 * text_part], axis=1)
    joined /= np.maximum(np.linalg.norm(joined, axis=1, keepdims=True), 1e-9)
    return WordVectors(tuple(words), joined.astype(np.float32))
