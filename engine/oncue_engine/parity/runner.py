"""`oncue parity FILE...`: each golden file through our modules, one JSON line per output."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import TextIO

import torch
from torch import Tensor

from oncue_engine.parity import acoustic, frontends, style, t2s, vocoder
from oncue_engine.parity.golden_file import GoldenFile, read_golden

__all__ = ["DTYPES", "OutputReport", "check_file", "main", "run_parity"]

DTYPES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.bfloat16, "float16": torch.float16}

_SETS: dict[str, Callable[[GoldenFile], dict[str, Tensor]]] = {
    **frontends.SETS,
    **style.SETS,
    **vocoder.SETS,
    **t2s.SETS,
    **acoustic.SETS,
}

# Largest max|got - want| / max|want|, float32 against float32; outputs of integers must be equal.
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
_HALF_STEPS = 32  # in half precision: this many rounding steps of the type


@dataclass(frozen=True, slots=True)
class OutputReport:
    """One output of one file. `max_rel_err` is None where nothing could be compared; `error` then says why."""

    file: str
    output: str
    max_rel_err: float | None
    ok: bool
    error: str = ""

    def to_json(self) -> str:
        fields = {"file": self.file, "output": self.output, "max_rel_err": self.max_rel_err, "ok": self.ok}
        return json.dumps(fields | ({"error": self.error} if self.error else {}))


def run_parity(paths: Sequence[Path], dtype: str = "float32", out: TextIO | None = None) -> int:
    """Check every file and print its lines to `out` (standard output). 0: all agree; 1: something does not;
    2: nothing was asked for, or an unknown dtype."""
    stream = out if out is not None else sys.stdout
    if not paths or dtype not in DTYPES:
        print(f"parity needs at least one file and a dtype of {', '.join(DTYPES)}", file=sys.stderr)
        return 2
    failed = False
    for path in paths:
        for report in check_file(Path(path), DTYPES[dtype]):
            failed = failed or not report.ok
            print(report.to_json(), file=stream, flush=True)
    return int(failed)


def check_file(path: Path, dtype: torch.dtype = torch.float32) -> list[OutputReport]:
    """One report per output of the file. A file that cannot be read, run or recognised gives one that failed."""
    try:
        golden = read_golden(path)
        with _default_dtype(dtype):
            found = _SETS[golden.set](golden.cast(dtype))
    # A module may fail in any way on a file that does not fit it; that is a result here, not a crash.
    except Exception as error:
        return [OutputReport(str(path), "", None, False, f"{type(error).__name__}: {error}")]
    # A file of weights alone is compared by its weights.
    wanted = golden.outputs or golden.weights
    return [
        _compare(str(path), name, want, found.get(name), _tolerance(golden.set, name, dtype))
        for name, want in sorted(wanted.items())
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """The command without the CLI around it."""
    parser = argparse.ArgumentParser(prog="oncue parity", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--dtype", choices=sorted(DTYPES), default="float32")
    options = parser.parse_args(argv)
    return run_parity(options.files, options.dtype)


def _tolerance(family: str, output: str, dtype: torch.dtype) -> float:
    tolerance = _TOLERANCE[family]
    for (of_family, start), looser in _LOOSER.items():
        if family == of_family and output.startswith(start):
            tolerance = looser
    if dtype in (torch.bfloat16, torch.float16):
        tolerance = max(tolerance, _HALF_STEPS * torch.finfo(dtype).eps)
    return tolerance


def _compare(file: str, output: str, want: Tensor, got: Tensor | None, tolerance: float) -> OutputReport:
    if got is None:
        return OutputReport(file, output, None, False, "not computed")
    if got.shape != want.shape:
        return OutputReport(file, output, None, False, f"shape {tuple(got.shape)}, expected {tuple(want.shape)}")
    exact = not want.is_floating_point()
    difference = (got.double() - want.double()).abs().max().item() if want.numel() else 0.0
    scale = want.double().abs().max().item() if want.numel() else 0.0
    error = difference / scale if scale > 0.0 else difference
    if not isfinite(error):
        return OutputReport(file, output, None, False, "not finite")
    return OutputReport(file, output, error, error == 0.0 if exact else error <= tolerance)


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """Modules built inside hold `dtype`."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


if __name__ == "__main__":
    raise SystemExit(main())
