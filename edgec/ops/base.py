"""What an operator family provides: the contract between a file in `edgec/ops/` and everything that iterates the registry."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from edgec.ir.core import Constant, Op, Port, Program, Tensor


@dataclass(frozen=True)
class Packing:
    """How a kernel wants an operator's constants laid out, named as in the kernel's symbol (`c1` is canonical order).

    pack takes the canonical arrays in order of roles and gives the arrays to store. unpack takes what was stored as flat
    int8 arrays (raw bytes, int32 roles too) and gives arrays whose bytes are the canonical ones: whatever was packed for
    a device can be interpreted, inspected and re-targeted from the artifact alone.
    """

    name: str
    pack: Callable[[Op, list[np.ndarray]], list[np.ndarray]]
    unpack: Callable[[Op, list[np.ndarray]], list[np.ndarray]]


def padded(values: np.ndarray, *sizes: int) -> np.ndarray:
    """values in the corner of zeros; sizes: of the first axes, those behind stay as they are."""
    out = np.zeros((*sizes, *values.shape[len(sizes) :]), values.dtype)
    out[tuple(slice(n) for n in values.shape[: len(sizes)])] = values
    return out


def _same(op: Op, values: list[np.ndarray]) -> list[np.ndarray]:
    return values


CANONICAL = Packing("c1", _same, _same)


class Operator:
    """One opcode. Subclasses are stateless; `edgec.ops.register` puts one instance of each into the registry.

    opcode: its name in programs; code: its number in artifacts (never reused); fields: its integer attributes in the
    order of the C parameter struct; roles: its constants in order.
    """

    opcode: str
    code: int
    fields: tuple[str, ...]
    roles: tuple[str, ...] = ()
    role_dtypes: tuple[str, ...] = ()
    arity: int = 1
    """Number of input tensors."""
    packings: dict[str, Packing] = {"c1": CANONICAL}
    onnx: tuple[str, ...] = ()
    """ONNX operator types that `lower` takes."""
    built_on = ""
    """opcode whose kernels, of the same ISA and packing, are this one's but for a little: a device that has both holds their code once."""
    inplace = False
    """True when every kernel may write its output exactly over its first input."""
    output_dtype = "int8"
    """dtype of its output, where `output_dtype_of` does not say otherwise."""

    def input_dtypes(self, op: Op) -> tuple[str, ...]:
        """The dtypes of op's inputs, in order."""
        return ("int8",) * self.arity

    def output_dtype_of(self, op: Op) -> str:
        """The dtype of op's output."""
        return self.output_dtype

    def golden(self, op: Op, inputs: Sequence[np.ndarray], constants: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The specification: int8 arrays in (tensors of wider dtypes as their bytes), arrays of the output's dtype out (flat order as
        in memory; shapes of the tensors)."""
        raise NotImplementedError

    def check(self, op: Op, inputs: Sequence[Tensor], outputs: Sequence[Tensor], constants: Sequence[Constant]) -> str | None:
        """A broken rule in words, or None."""
        raise NotImplementedError

    def constant_dtypes(self, op: Op) -> tuple[str, ...]:
        """The dtypes of op's constants, in order of roles."""
        return self.role_dtypes

    def accumulator_bits(self, op: Op) -> int:
        """Bits, sign included, that no accumulator of op may leave; the verifier proves it from `accumulator_bounds`."""
        return 32

    def macs(self, op: Op) -> int:
        """Multiply-accumulates of one run; 0 for operators that only move or look up bytes."""
        return 0

    def accumulator_bounds(self, op: Op, constants: Sequence[np.ndarray]) -> tuple[int, int]:
        """Proven least and greatest value of any int32 accumulator, before the layer shift."""
        return (0, 0)

    def applies(self, op: Op, kernel: str) -> bool:
        """Whether the kernel of that symbol can run this op; reference kernels run all."""
        return kernel.endswith("__ref")

    def worth(self, op: Op, kernel: str) -> bool:
        """Whether op is so much work that a device should hold the kernel of that symbol for it, where it applies."""
        return True

    def scratch(self, op: Op, kernel: str) -> int:
        """Bytes of scratch the kernel of that symbol needs."""
        return 0

    def distance(self, op: Op, kernel: str) -> int | None:
        """Least d such that the kernel may write its output at (address of first input − d); None if they may not overlap.

        See `edgec.plan`: it follows from the order in which the kernel reads and writes.
        """
        return 0 if self.inplace else None

    def distance_above(self, op: Op, kernel: str) -> int | None:
        """Least d such that the kernel may write its output at (address of first input + d); None if it may not overlap so.

        For kernels that, as memmove does, run from the last pixel to the first where the output lies above the input.
        Without it a chain of overlapping layers can only drift downwards. Such a kernel's `distance` must not be negative.
        """
        return None

    def over_first(self, op: Op, kernel: str) -> bool:
        """Whether the kernel may write its output over its first input at exactly the same offset, whatever `distance` says."""
        return False

    def over_second(self, op: Op, kernel: str) -> bool:
        """Whether the kernel may write its output exactly over its second input (same offset, same size)."""
        return self.inplace and len(op.inputs) == 2

    def lower(self, ctx, node) -> None:
        """Lower one ONNX node (an onnx_ir.Node between DequantizeLinear and QuantizeLinear); see `edgec.lower`."""
        raise NotImplementedError

    def cases(self) -> Iterator[Program]:
        """One-operator programs that tests, fuzzers and benchmarks run: every corner a kernel can get wrong."""
        raise NotImplementedError


def single(
    op: Operator,
    name: str,
    attrs: dict[str, int],
    inputs: Sequence[Tensor],
    output: Tensor,
    constants: Sequence[np.ndarray] = (),
) -> Program:
    """A program of one operator, for `cases()`."""
    names = tuple(f"{name}.{role}" for role in op.roles)
    node = Op(op.opcode, name, tuple(t.name for t in inputs), (output.name,), names, attrs)
    values = [Constant(c, data, dtype) for c, dtype, data in zip(names, op.constant_dtypes(node), constants, strict=True)]
    return Program(
        name,
        {t.name: t for t in (*inputs, output)},
        {c.name: c for c in values},
        (node,),
        tuple(Port(t.name, t.name, t.shape) for t in inputs),
        (Port(output.name, output.name, output.shape),),
    )


def bounds_of_dot(weights: np.ndarray, bias: np.ndarray, low: int = -128, high: int = 127) -> tuple[int, int]:
    """Interval of bias + Σ w·q over all q in [low, high]; weights one row an output channel.

    Every partial sum of the taps in any order is covered too: each tap contributes between its own extremes and zero,
    so the bounds are widened by the signs separately.
    """
    w = weights.reshape(weights.shape[0], -1).astype(np.int64)
    b = bias.astype(np.int64)
    least = np.minimum(w * low, w * high)
    most = np.maximum(w * low, w * high)
    return (
        int((b + np.minimum(least, 0).sum(axis=1)).min()),
        int((b + np.maximum(most, 0).sum(axis=1)).max()),
    )
