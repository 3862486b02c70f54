"""The integer program: frozen dataclasses, nothing that computes.

A Program is what every backend runs. Its numbers are all integers (scales are carried for people and for the edges, no
operator reads them), its rounding points are explicit, and its tensors are physical: int8 bytes in the order in memory,
channels last. `ir.verify` states the rules, `ir.text` prints and parses it, `ir.interp` is its meaning.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np

DTYPES = {"int4": np.int8, "int8": np.int8, "int16": np.int16, "int32": np.int32}
DTYPE_BITS = {"int4": 4, "int8": 8, "int16": 16, "int32": 32}


@dataclass(frozen=True)
class Tensor:
    """An activation. `real = scale · (q − zero_point)`; shape is physical, batch 1 included where the model has one."""

    name: str
    shape: tuple[int, ...]
    dtype: str = "int8"
    scale: float = 1.0
    zero_point: int = 0

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def nbytes(self) -> int:
        """Bytes in the arena."""
        return (self.size * DTYPE_BITS[self.dtype] + 7) // 8


@dataclass(frozen=True)
class Constant:
    """Weights, biases, multipliers or a table, in canonical order (packing belongs to emit). data is read-only."""

    name: str
    data: np.ndarray
    dtype: str = "int8"

    def __post_init__(self) -> None:
        data = np.ascontiguousarray(self.data, DTYPES[self.dtype])
        data.flags.writeable = False
        object.__setattr__(self, "data", data)

    @property
    def nbytes(self) -> int:
        """Bytes of its values, before any packing."""
        return (self.data.size * DTYPE_BITS[self.dtype] + 7) // 8


@dataclass(frozen=True)
class Op:
    """One operator. attrs are integers, in the order of the operator's `fields`; constants in the order of its `roles`."""

    opcode: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    constants: tuple[str, ...] = ()
    attrs: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "attrs", MappingProxyType({k: int(v) for k, v in self.attrs.items()}))


@dataclass(frozen=True)
class Port:
    """How a graph input or output looks to the caller: the ONNX name and shape, and the program tensor behind it.

    `order` is the order of `shape`'s axes in memory, outermost first (NCHW seen by the caller and NHWC inside is (0, 2, 3, 1));
    None means the bytes lie in the caller's own order.
    """

    name: str
    tensor: str
    shape: tuple[int, ...]
    order: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Program:
    """Tensors, constants and operators in order of execution."""

    name: str
    tensors: Mapping[str, Tensor]
    constants: Mapping[str, Constant]
    ops: tuple[Op, ...]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "tensors", MappingProxyType(dict(self.tensors)))
        object.__setattr__(self, "constants", MappingProxyType(dict(self.constants)))

    def with_ops(self, ops: tuple[Op, ...]) -> Program:
        """The same program with other operators; tensors and constants nobody names any more are dropped."""
        named = {t for op in ops for t in (*op.inputs, *op.outputs)} | {p.tensor for p in (*self.inputs, *self.outputs)}
        used = {c for op in ops for c in op.constants}
        return replace(
            self,
            ops=ops,
            tensors={k: v for k, v in self.tensors.items() if k in named},
            constants={k: v for k, v in self.constants.items() if k in used},
        )

    def values(self, op: Op) -> list[np.ndarray]:
        """The constants of op, in order of its roles."""
        return [self.constants[c].data for c in op.constants]
