"""One output of ours beside the golden one: how far off it is, and whether that is right for its precision.

In float32 and float64 whole numbers must be equal. In a rounded precision two choices that were nearly as good change
places, and a model of random weights has many such: there the share of equal numbers is told and nothing is asked of
it, and what follows from a choice is compared where the choice was the same. Masks are no choices.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite

import torch
from torch import Tensor

__all__ = ["OutputReport", "compare"]

# Largest max|got - want| / max|want|, float32 against float32.
_TOLERANCE = {
    "gpt_conditioning_spk": 1e-5,
    "gpt_conditioning_emo": 1e-5,
    "gpt_t2s": 2e-5,
    "emo_mix": 1e-6,
    "semantic_codec": 1e-5,
    "s2mel": 2e-5,
    "campplus": 2e-5,
    "bigvgan": 5e-5,
    "bigvgan_folded": 1e-6,
    "mel_frontends": 1e-4,
}
# (set, how the output's name begins): solvers gather error, and silent frames are sensitive under a logarithm.
_LOOSER = {
    ("s2mel", "cfm_"): 5e-5,
    ("s2mel", "mel_target"): 5e-5,
    ("mel_frontends", "fbank_"): 1e-3,
    ("mel_frontends", "w2v_input_features"): 1e-3,
}
_ROUNDING_STEPS = 16
"""In a rounded precision: this many rounding steps of it."""
_ROUNDING = {
    "bfloat16": torch.finfo(torch.bfloat16).eps,
    "float16": torch.finfo(torch.float16).eps,
    "int8": 1 / 254,  # half a step of the largest weight of a column
}

_CHOICES = {
    ("emo_mix", "row_index"),
    ("gpt_t2s", "beam3_codes"),
    ("gpt_t2s", "beam3_codes_rep10"),
    ("gpt_t2s", "greedy_codes"),
    ("gpt_t2s", "greedy_codes_rep10"),
    ("semantic_codec", "ids"),
    ("semantic_codec", "ids_batch2"),
}
_ROWS_OF = {("semantic_codec", "emb"): "ids", ("semantic_codec", "emb_batch2"): "ids_batch2"}
"""Outputs [..., D] with one row for each choice."""
_STEPS_AFTER = {("gpt_t2s", "greedy_logits"): "greedy_codes"}
"""Outputs [1,N,...] whose row n follows from the choices before n."""


@dataclass(frozen=True, slots=True)
class OutputReport:
    """One output of one file. `max_rel_err` is None where nothing could be compared; `error` then says why."""

    file: str
    output: str
    max_rel_err: float | None
    ok: bool
    error: str = ""
    agreement: float | None = None
    """Share of whole numbers that are equal, in a rounded precision."""
    form: str = ""
    """Which form of the block ran, where it is not the plain modules."""

    def to_json(self) -> str:
        told: dict[str, object] = {"file": self.file, "output": self.output, "max_rel_err": self.max_rel_err}
        told["ok"] = self.ok
        if self.agreement is not None:
            told["agreement"] = self.agreement
        told |= {name: value for name, value in (("form", self.form), ("error", self.error)) if value}
        return json.dumps(told)


def compare(
    file: str, family: str, wanted: Mapping[str, Tensor], found: Mapping[str, Tensor], precision: str, form: str = ""
) -> list[OutputReport]:
    """One report for each wanted output, by name. `family`: the golden set; `precision`: what rounded `found`."""

    def report(name: str) -> OutputReport:
        want, got = wanted[name], found.get(name)
        if got is None:
            return OutputReport(file, name, None, False, "not computed", form=form)
        if precision in _ROUNDING:
            if (family, name) in _CHOICES:
                return _agreement(file, name, want, got, form)
            want, got = _where_chosen_alike(family, name, want, got, wanted, found)
        return _distance(file, name, want, got, _tolerance(family, name, precision), form)

    return [report(name) for name in sorted(wanted)]


def _tolerance(family: str, output: str, precision: str) -> float:
    tolerance = _TOLERANCE[family]
    for (of_family, start), looser in _LOOSER.items():
        if family == of_family and output.startswith(start):
            tolerance = looser
    return max(tolerance, _ROUNDING_STEPS * _ROUNDING.get(precision, 0.0))


def _distance(file: str, output: str, want: Tensor, got: Tensor, tolerance: float, form: str) -> OutputReport:
    if got.shape != want.shape:
        wrong = f"shape {tuple(got.shape)}, expected {tuple(want.shape)}"
        return OutputReport(file, output, None, False, wrong, form=form)
    exact = not want.is_floating_point()
    difference = (got.double() - want.double()).abs().max().item() if want.numel() else 0.0
    scale = want.double().abs().max().item() if want.numel() else 0.0
    error = difference / scale if scale > 0.0 else difference
    if not isfinite(error):
        return OutputReport(file, output, None, False, "not finite", form=form)
    return OutputReport(file, output, error, error == 0.0 if exact else error <= tolerance, form=form)


def _agreement(file: str, output: str, want: Tensor, got: Tensor, form: str) -> OutputReport:
    """Of sequences that end at another place, what is missing counts as different."""
    if got.dim() != want.dim() or got.is_floating_point() or not want.numel():
        wrong = f"{got.dtype} {tuple(got.shape)}, expected {want.dtype} {tuple(want.shape)}"
        return OutputReport(file, output, None, False, wrong, form=form)
    alike = _alike(want, got)
    return OutputReport(file, output, None, True, agreement=alike.sum().item() / want.numel(), form=form)


def _alike(want: Tensor, got: Tensor) -> Tensor:
    """Bools of the shape that both have."""
    common = tuple(slice(min(a, b)) for a, b in zip(want.shape, got.shape, strict=True))
    return want[common] == got[common]


def _where_chosen_alike(
    family: str, name: str, want: Tensor, got: Tensor, wanted: Mapping[str, Tensor], found: Mapping[str, Tensor]
) -> tuple[Tensor, Tensor]:
    """The rows of both that follow from the same choices."""
    rows_of, steps_after = _ROWS_OF.get((family, name)), _STEPS_AFTER.get((family, name))
    if rows_of is not None and rows_of in found and want.shape == got.shape:
        alike = wanted[rows_of] == found[rows_of]
        return want[alike], got[alike]
    if steps_after is not None and steps_after in found:
        different = (~_alike(wanted[steps_after], found[steps_after])[0]).nonzero()
        shortest = min(want.shape[1], got.shape[1])
        steps = min(shortest, int(different[0]) + 1) if len(different) else shortest
        return want[:, :steps], got[:, :steps]
    return want, got
