"""Decoding as the public implementation does it (spec 3.4 to 3.6): for `oncue serve --decoding reference`, for parity.

It differs from this engine's own decoding in three ways: generation skips code position 1 (generation.py), there are
three sampled beams (beam_search.py), and the latents come from a second, teacher-forced pass at contiguous positions.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from oncue_engine.model.t2s import T2S

from .beam_search import BeamLimits, BeamOptions, BeamSearch, penalize
from .generation import Generation
from .sampling import Draws

__all__ = ["beam_search", "cut_at_stop", "forced_logits", "greedy", "latent_pass", "prefix_rows"]


def prefix_rows(t2s: T2S, latents: Tensor, emotion: Tensor, text_ids: Tensor) -> Tensor:
    """latents [1,K,M], emotion [1,M], text_ids [1,L] -> [1,P,M]: everything before the start token."""
    return torch.cat((t2s.conditioning_rows(latents, emotion, None), t2s.text_rows(text_ids)), dim=1)


def cut_at_stop(codes: Tensor, stop_token: int) -> Tensor:
    """codes [1,N] up to the first stop, without it; all of them if there is none."""
    stops = (codes[0] == stop_token).nonzero()
    return codes[:, : int(stops[0])] if len(stops) else codes


@torch.no_grad()
def forced_logits(t2s: T2S, prefix: Tensor, codes: Tensor) -> Tensor:
    """Logits of cached decoding with given codes [1,N]: [1,N+1,V], the first from the start token."""
    generation = Generation(t2s, prefix, codes.shape[1], 1)
    logits = [generation.logits]
    for code in codes[0].tolist():
        generation.feed([code], [0])
        logits.append(generation.logits)
    return torch.stack(logits, dim=1)


@torch.no_grad()
def greedy(t2s: T2S, prefix: Tensor, max_tokens: int, repetition_penalty: float = 1.0) -> tuple[Tensor, Tensor]:
    """The best id at each step until stop or max_tokens: codes [1,N] (stop included if it came), raw logits [1,N,V].

    Without beams the penalty acts on the logits themselves, not on log-probabilities.
    """
    generation = Generation(t2s, prefix, max_tokens, 1)
    codes: list[int] = []
    logits: list[Tensor] = []
    while len(codes) < max_tokens:
        if codes:
            generation.feed(codes[-1:], [0])
        logits.append(generation.logits)
        codes.append(int(penalize(generation.logits, generation.used, repetition_penalty).argmax()))
        if codes[-1] == t2s.config.stop_mel_token:
            break
    return torch.tensor([codes], device=prefix.device), torch.stack(logits, dim=1)


def beam_search(
    t2s: T2S, prefix: Tensor, limits: BeamLimits, options: BeamOptions, draws: Draws | None = None
) -> Tensor:
    """All steps of a BeamSearch at once: prefix [1,P,M] -> codes [1,N] of the best hypothesis, without stop.

    `draws` None: those of seed 0. Raises as BeamSearch does.
    """
    search = BeamSearch(t2s, prefix, limits, options, draws or Draws(0, 0))
    while not search.finished:
        search.step()
    return torch.tensor([search.best.codes], dtype=torch.int64, device=prefix.device)


@torch.no_grad()
def latent_pass(t2s: T2S, prefix: Tensor, codes: Tensor) -> Tensor:
    """The second pass (spec 3.6): prefix [1,P,M], codes [1,N] without stop -> latents [1,N,M].

    Row i is the state that predicts code i. Positions are 0, 1, 2, ...: none is skipped here.
    """
    ended = functional.pad(codes, (0, 1), value=t2s.config.stop_mel_token)
    rows = torch.cat((prefix, t2s.start_row()[None], t2s.code_rows(ended, 1)), dim=1)
    hidden = t2s.gpt(rows)[:, -(codes.shape[1] + 2) : -2]
    return t2s.latent(hidden)
