"""Decoding as the public implementation does it (spec 3.4 to 3.6), for parity and comparison.

It differs from this engine's own decoding in three ways: generation skips code position 1, the default is three sampled
beams, and the latents come from a second, teacher-forced pass at contiguous positions.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from oncue_engine.model.gpt import decode, prefill
from oncue_engine.model.kv_cache import KVCache
from oncue_engine.model.t2s import T2S

__all__ = [
    "FIRST_GENERATED_POSITION",
    "BeamOptions",
    "beam_search",
    "cut_at_stop",
    "draw",
    "filter_scores",
    "forced_logits",
    "greedy",
    "latent_pass",
    "penalize",
    "prefix_rows",
]

# The start token takes code position 0; the first generated code takes 2, so position 1 is never used.
FIRST_GENERATED_POSITION = 2
# The id that stands at every prefix position in the id history, and is therefore penalised from the first step.
_PREFIX_ID = 1


@dataclass(frozen=True, slots=True)
class BeamOptions:
    """Options of `beam_search`; the defaults are the public ones. With `sample` off the filters play no part."""

    beams: int = 3
    sample: bool = True
    repetition_penalty: float = 10.0
    temperature: float = 0.8
    top_k: int = 30
    top_p: float = 0.8
    length_penalty: float = 0.0


@dataclass(frozen=True, slots=True)
class _Hypothesis:
    """A finished beam: its codes without stop, and its score."""

    score: float
    codes: list[int]


def prefix_rows(t2s: T2S, latents: Tensor, emotion: Tensor, text_ids: Tensor) -> Tensor:
    """latents [1,K,M], emotion [1,M], text_ids [1,L] -> [1,P,M]: everything before the start token."""
    return torch.cat((t2s.conditioning_rows(latents, emotion, None), t2s.text_rows(text_ids)), dim=1)


def penalize(scores: Tensor, used: Tensor, penalty: float) -> Tensor:
    """Repetition penalty: scores [R,V] of used ids (bool [R,V]) times it if negative, else divided by it."""
    return torch.where(used, torch.where(scores < 0, scores * penalty, scores / penalty), scores)


def filter_scores(scores: Tensor, options: BeamOptions) -> Tensor:
    """Temperature, then top-k, then top-p on scores [R,V]; what falls out becomes -inf.

    With several beams at least two ids a row stay, so that a beam that ends has another to go on with.
    """
    least = 2 if options.beams > 1 else 1
    scores = scores / options.temperature
    kept = min(max(options.top_k, least), scores.shape[-1])
    scores = scores.masked_fill(scores < scores.topk(kept).values[:, -1:], -torch.inf)
    ascending, order = scores.sort(dim=-1)
    falls = ascending.softmax(-1).cumsum(-1) <= 1 - options.top_p
    falls[:, -least:] = False
    return scores.masked_fill(torch.zeros_like(falls).scatter(1, order, falls), -torch.inf)


def draw(scores: Tensor, count: int, generator: torch.Generator | None) -> Tensor:
    """`count` different indices drawn from softmax(scores [V]) without replacement, best score first: [count] int64.

    By Gumbel noise on the scores: entries of probability 0 come last instead of being an error, so fewer than `count`
    possible entries do no harm. In the first step only one beam has any probability.
    """
    noise = -torch.empty_like(scores).exponential_(generator=generator).log()
    drawn = (scores + noise).topk(count).indices
    return drawn[scores[drawn].argsort(descending=True, stable=True)]


def cut_at_stop(codes: Tensor, stop_token: int) -> Tensor:
    """codes [1,N] up to the first stop, without it; all of them if there is none."""
    stops = (codes[0] == stop_token).nonzero()
    return codes[:, : int(stops[0])] if len(stops) else codes


class _Generation:
    """Cache and id history of one generation with a number of beams."""

    def __init__(self, t2s: T2S, prefix: Tensor, max_tokens: int, beams: int) -> None:
        config = t2s.config
        if max_tokens > config.max_mel_tokens:
            raise ValueError(f"max_tokens {max_tokens} exceeds the model's {config.max_mel_tokens}")
        rows = torch.cat((prefix[0], t2s.start_row()))  # [P+1, M]
        self.t2s = t2s
        self.length = rows.shape[0]
        self.cache: KVCache = t2s.allocate_cache(beams, self.length + max_tokens)
        hidden = prefill(t2s.gpt, rows, self.cache, 0)
        self.cache.reorder([0] * beams, self.length)
        self.logits = t2s.logits(hidden[-1:]).float().expand(beams, -1)  # [beams, V]
        self.used = torch.zeros(self.logits.shape, dtype=torch.bool, device=prefix.device)
        self.used[:, [_PREFIX_ID, config.start_mel_token]] = True
        self.slots = torch.arange(beams, device=prefix.device)
        self.position = FIRST_GENERATED_POSITION

    def feed(self, codes: list[int], sources: list[int]) -> None:
        """Beam i goes on from beam sources[i] with codes[i]."""
        self.cache.reorder(sources, self.length)
        fed = torch.tensor(codes, device=self.slots.device)
        self.used = self.used[sources]
        self.used[self.slots, fed] = True
        x = self.t2s.step_rows(fed, torch.full_like(fed, self.position))
        hidden = decode(self.t2s.gpt, x, self.cache, self.slots, torch.full_like(fed, self.length))
        self.logits = self.t2s.logits(hidden).float()
        self.length += 1
        self.position += 1


@torch.no_grad()
def forced_logits(t2s: T2S, prefix: Tensor, codes: Tensor) -> Tensor:
    """Logits of cached decoding with given codes [1,N]: [1,N+1,V], the first from the start token."""
    generation = _Generation(t2s, prefix, codes.shape[1], 1)
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
    generation = _Generation(t2s, prefix, max_tokens, 1)
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


@torch.no_grad()
def beam_search(
    t2s: T2S, prefix: Tensor, max_tokens: int, options: BeamOptions, generator: torch.Generator | None = None
) -> Tensor:
    """Beam search, sampled or not (spec 3.5): prefix [1,P,M] -> codes [1,N] of the best hypothesis, without stop."""
    beams, stop = options.beams, t2s.config.stop_mel_token
    generation = _Generation(t2s, prefix, max_tokens, beams)
    totals = torch.full((beams,), -1e9, dtype=torch.float32, device=prefix.device)
    totals[0] = 0.0  # the beams are still the same: only one may be continued
    live: list[list[int]] = [[] for _ in range(beams)]
    finished: list[_Hypothesis] = []
    for step in range(max_tokens):
        scores = penalize(generation.logits.log_softmax(-1), generation.used, options.repetition_penalty)
        if options.sample:
            scores = filter_scores(scores, options)
        flat = (scores + totals[:, None]).flatten()  # [beams*V]
        picks = draw(flat, 2 * beams, generator) if options.sample else flat.topk(2 * beams).indices
        picked: list[float] = flat[picks].tolist()
        codes: list[int] = []
        sources: list[int] = []
        kept: list[float] = []
        for rank, (index, score) in enumerate(zip(picks.tolist(), picked, strict=True)):
            beam, code = divmod(index, scores.shape[1])
            if code == stop:
                if rank < beams:  # a stop that ranks lower than the beams is not good enough to end one
                    _finish(finished, live[beam], score, step + 1, options)
                continue
            codes.append(code)
            sources.append(beam)
            kept.append(score)
            if len(codes) == beams:
                break
        live = [[*live[source], code] for source, code in zip(sources, codes, strict=True)]
        totals = torch.tensor(kept, dtype=torch.float32, device=prefix.device)
        if (
            len(finished) == beams
            and min(f.score for f in finished) >= picked[0] / (step + 1) ** options.length_penalty
        ):
            break
        if step + 1 < max_tokens:
            generation.feed(codes, sources)
    else:
        for beam_codes, score in zip(live, totals.tolist(), strict=True):
            _finish(finished, beam_codes, score, max_tokens, options)
    best = max(reversed(finished), key=lambda hypothesis: hypothesis.score)  # of equals, the last that ended
    return torch.tensor([best.codes], dtype=torch.int64, device=prefix.device)


def _finish(finished: list[_Hypothesis], codes: list[int], total: float, length: int, options: BeamOptions) -> None:
    """Keep a finished beam if it is among the best; `length` counts its ids, stop included."""
    score = total / length**options.length_penalty
    if len(finished) < options.beams or score > min(f.score for f in finished):
        finished.append(_Hypothesis(score, codes))
        if len(finished) > options.beams:
            finished.remove(min(finished, key=lambda hypothesis: hypothesis.score))


@torch.no_grad()
def latent_pass(t2s: T2S, prefix: Tensor, codes: Tensor) -> Tensor:
    """The second pass (spec 3.6): prefix [1,P,M], codes [1,N] without stop -> latents [1,N,M].

    Row i is the state that predicts code i. Positions are 0, 1, 2, ...: none is skipped here.
    """
    ended = functional.pad(codes, (0, 1), value=t2s.config.stop_mel_token)
    rows = torch.cat((prefix, t2s.start_row()[None], t2s.code_rows(ended, 1)), dim=1)
    hidden = t2s.gpt(rows)[:, -(codes.shape[1] + 2) : -2]
    return t2s.latent(hidden)
