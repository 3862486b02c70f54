"""What must lie in the arena and when, and how near two buffers may come: the rules that bound, search and order share.

Two buffers that are alive at one step must be disjoint, with two exceptions, both for an operator's output and an input
that no later operator reads:

* the first input, by the kernel's declared distance d: `input offset − output offset ≥ d`. Writes then never pass reads.
  A negative d lets the output start after the input's start. A kernel that can run backwards declares `distance_above`
  too: `output offset − input offset ≥ d`. Or exactly, same offset, where the kernel allows that (`Operator.over_first`).
* the second input, exactly: same offset, same size, where the operator is elementwise in it (`Operator.over_second`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgec.emit.kernels import Kernel
from edgec.ir.core import Program
from edgec.ops import OPERATORS

TENSOR_ALIGNMENT = 4
"""Word loads of pairs (LDM, LDRD on Cortex-M4) fault on less; nothing on a device asks for more of a tensor."""

SCRATCH_ALIGNMENT = 16
"""EDGEC_ALIGNMENT of the runtime, which the loader demands of scratch: kernels keep int32 and vectors there."""


def round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


@dataclass(frozen=True)
class Buffer:
    """A tensor, or the scratch of one operator.

    name: of the tensor, or of the operator; start, end: first and last step it is alive, both included; nbytes without rounding.
    """

    name: str
    start: int
    end: int
    nbytes: int
    alignment: int
    is_scratch: bool = False


@dataclass(frozen=True)
class Conflict:
    """Two buffers alive at one step. One of: b − a ≥ gap_ab, a − b ≥ gap_ba, or, where exact is set, a = b."""

    a: int
    b: int
    gap_ab: int
    gap_ba: int
    exact: bool = False


@dataclass(frozen=True)
class Overlap:
    """That the output of op `step` may overlap its input `tensor`: from below by distance, from `above` by that, or exactly."""

    step: int
    tensor: str
    output: str
    distance: int | None
    exact: bool
    above: int | None = None


def lifetimes(program: Program) -> dict[str, tuple[int, int]]:
    """Tensor → (step it is written, last step it is read). Inputs are written at −1, outputs read at len(ops)."""
    first = {port.tensor: -1 for port in program.inputs}
    last = dict(first)
    for step, op in enumerate(program.ops):
        for t in op.outputs:
            first.setdefault(t, step)
            last.setdefault(t, step)
        for t in op.inputs:
            last[t] = step
    for port in program.outputs:
        last[port.tensor] = len(program.ops)
    return {t: (first[t], last[t]) for t in first}


def allowed(program: Program, step: int, kernel: Kernel) -> list[Overlap]:
    """What op `step` may write over, if that input is dead afterwards; whether it is, is up to the order."""
    op = program.ops[step]
    if len(op.outputs) != 1:
        return []
    operator, output = OPERATORS[op.opcode], op.outputs[0]
    distance = operator.distance(op, kernel.symbol)
    second = len(op.inputs) == 2 and operator.over_second(op, kernel.symbol)
    same = second and program.tensors[op.inputs[1]].nbytes == program.tensors[output].nbytes
    if len(op.inputs) == 2 and op.inputs[0] == op.inputs[1]:  # one tensor in both places: only what both allow
        return [Overlap(step, op.inputs[0], output, None, True)] if same and distance is not None and distance <= 0 else []
    found = []
    above = operator.distance_above(op, kernel.symbol)
    over_first = operator.over_first(op, kernel.symbol)
    if distance is not None or above is not None or over_first:
        below = None if distance is None else min(distance, program.tensors[output].nbytes)
        if below is not None and above is not None:
            below = max(below, 0)  # a kernel that looks at the addresses to choose its way must not find them ambiguous
        found.append(Overlap(step, op.inputs[0], output, below, over_first, above))
    if same:
        found.append(Overlap(step, op.inputs[1], output, None, True))
    return found


def make_buffers(program: Program, kernels: Sequence[Kernel]) -> list[Buffer]:
    """All tensors in order of first use, then all scratch in order of execution."""
    life = lifetimes(program)
    tensors = [Buffer(t, *life[t], program.tensors[t].nbytes, TENSOR_ALIGNMENT) for t in life]
    needs = [
        (op.name, step, OPERATORS[op.opcode].scratch(op, k.symbol)) for step, (op, k) in enumerate(zip(program.ops, kernels, strict=True))
    ]
    return tensors + [Buffer(name, step, step, need, SCRATCH_ALIGNMENT, True) for name, step, need in needs if need]


def _gaps(overlap: Overlap, input_bytes: int, output_bytes: int) -> tuple[int, int]:
    """Least output − input where the output is above, least input − output where it is below."""
    above = input_bytes if overlap.above is None else min(overlap.above, input_bytes)
    return max(above, 1), output_bytes if overlap.distance is None else overlap.distance


def make_conflicts(program: Program, kernels: Sequence[Kernel], buffers: Sequence[Buffer]) -> list[Conflict]:
    """Every pair of buffers alive at one step, with the gaps they must keep."""
    dying = {b.name: b.end for b in buffers if not b.is_scratch and b.start < b.end}
    overlaps = {
        (o.tensor, o.output): o
        for step, kernel in enumerate(kernels)
        for o in allowed(program, step, kernel)
        if dying.get(o.tensor) == step
    }
    conflicts = []
    for j, b in enumerate(buffers):
        for i, a in enumerate(buffers[:j]):
            if a.start > b.end or b.start > a.end:
                continue
            gap_ab, gap_ba, exact = a.nbytes, b.nbytes, False
            if not a.is_scratch and not b.is_scratch:
                if (o := overlaps.get((a.name, b.name))) is not None:
                    gap_ab, gap_ba = _gaps(o, gap_ab, gap_ba)
                    exact = o.exact
                elif (o := overlaps.get((b.name, a.name))) is not None:
                    gap_ba, gap_ab = _gaps(o, gap_ba, gap_ab)
                    exact = o.exact
            conflicts.append(Conflict(i, j, gap_ab, gap_ba, exact))
    return conflicts
