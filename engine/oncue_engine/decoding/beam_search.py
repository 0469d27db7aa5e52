"""Beam search as the public implementation has it, sampled or not (spec 3.5), one step at a time.

Each step draws 2 * beams continuations of the live beams, lets a good stop end a beam, and goes on with the best of the
rest. A beam can still be dropped for another while any is live, so codes are final only at the end (spec 8.1).
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..errors import GenerationFailed
from ..model.t2s import T2S
from ..requests import Sampling
from .generation import Generation
from .sampling import Draws

__all__ = ["BeamLimits", "BeamOptions", "BeamSearch", "Hypothesis", "draw", "filter_scores", "penalize"]

_NOT_YET = -1e9
"""Score of beams that are still copies of the first one: only one of them may be continued."""


@dataclass(frozen=True, slots=True)
class BeamOptions:
    """How beams are continued; the defaults are the public ones. With `sample` off the filters play no part."""

    beams: int = 3
    sample: bool = True
    repetition_penalty: float = 10.0
    temperature: float = 0.8
    top_k: int = 30
    top_p: float = 0.8
    length_penalty: float = 0.0

    @classmethod
    def of(cls, sampling: Sampling, beams: int) -> Self:
        """For the sampling of a request: temperature 0 is beam search without drawing, top_k 0 keeps every id."""
        return cls(
            beams=beams,
            sample=sampling.temperature > 0.0,
            repetition_penalty=sampling.repetition_penalty,
            temperature=sampling.temperature,
            top_k=sampling.top_k or sys.maxsize,
            top_p=sampling.top_p,
        )


@dataclass(frozen=True, slots=True)
class BeamLimits:
    """How long a hypothesis may be, in codes without the stop. The same number twice: exactly that long."""

    max_tokens: int
    """Every beam ends there, whether it would stop or not."""
    min_tokens: int = 0
    """No beam can stop before."""
    banned: tuple[int, ...] = ()
    """Ids that are never drawn."""

    def __post_init__(self) -> None:
        if not 0 <= self.min_tokens <= self.max_tokens or self.max_tokens < 1:
            raise ValueError(f"{self.min_tokens} to {self.max_tokens} tokens are not possible")


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """A beam that ended: its codes without the stop, its score, and whether it stopped or reached the limit."""

    score: float
    codes: tuple[int, ...]
    stopped: bool


class BeamSearch:
    """The live beams of one sequence, and those that ended. Call `step` until it is `finished`; then ask for `best`.

    What it finds depends on the model, the prefix, the options and `draws` alone.
    """

    @torch.no_grad()
    def __init__(self, t2s: T2S, prefix: Tensor, limits: BeamLimits, options: BeamOptions, draws: Draws) -> None:
        """Runs the prefix [1,P,M] (without the start token). ValueError where the position table is too short."""
        self._limits, self._options, self._draws = limits, options, draws
        self._stop = t2s.config.stop_mel_token
        self._generation: Generation | None = Generation(t2s, prefix, limits.max_tokens, options.beams)
        self._totals = torch.full((options.beams,), _NOT_YET, dtype=torch.float32, device=prefix.device)
        self._totals[0] = 0.0
        self._live: list[tuple[int, ...]] = [()] * options.beams
        self._ended: list[Hypothesis] = []
        self._steps = 0

    @property
    def finished(self) -> bool:
        """No step is left; the cache is given back already."""
        return self._generation is None

    @property
    def steps(self) -> int:
        """Steps so far: codes of each live beam."""
        return self._steps

    @property
    def best(self) -> Hypothesis:
        """The hypothesis with the highest score; of equals, the last that ended. ValueError before the end."""
        if not self.finished:
            raise ValueError("the search is not finished: its best hypothesis can still change")
        return max(reversed(self._ended), key=lambda hypothesis: hypothesis.score)

    @torch.no_grad()
    def step(self) -> None:
        """One more code for every live beam. GenerationFailed NOT_FINITE; ValueError after the end."""
        generation, beams = self._generation, self._options.beams
        if generation is None:
            raise ValueError("the search is finished")
        flat = (self._scores(generation) + self._totals[:, None]).flatten()  # [beams*V]
        picks = self._pick(flat)
        picked: list[float] = flat[picks].tolist()
        codes: list[int] = []
        sources: list[int] = []
        kept: list[float] = []
        for rank, (index, score) in enumerate(zip(picks.tolist(), picked, strict=True)):
            beam, code = divmod(index, generation.logits.shape[1])
            if code == self._stop:
                if rank < beams:  # a stop that ranks lower than the beams is not good enough to end one
                    self._end(self._live[beam], score, self._steps + 1, stopped=True)
                continue
            codes.append(code)
            sources.append(beam)
            kept.append(score)
            if len(codes) == beams:
                break
        self._steps += 1
        self._live = [(*self._live[source], code) for source, code in zip(sources, codes, strict=True)]
        self._totals = torch.tensor(kept, dtype=torch.float32, device=flat.device)
        if self._settled(picked[0]):
            self._generation = None
        elif self._steps == self._limits.max_tokens:
            for beam_codes, score in zip(self._live, kept, strict=True):
                self._end(beam_codes, score, self._steps, stopped=False)
            self._generation = None
        else:
            generation.feed(codes, sources)

    def _scores(self, generation: Generation) -> Tensor:
        """Log-probabilities of what may follow each beam, penalised, masked and filtered: [beams,V]."""
        if not bool(torch.isfinite(generation.logits).all()):
            raise GenerationFailed("the token logits are not finite", reason="NOT_FINITE")
        options, limits = self._options, self._limits
        scores = penalize(generation.logits.log_softmax(-1), generation.used, options.repetition_penalty)
        banned = [*limits.banned, self._stop] if self._steps < limits.min_tokens else [*limits.banned]
        if banned:
            scores[:, banned] = -torch.inf
        return filter_scores(scores, options) if options.sample else scores

    def _pick(self, flat: Tensor) -> Tensor:
        """Indices into flat scores [beams*V] of the candidates of this step, the best score first."""
        count = 2 * self._options.beams
        if not self._options.sample:
            return flat.topk(count).indices
        return draw(flat, count, self._draws.many(self._steps, len(flat)))

    def _settled(self, best: float) -> bool:
        """Whether as many beams ended as there may be, and no live one can still beat them; `best`: of this step."""
        if len(self._ended) < self._options.beams:
            return False
        reachable: float = best / self._steps**self._options.length_penalty
        return min(h.score for h in self._ended) >= reachable

    def _end(self, codes: tuple[int, ...], total: float, length: int, *, stopped: bool) -> None:
        """Keep a beam that ends if it is among the best; `length` counts its ids, stop included."""
        score = total / length**self._options.length_penalty
        if len(self._ended) < self._options.beams or score > min(h.score for h in self._ended):
            self._ended.append(Hypothesis(score, codes, stopped))
            if len(self._ended) > self._options.beams:
                self._ended.remove(min(self._ended, key=lambda hypothesis: hypothesis.score))


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


def draw(scores: Tensor, count: int, uniforms: npt.NDArray[np.float64]) -> Tensor:
    """`count` different indices drawn from softmax(scores [V]) without replacement, best score first: [count] int64.

    By Gumbel noise on the scores, from as many `uniforms` in [0, 1): entries of probability 0 come last instead of
    being an error, so fewer than `count` possible entries do no harm. In the first step only one beam has any
    probability.
    """
    noise = -torch.from_numpy(uniforms).log().neg().log()
    drawn = (scores + noise.to(scores)).topk(count).indices
    return drawn[scores[drawn].argsort(descending=True, stable=True)]
