"""How an engine runs on its machine: what does not change what can be asked of it."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Literal

import torch

from .errors import InvalidRequest

__all__ = ["PRECISIONS", "EngineOptions", "PipelineName"]

PipelineName = Literal["oncue", "naive", "crossfade"]

PRECISIONS = ("auto", "float32", "bfloat16")


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """None, or `auto`: as the model's size and the machine suggest (`resolved`)."""

    lanes: int | None = None
    """Threads that run stages side by side, each one call at a time."""
    threads: int | None = None
    """Threads inside each call. Small networks lose by more than one: the parts wait for each other."""
    precision: str = "auto"
    """Of matrix products in T2S, flow and vocoder: one of PRECISIONS."""
    deterministic: bool = False
    """Nothing that others do changes a bit: every row runs alone or in a batch of fixed shape, in the model's own
    number of flow steps. Slower where many speak."""
    flow_steps: int | None = None
    """Flow steps of every chunk; None: the model's own number."""
    pipeline: PipelineName = "oncue"
    """Another one than the engine's own is for measurements (baselines)."""

    @property
    def dtype(self) -> torch.dtype:
        """Of `precision`, once resolved."""
        return torch.bfloat16 if self.precision == "bfloat16" else torch.float32

    @property
    def weights(self) -> Literal["float32", "bfloat16"]:
        """Of the weights that token steps read, once resolved."""
        return "bfloat16" if self.precision == "bfloat16" else "float32"

    def resolved(self, parameters: int) -> EngineOptions:
        """All set, for a model with so many parameters. InvalidRequest OPTION_INVALID."""
        for name, value in (("lanes", self.lanes), ("threads", self.threads), ("flow_steps", self.flow_steps)):
            if value is not None and value < 1:
                raise InvalidRequest(f"{name} must be at least 1, not {value}", reason="OPTION_INVALID", field=name)
        if self.precision not in PRECISIONS:
            raise InvalidRequest(
                f"precision {self.precision!r} is none of {', '.join(PRECISIONS)}",
                reason="OPTION_INVALID",
                field="precision",
            )
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        small = parameters < _LARGE_PARAMETERS
        lanes = self.lanes or (min(_MAX_LANES, cores) if small else 1)
        return replace(
            self,
            lanes=lanes,
            threads=self.threads or (1 if small else max(1, cores // lanes)),
            precision=self.precision if self.precision != "auto" else _best_precision(),
        )


_LARGE_PARAMETERS = 100_000_000
"""Products of larger models are worth being split over threads."""
_MAX_LANES = 2
"""Interpreter work between the calls does not run side by side."""


def _best_precision() -> str:
    """bfloat16 where the machine multiplies it, else float32: elsewhere it would be slower, not faster."""
    return "bfloat16" if torch.cpu._is_avx512_bf16_supported() else "float32"
