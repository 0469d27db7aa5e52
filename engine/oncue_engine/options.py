"""How an engine runs on its machine: what does not change what can be asked of it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

import torch

from .errors import InvalidRequest
from .kernels.library import load

__all__ = [
    "DECODINGS",
    "LARGE_PARAMETERS",
    "PRECISIONS",
    "WEIGHTS",
    "DecodingName",
    "EngineOptions",
    "PipelineName",
    "ResolvedOptions",
]

PipelineName = Literal["oncue", "naive", "crossfade"]
DecodingName = Literal["streaming", "reference"]
DECODINGS: tuple[DecodingName, ...] = ("streaming", "reference")

LARGE_PARAMETERS = 100_000_000
"""From here on a model is large: its weights do not fit into a processor's cache, and every call takes long."""
PRECISIONS = ("auto", "float32", "bfloat16", "float16")
WEIGHTS = ("auto", "float32", "bfloat16", "int8")


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """None, or `auto`: as the model's size and the machine suggest (`resolved`)."""

    lanes: int | None = None
    """Threads that run stages side by side, each one call at a time."""
    threads: int | None = None
    """Threads that share the weights of a token step, which is bound by memory in large models and gains by more than
    one. All else runs in one thread a lane: the parts of small calls would wait for each other."""
    weights: str = "auto"
    """Of what a token step reads: one of WEIGHTS. int8 has a scale for each output, and sums in float32."""
    precision: str = "auto"
    """Of matrix products in flow and vocoder: one of PRECISIONS. float16 is refused with the reason: it is for GPUs."""
    deterministic: bool = False
    """Nothing that others do changes a bit: every row runs alone or in a batch of fixed shape, in the model's own
    number of flow steps. Slower where many speak."""
    flow_steps: int | None = None
    """Flow steps of every chunk; None: the model's own number."""
    duration_row_experiment: bool = False
    """Tell a length to a model that was not trained for it, or does not say, in a row where it may have learnt to look:
    exact lengths are exact as ever, and whether the pace follows is for the ear. Only of models that have such a row
    and no trained one (SpeechModel.duration_experiment)."""
    pipeline: PipelineName = "oncue"
    """Another one than the engine's own is for measurements (baselines)."""
    decoding: DecodingName = "streaming"
    """reference: tokens as the public implementation draws them, by beams that are final with their segment only, and
    in float32 (docs/parity.md)."""
    beams: int | None = None
    """Beams of reference decoding; None: 3, as in public."""

    def resolved(self, parameters: int) -> ResolvedOptions:
        """Nothing left open, for a model with so many parameters. InvalidRequest OPTION_INVALID."""
        for name, value in (("lanes", self.lanes), ("threads", self.threads), ("flow_steps", self.flow_steps)):
            if value is not None and value < 1:
                raise _invalid(name, f"must be at least 1, not {value}")
        for name, word, known in (("precision", self.precision, PRECISIONS), ("weights", self.weights, WEIGHTS)):
            if word not in known:
                raise _invalid(name, f"{word!r} is none of {', '.join(known)}")
        if self.precision == "float16":
            raise _invalid("precision", _no_float16())
        self._check_decoding()
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        large = parameters >= LARGE_PARAMETERS
        precision = self.precision if self.precision != "auto" else _best_precision()
        # Large models read theirs from memory, token by token; small ones from the processor's cache, where rounding
        # them would bring little. What int8 does to speech: docs/performance.md.
        rounded = "int8" if large and precision == "bfloat16" else "float32"
        weights = self.weights if self.weights != "auto" else rounded
        beams = None if self.decoding == "streaming" else self.beams or DEFAULT_BEAMS
        return ResolvedOptions(
            lanes=self.lanes or min(_MAX_LANES, cores),
            threads=self.threads or (min(_MAX_TOKEN_THREADS, cores) if large else 1),
            weights="int8" if weights == "int8" else "bfloat16" if weights == "bfloat16" else "float32",
            dtype=torch.bfloat16 if precision == "bfloat16" else torch.float32,
            deterministic=self.deterministic,
            flow_steps=self.flow_steps,
            beams=beams,
            duration_row_experiment=self.duration_row_experiment,
        )

    def _check_decoding(self) -> None:
        if self.decoding not in DECODINGS:
            raise _invalid("decoding", f"{self.decoding!r} is none of {', '.join(DECODINGS)}")
        if self.decoding == "streaming":
            if self.beams is not None:
                raise _invalid("beams", "goes with reference decoding only")
            return
        if self.beams is not None and not 1 <= self.beams <= MAX_BEAMS:
            raise _invalid("beams", f"must be 1 to {MAX_BEAMS}, not {self.beams}")
        if self.pipeline != "oncue":
            raise _invalid("decoding", f"reference does not go with the pipeline {self.pipeline}")
        if self.weights not in ("auto", "float32"):
            raise _invalid("weights", f"{self.weights} does not go with reference decoding, which is in float32")


@dataclass(frozen=True, slots=True)
class ResolvedOptions:
    """EngineOptions with everything decided."""

    lanes: int
    threads: int
    weights: Literal["float32", "bfloat16", "int8"]
    dtype: torch.dtype
    """Of matrix products in flow and vocoder."""
    deterministic: bool
    flow_steps: int | None
    beams: int | None
    """Of reference decoding; None: streaming."""
    duration_row_experiment: bool


DEFAULT_BEAMS, MAX_BEAMS = 3, 16
_MAX_LANES = 2
"""Interpreter work between the calls does not run side by side."""
_MAX_TOKEN_THREADS = 4
"""A few threads take all the bandwidth there is."""


def _invalid(field: str, why: str) -> InvalidRequest:
    return InvalidRequest(f"{field} {why}", reason="OPTION_INVALID", field=field)


def _no_float16() -> str:
    if not torch.cuda.is_available():
        return "float16 needs a GPU with CUDA, and there is none: bfloat16 is the half precision of processors"
    return "float16 is for networks on a GPU, and the engine runs them on the processor: bfloat16 is its half precision"


def _best_precision() -> str:
    """bfloat16 where the machine multiplies it and the kernels are there, else float32.

    On other machines it would be slower; without kernels what stands between the products takes most of the time, and
    products of PyTorch round a row otherwise in a crowd.
    """
    # PyTorch can be told to keep to less than the machine has.
    multiplies = torch.backends.cpu.get_cpu_capability() == "AVX512" and torch.cpu._is_avx512_bf16_supported()
    return "bfloat16" if load() is not None and multiplies else "float32"
