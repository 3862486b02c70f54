"""A plan checked by its own rules, with none of the code that made it: run by the compiler and on every artifact that is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgec.emit.kernels import Kernel
from edgec.errors import ProgramError
from edgec.ir.core import Op, Program
from edgec.ops import OPERATORS
from edgec.planning.buffers import SCRATCH_ALIGNMENT, TENSOR_ALIGNMENT


def verify_layout(
    program: Program, kernels: Sequence[Kernel], offsets: Mapping[str, int], scratch: Mapping[str, tuple[int, int]], arena_bytes: int
) -> None:
    """Walk through the program with the set of tensors that hold bytes somebody still reads.

    Raises:
        ProgramError: a buffer outside the arena or not aligned, or two that are alive together and overlap in a way that
            their kernel does not allow.
    """
    if len(kernels) != len(program.ops) or any(k.opcode != op.opcode for k, op in zip(kernels, program.ops, strict=False)):
        raise _error(program.name, "kernels and operators do not belong together", f"{len(kernels)} kernels, {len(program.ops)} ops")
    reads: dict[str, int] = {}
    for op in program.ops:
        for t in op.inputs:
            reads[t] = reads.get(t, 0) + 1
    for port in program.outputs:  # read after the last operator
        reads[port.tensor] = reads.get(port.tensor, 0) + 1

    def span(tensor: str) -> tuple[int, int]:
        at = offsets.get(tensor)
        if at is None or at < 0 or at % TENSOR_ALIGNMENT or at + program.tensors[tensor].nbytes > arena_bytes:
            raise _error(tensor, "a tensor lies outside the arena or is not aligned", f"offset {at}, arena of {arena_bytes} bytes")
        return at, at + program.tensors[tensor].nbytes

    held: dict[str, tuple[int, int]] = {}
    for port in program.inputs:
        _disjoint(port.tensor, span(port.tensor), {t: s for t, s in held.items() if t != port.tensor})
        held[port.tensor] = span(port.tensor)
    held_back = [t for t in held if t not in reads]  # an input nobody reads holds nothing once it is written
    for t in held_back:
        del held[t]
    for op, kernel in zip(program.ops, kernels, strict=True):
        operands = {t: span(t) for t in op.inputs}
        for t in op.inputs:
            if t not in held:
                raise _error(op.name, "an operator reads a tensor that holds nothing", t)
            reads[t] -= 1
        outputs = {t: span(t) for t in op.outputs}
        dead = {t for t in op.inputs if reads[t] == 0}
        for t, s in outputs.items():
            if t in held:
                raise _error(op.name, "an operator writes a tensor that is alive", t)
            _disjoint(t, s, {u: v for u, v in (held | outputs).items() if u not in (*dead, t)})
            for index, u in enumerate(op.inputs):
                if u in dead and _meet(s, operands[u]) and not _may_overlap(op, kernel, index, operands[u], s):
                    raise _error(
                        op.name,
                        "an output overlaps an input in a way the kernel does not allow",
                        f"{t} {s} over {u} {operands[u]}, {kernel.symbol}",
                    )
        need = OPERATORS[op.opcode].scratch(op, kernel.symbol)
        at, size = scratch.get(op.name, (0, 0))
        if size != need or at % SCRATCH_ALIGNMENT or at < 0 or at + size > arena_bytes:
            raise _error(op.name, "scratch of the wrong size, outside the arena or not aligned", f"({at}, {size}), needs {need}")
        if need:
            _disjoint(f"scratch of {op.name}", (at, at + size), held | outputs)
        held.update(outputs)
        for t in (*op.inputs, *op.outputs):
            if reads.get(t, 0) == 0:
                held.pop(t, None)
    for port in program.outputs:
        if port.tensor not in held:
            raise _error(port.tensor, "an output holds nothing at the end", port.name)


def _meet(a: tuple[int, int], b: tuple[int, int]) -> bool:
    return a[0] < b[1] and b[0] < a[1]


def _may_overlap(op: Op, kernel: Kernel, index: int, read: tuple[int, int], written: tuple[int, int]) -> bool:
    """Whether the kernel keeps its promise when it reads input `index` at `read` and writes at `written`."""
    operator = OPERATORS[op.opcode]
    if len(op.outputs) != 1:
        return False
    if index == 0:
        distance = operator.distance(op, kernel.symbol)
        above = operator.distance_above(op, kernel.symbol)
        if distance is not None and above is not None and distance < 0:
            return False  # which way the kernel runs would be ambiguous
        if operator.over_first(op, kernel.symbol) and read[0] == written[0]:
            return True
        return (distance is not None and read[0] - written[0] >= distance) or (above is not None and written[0] - read[0] >= max(above, 1))
    return index == 1 and operator.over_second(op, kernel.symbol) and read == written


def _disjoint(name: str, span: tuple[int, int], others: Mapping[str, tuple[int, int]]) -> None:
    for other, its in others.items():
        if _meet(span, its):
            raise _error(name, "two buffers that are alive at one step overlap", f"{name} {span} and {other} {its}")


def _error(where: str, what: str, why: str) -> ProgramError:
    return ProgramError(
        what, where=where, why=why, fix="this is a defect of edgec or of a hand-made plan; compile again, and please report it"
    )
