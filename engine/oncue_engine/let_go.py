"""Weights that have been packed are not read any more: their memory can go."""

from __future__ import annotations

import ctypes
import mmap
import sys
from collections.abc import Iterable

from torch import Tensor

__all__ = ["let_go"]

_PAGE_OUT = 21
"""MADV_PAGEOUT of Linux 5.4: unlike others, it loses nothing. Pages of a mapped file are read again when needed."""


def let_go(tensors: Iterable[Tensor]) -> None:
    """Hand the memory of these tensors back where it is a mapped file's, as that of converted models is.

    They stay valid, and slow to read for the first time. Does nothing where the system cannot.
    """
    if not sys.platform.startswith("linux"):
        return
    advise = ctypes.CDLL(None).madvise
    advise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    for tensor in tensors:
        if tensor.device.type != "cpu" or not tensor.is_contiguous():
            continue
        start, size = tensor.data_ptr(), tensor.numel() * tensor.element_size()
        # Whole pages only: those at the ends belong to neighbours too.
        first = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE
        whole = (start + size - first) // mmap.PAGESIZE * mmap.PAGESIZE
        if whole > 0:
            advise(first, whole, _PAGE_OUT)
