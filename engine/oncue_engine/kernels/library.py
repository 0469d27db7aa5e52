"""The compiled kernels, found and loaded once."""

from __future__ import annotations

import ctypes
import functools
import importlib.machinery
import importlib.util
import logging
import os

import torch
from torch import Tensor

__all__ = ["OFF_VARIABLE", "address", "load", "load_tiles", "row_address"]

OFF_VARIABLE = "ONCUE_KERNELS"
"""Environment variable: `off` leaves the kernels aside, for comparisons."""
_BUILDS = {"AVX512": ("_v4", "_v3"), "AVX2": ("_v3",)}
"""What PyTorch calls the machine -> the builds it can run, best first."""

_logger = logging.getLogger(__name__)


@functools.cache
def load() -> ctypes.CDLL | None:
    """The best build for this machine; None where there is none, or where ONCUE_KERNELS=off says so.

    Functions of a CDLL run without the interpreter's lock: two threads may be in kernels at once.
    """
    if os.environ.get(OFF_VARIABLE, "") == "off":
        return None
    for name in _BUILDS.get(torch.backends.cpu.get_cpu_capability(), ()):
        spec = importlib.util.find_spec(f"{__package__}.{name}")
        if spec is None or not isinstance(spec.loader, importlib.machinery.ExtensionFileLoader) or spec.origin is None:
            continue
        try:
            return ctypes.CDLL(spec.origin)
        except OSError:
            _logger.warning("the kernels in %s cannot be loaded", spec.origin, exc_info=True)
    return None


@functools.cache
def load_tiles() -> ctypes.CDLL | None:
    """The same, where the processor has matrix tiles (AMX) for bf16 and the system lets this process use them."""
    library = load()
    return library if library is not None and library.oncue_tiles_fit() else None


def address(tensor: Tensor, dtype: torch.dtype) -> ctypes.c_void_p:
    """Where a contiguous CPU tensor of `dtype` lies. ValueError for any other: a kernel would read nonsense."""
    if tensor.dtype is not dtype or not tensor.is_contiguous() or tensor.device.type != "cpu":
        raise ValueError(f"a kernel needs contiguous {dtype} on the CPU, not {tensor.dtype}, strides {tensor.stride()}")
    return ctypes.c_void_p(tensor.data_ptr())


def row_address(tensor: Tensor | None, dtype: torch.dtype) -> tuple[ctypes.c_void_p | None, ctypes.c_int64]:
    """Address and row stride of a CPU matrix whose rows are contiguous, each by itself. ValueError for any other."""
    if tensor is None:
        return None, ctypes.c_int64(0)
    if tensor.dtype is not dtype or tensor.dim() != 2 or tensor.stride(1) != 1 or tensor.device.type != "cpu":
        raise ValueError(f"a kernel needs rows of {dtype} on the CPU, not {tensor.dtype}, strides {tensor.stride()}")
    return ctypes.c_void_p(tensor.data_ptr()), ctypes.c_int64(tensor.stride(0))
