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

__all__ = ["OFF_VARIABLE", "address", "load"]

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


def address(tensor: Tensor, dtype: torch.dtype) -> ctypes.c_void_p:
    """Where a contiguous CPU tensor of `dtype` lies. ValueError for any other: a kernel would read nonsense."""
    if tensor.dtype is not dtype or not tensor.is_contiguous() or tensor.device.type != "cpu":
        raise ValueError(f"a kernel needs contiguous {dtype} on the CPU, not {tensor.dtype}, strides {tensor.stride()}")
    return ctypes.c_void_p(tensor.data_ptr())
