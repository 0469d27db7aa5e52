"""The noise that flow matching starts from, as a function of (seed, segment, frame).

A frame's noise does not depend on how a segment was cut into chunks, on the batch, or on what was drawn before
(design.md 4.2): it is computed from a counter (Philox 4x64), not drawn from a stream.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

__all__ = ["frame_noise"]

_NOISE_DOMAIN = 1 << 61
_WORDS_PER_COUNT = 4


def frame_noise(seed: int, segment: int, first_frame: int, num_frames: int, num_bins: int) -> Tensor:
    """Standard normal noise [num_bins, num_frames] for frames first_frame ... first_frame + num_frames - 1.

    Every frame owns a whole number of counter steps, so that any run of frames is one vectorised draw.
    """
    counts_per_frame = -(-num_bins // _WORDS_PER_COUNT)
    key = np.array([seed & (2**64 - 1), _NOISE_DOMAIN | segment], dtype=np.uint64)
    words = counts_per_frame * _WORDS_PER_COUNT
    raw = np.random.Philox(key=key, counter=first_frame * counts_per_frame).random_raw(num_frames * words)
    pairs = (raw >> np.uint64(11)).astype(np.float64).reshape(num_frames, words // 2, 2) * 2.0**-53
    # Box-Muller: two uniforms of a frame make two normals of the same frame. 1 - u is never 0.
    radius = np.sqrt(-2.0 * np.log1p(-pairs[..., 0]))
    angle = 2.0 * np.pi * pairs[..., 1]
    normal = np.stack((radius * np.cos(angle), radius * np.sin(angle)), axis=-1).reshape(num_frames, words)
    return torch.from_numpy(normal[:, :num_bins].T.astype(np.float32).copy())
