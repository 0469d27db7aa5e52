"""Batches of items of similar length, in an order that a seed and a step decide."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

__all__ = ["endless_batches", "pad_rows"]

Item = TypeVar("Item")


def endless_batches(
    items: Sequence[Item],
    length: Callable[[Item], int],
    budget: int,
    seed: int,
    first_step: int = 0,
) -> Iterator[list[Item]]:
    """Batches whose item count times longest length stays within `budget`, epoch after epoch.

    Items are sorted by length with jitter, cut into batches, and the batches shuffled. `first_step` skips what a
    resumed run has seen. Batches of eight and more are cut to a multiple of four: shapes that recur spare the matrix
    library from compiling a kernel for each new one.
    """
    step, epoch = 0, 0
    while True:
        rng = random.Random(f"{seed}/{epoch}")
        order = sorted(range(len(items)), key=lambda i: length(items[i]) * rng.uniform(0.9, 1.1))
        batches: list[list[int]] = [[]]
        longest = 0
        for i in order:
            longest = max(longest, length(items[i]))
            if batches[-1] and (len(batches[-1]) + 1) * longest > budget:
                batches.append([])
                longest = length(items[i])
            batches[-1].append(i)
        rng.shuffle(batches)
        for batch in batches:
            if step >= first_step:
                count = len(batch) if len(batch) < 8 else len(batch) // 4 * 4
                yield [items[i] for i in batch[:count]]
            step += 1
        epoch += 1


def pad_rows(
    rows: Sequence[np.ndarray], value: float = 0.0, multiple: int = 1, most: int | None = None
) -> tuple[Tensor, Tensor]:
    """Stack rows [n_i, ...] into [B, n, ...] padded with `value`; returns it (float32 or int64) and lengths [B].

    n is the longest row's length, rounded up to `multiple` but not beyond `most`.
    """
    lengths = torch.tensor([len(row) for row in rows])
    longest = -(-int(lengths.max()) // multiple) * multiple
    if most is not None:
        longest = max(int(lengths.max()), min(longest, most))
    kind = torch.float32 if np.issubdtype(rows[0].dtype, np.floating) else torch.int64
    out = torch.full((len(rows), longest, *rows[0].shape[1:]), value, dtype=kind)
    for i, row in enumerate(rows):
        out[i, : len(row)] = torch.from_numpy(np.ascontiguousarray(row)).to(kind)
    return out, lengths
