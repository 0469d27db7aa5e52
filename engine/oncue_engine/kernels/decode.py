"""One decode step of the backbone, or a whole prefix, in one call: packed weights, everything between them fused."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from .library import address, load

__all__ = [
    "PackedBackbone",
    "PackedLayer",
    "PackedMatrix",
    "Precision",
    "StepBuffers",
    "heads_fit",
    "pack_matrix",
    "run_step",
]

Precision = Literal["float32", "bfloat16", "int8"]
"""How weights are kept. Sums are float32 in each."""

_PANEL = 64
_FLOAT32, _FLOAT16, _BFLOAT16, _INT8 = range(4)
_GATES_PER_LAYER = 5


class _Matrix(ctypes.Structure):
    """`struct matrix` of csrc/skinny.h."""

    _fields_ = (
        ("weights", ctypes.c_void_p),
        ("scales", ctypes.c_void_p),
        ("bias", ctypes.c_void_p),
        ("depth", ctypes.c_int64),
        ("width", ctypes.c_int64),
        ("format", ctypes.c_int64),
    )


class _Norm(ctypes.Structure):
    _fields_ = (("weight", ctypes.c_void_p), ("bias", ctypes.c_void_p))


class _Layer(ctypes.Structure):
    _fields_ = (
        ("norm_1", _Norm),
        ("qkv", _Matrix),
        ("out", _Matrix),
        ("norm_2", _Norm),
        ("up", _Matrix),
        ("down", _Matrix),
    )


class _Backbone(ctypes.Structure):
    _fields_ = (
        ("layers", ctypes.c_int64),
        ("width", ctypes.c_int64),
        ("heads", ctypes.c_int64),
        ("head_dim", ctypes.c_int64),
        ("layer", ctypes.c_void_p),
        ("last_norm", _Norm),
        ("latent_norm", _Norm),
        ("head", _Matrix),
    )


class _Step(ctypes.Structure):
    """`struct step` of csrc/decode.c."""

    _fields_ = (
        ("rows", ctypes.c_int64),
        ("slots", ctypes.c_void_p),
        ("lengths", ctypes.c_void_p),
        ("keys", ctypes.c_void_p),
        ("values", ctypes.c_void_p),
        ("cache_slots", ctypes.c_int64),
        ("capacity", ctypes.c_int64),
        ("cache_is_bf16", ctypes.c_int64),
        ("is_prefix", ctypes.c_int64),
        ("x", ctypes.c_void_p),
        ("latent", ctypes.c_void_p),
        ("logits", ctypes.c_void_p),
        ("qkv", ctypes.c_void_p),
        ("attended", ctypes.c_void_p),
        ("hidden", ctypes.c_void_p),
        ("own", ctypes.c_void_p),
        ("gates", ctypes.c_void_p),
    )


def heads_fit(head_dim: int) -> bool:
    """Whether the kernel can attend with heads of that width."""
    return head_dim % 16 == 0 and head_dim <= 128


@dataclass(frozen=True, slots=True, eq=False)
class PackedMatrix:
    """A matrix [K,N] and its bias, as the kernel reads them (csrc/skinny.h); the tensors keep the memory alive."""

    weights: Tensor
    scales: Tensor | None
    bias: Tensor
    depth: int
    width: int
    format: int

    @property
    def num_bytes(self) -> int:
        """What one product reads."""
        return self.weights.numel() * self.weights.element_size()

    def struct(self) -> _Matrix:
        scales = None if self.scales is None else self.scales.data_ptr()
        return _Matrix(self.weights.data_ptr(), scales, self.bias.data_ptr(), self.depth, self.width, self.format)

    def unpacked(self) -> Tensor:
        """[K,N] float32: the weights that the products really use."""
        panels = self.weights
        if self.format == _BFLOAT16:  # [P, K/2, 64, 2] -> [P, K, 64]
            panels = panels.transpose(2, 3).flatten(1, 2)
        weight = panels.transpose(0, 1).flatten(1)[:, : self.width].float()
        return weight if self.scales is None else weight * self.scales[: self.width]


def pack_matrix(weight: Tensor, bias: Tensor, precision: Precision) -> PackedMatrix:
    """weight [K,N], bias [N] float32 -> what the kernel reads.

    `float32` keeps every weight exactly: in half the bytes where all of them are float16 numbers, as those of a
    checkpoint in float16 are. `int8` has one scale per column. ValueError for an odd K in bf16.
    """
    depth, width = weight.shape
    filled = -width % _PANEL
    panels = functional.pad(weight.detach(), (0, filled)).view(depth, -1, _PANEL).transpose(0, 1)  # [P, K, 64]
    scales: Tensor | None = None
    if precision == "bfloat16":
        if depth % 2:
            raise ValueError(f"bf16 weights lie in pairs; a depth of {depth} is odd")
        packed = panels.bfloat16().reshape(-1, depth // 2, 2, _PANEL).transpose(2, 3)  # [P, K/2, 64, 2]
        kind = _BFLOAT16
    elif precision == "int8":
        scales = panels.abs().amax(1, keepdim=True).clamp_(min=torch.finfo(torch.float32).tiny) / 127.0  # [P, 1, 64]
        packed = (panels / scales).round_().to(torch.int8)
        scales = scales.flatten().contiguous()
        kind = _INT8
    elif torch.equal(weight.half().float(), weight):
        packed, kind = panels.half(), _FLOAT16
    else:
        packed, kind = panels, _FLOAT32
    return PackedMatrix(
        packed.contiguous(), scales, functional.pad(bias.detach(), (0, filled)).contiguous(), depth, width, kind
    )


@dataclass(frozen=True, slots=True, eq=False)
class PackedLayer:
    """One layer; each norm is (weight [M], bias [M])."""

    norm_1: tuple[Tensor, Tensor]
    qkv: PackedMatrix
    out: PackedMatrix
    norm_2: tuple[Tensor, Tensor]
    up: PackedMatrix
    down: PackedMatrix


class PackedBackbone:
    """All layers, the two last norms and the head, with the table of addresses that the kernel walks."""

    def __init__(
        self,
        layers: Sequence[PackedLayer],
        last_norm: tuple[Tensor, Tensor],
        latent_norm: tuple[Tensor, Tensor],
        head: PackedMatrix,
        heads: int,
    ) -> None:
        self.layers, self.head, self.heads = tuple(layers), head, heads
        self.width = head.depth
        self._norms = last_norm, latent_norm
        table = (_Layer * len(layers))()
        for row, layer in zip(table, layers, strict=True):
            row.norm_1, row.qkv, row.out = _norm(layer.norm_1), layer.qkv.struct(), layer.out.struct()
            row.norm_2, row.up, row.down = _norm(layer.norm_2), layer.up.struct(), layer.down.struct()
        self._table = table
        self.struct = _Backbone(
            len(layers),
            self.width,
            heads,
            self.width // heads,
            ctypes.addressof(table),
            _norm(last_norm),
            _norm(latent_norm),
            head.struct(),
        )

    @property
    def num_bytes(self) -> int:
        """Weights that one step reads."""
        matrices = [m for layer in self.layers for m in (layer.qkv, layer.out, layer.up, layer.down)]
        return sum(matrix.num_bytes for matrix in (*matrices, self.head))


def _norm(norm: tuple[Tensor, Tensor]) -> _Norm:
    return _Norm(address(norm[0], torch.float32), address(norm[1], torch.float32))


class StepBuffers:
    """Memory of steps of up to `rows` rows over caches of `capacity`, for `threads` threads; one step at a time."""

    def __init__(self, backbone: PackedBackbone, rows: int, capacity: int, threads: int) -> None:
        width = backbone.width
        self.rows, self.capacity, self.threads = rows, capacity, threads
        self.x = torch.empty(rows, width)
        self._places = np.empty((2, rows), dtype=np.int64)  # slots, lengths
        self._gates = torch.empty(len(backbone.layers) * _GATES_PER_LAYER + 1, 2, dtype=torch.int64)
        self._shared = torch.empty(rows, 8 * width)
        self._own = torch.empty(threads, capacity + rows * (5 * width + _PANEL))
        shared = self._shared.data_ptr()
        self.struct = _Step(
            slots=self._places[0].ctypes.data,
            lengths=self._places[1].ctypes.data,
            x=self.x.data_ptr(),
            qkv=shared,
            attended=shared + 4 * rows * 3 * width,
            hidden=shared + 4 * rows * 4 * width,
            own=self._own.data_ptr(),
            gates=self._gates.data_ptr(),
        )

    def begin(
        self,
        x: Tensor,
        keys: Tensor,
        values: Tensor,
        slots: Sequence[int],
        lengths: Sequence[int],
        latent: Tensor,
        logits: Tensor,
        *,
        is_prefix: bool = False,
    ) -> None:
        """Describe the next step: x [B,M]; keys, values [layers, slots, heads, capacity, d] float32 or bf16.

        `is_prefix`: the rows are one slot's, in order. latent [B,M] and logits [B,V], of a prefix the last row's alone
        ([1,M], [1,V]), will be written; they and the cache must live until the step is done. Lengths are
        the caller's to check; ValueError for a slot that is not there.
        """
        rows, cache_slots = len(x), keys.shape[1]
        if min(slots) < 0 or max(slots) >= cache_slots or min(lengths) < 0:
            raise ValueError(f"slots {list(slots)} of {cache_slots}")
        self.x[:rows] = x
        self._places[0][:rows] = slots
        self._places[1][:rows] = lengths
        self._gates.zero_()
        step = self.struct
        step.rows = rows
        step.keys, step.values = address(keys, keys.dtype), address(values, keys.dtype)
        step.cache_slots, step.capacity, step.cache_is_bf16 = cache_slots, keys.shape[3], keys.dtype is torch.bfloat16
        step.is_prefix = is_prefix
        step.latent, step.logits = address(latent, torch.float32), address(logits, torch.float32)


def run_step(backbone: PackedBackbone, buffers: StepBuffers, thread: int) -> None:
    """The step that `buffers` describes, or as much of it as is left to take. Needs the kernels."""
    library = load()
    assert library is not None
    library.oncue_decode_step(ctypes.byref(backbone.struct), ctypes.byref(buffers.struct), ctypes.c_int64(thread))
