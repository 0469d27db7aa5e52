"""`oncue parity FILE...`: each golden file through our modules, one JSON line per output."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import torch
from torch import Tensor

from oncue_engine.parity import acoustic, frontends, style, t2s, vocoder
from oncue_engine.parity.comparison import OutputReport, compare
from oncue_engine.parity.golden_file import GoldenFile, read_golden
from oncue_engine.parity.served import SERVED

__all__ = ["DTYPES", "OutputReport", "check_file", "main", "run_parity"]

_MODULES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.bfloat16, "float16": torch.float16}
DTYPES = (*_MODULES, "int8")
"""int8 is a form of weights that only serving has."""
_SERVING = ("float32", "bfloat16", "int8")

_SETS: dict[str, Callable[[GoldenFile], dict[str, Tensor]]] = {
    **frontends.SETS,
    **style.SETS,
    **vocoder.SETS,
    **t2s.SETS,
    **acoustic.SETS,
}


def run_parity(
    paths: Sequence[Path],
    dtype: str = "float32",
    out: TextIO | None = None,
    *,
    served: bool = False,
    device: str = "cpu",
) -> int:
    """Check every file and print its lines to `out` (standard output). 0: all agree; 1: something does not;
    2: nothing was asked for, an unknown dtype or one that nothing serves in, a device that is not there.

    `device` cuda: the plain modules on a GPU, sums in full float32 where the dtype is float32.

    `served`, and int8 always: the blocks in the forms that serve. Those without a form in int8 are left out, and
    standard error says so.
    """
    stream = out if out is not None else sys.stdout
    if not paths or dtype not in DTYPES:
        print(f"parity needs at least one file and a dtype of {', '.join(DTYPES)}", file=sys.stderr)
        return 2
    if served and dtype not in _SERVING:
        print(f"nothing serves in {dtype}; with served, dtype is one of {', '.join(_SERVING)}", file=sys.stderr)
        return 2
    if device not in ("cpu", "cuda") or (device == "cuda" and not torch.cuda.is_available()):
        print(f"there is no device {device!r} here; the processor is cpu", file=sys.stderr)
        return 2
    if device == "cuda" and (served or dtype == "int8"):
        print("the forms that serve are for processors", file=sys.stderr)
        return 2
    failed = False
    for path in paths:
        reports = check_file(Path(path), dtype, served=served, device=device)
        if not reports:
            print(f"{path}: no {dtype} form", file=sys.stderr)
        for report in reports:
            failed = failed or not report.ok
            print(report.to_json(), file=stream, flush=True)
    return int(failed)


def check_file(path: Path, dtype: str = "float32", *, served: bool = False, device: str = "cpu") -> list[OutputReport]:
    """One report per output of the file. A file that cannot be read, run or recognised gives one that failed; one of a
    block that has no form in int8 gives none."""
    try:
        golden = read_golden(path)
        if served or dtype not in _MODULES:
            return _check_served(path, golden, dtype)
        with _modules_on(torch.device(device), _MODULES[dtype]):
            made = _SETS[golden.set](golden.cast(_MODULES[dtype]).on(torch.device(device)))
        found = {name: value.cpu() for name, value in made.items()}
        # A file of weights alone is compared by its weights.
        return compare(str(path), golden.set, golden.outputs or golden.weights, found, dtype)
    # A module may fail in any way on a file that does not fit it; that is a result here, not a crash.
    except Exception as error:
        return [OutputReport(str(path), "", None, False, f"{type(error).__name__}: {error}")]


def _check_served(path: Path, golden: GoldenFile, dtype: str) -> list[OutputReport]:
    precisions, run = SERVED.get(golden.set, ((), None))
    if run is not None and dtype in precisions:
        made = run(golden, dtype)
        wanted: Mapping[str, Tensor] = {name: golden.outputs[name] for name in made.outputs}
        return compare(str(path), golden.set, wanted, made.outputs, dtype, made.form)
    if dtype == "int8":
        return []
    wanted = golden.outputs or golden.weights
    return compare(str(path), golden.set, wanted, _SETS[golden.set](golden), "float32", "modules, float32")


def main(argv: Sequence[str] | None = None) -> int:
    """The command without the CLI around it."""
    parser = argparse.ArgumentParser(prog="oncue parity", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--dtype", choices=sorted(DTYPES), default="float32")
    parser.add_argument("--served", action="store_true")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args(argv)
    return run_parity(options.files, options.dtype, served=options.served, device=options.device)


@contextmanager
def _modules_on(device: torch.device, dtype: torch.dtype) -> Iterator[None]:
    """Modules built inside hold `dtype` and lie on `device`; float32 is not rounded to 19 bits there."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with device, torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            yield
    finally:
        torch.set_default_dtype(before)


if __name__ == "__main__":
    raise SystemExit(main())
