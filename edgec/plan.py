"""The memory plan: order of execution and the byte offset of every tensor and scratch buffer in one arena."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgec.emit.kernels import Kernel
from edgec.ir.core import Program
from edgec.ops import OPERATORS

ALIGNMENT = 16


@dataclass(frozen=True)
class Plan:
    """Where everything lies. Offsets are multiples of `alignment` for tensors that start a buffer and for scratch.

    offsets: program tensor → byte offset; scratch: op name → (offset, bytes), (0, 0) where none;
    arena_bytes: what the device must provide, inputs and outputs included; lower_bound: no plan of this order can be smaller.
    """

    offsets: Mapping[str, int]
    scratch: Mapping[str, tuple[int, int]]
    arena_bytes: int
    lower_bound: int


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


def make_plan(program: Program, kernels: Sequence[Kernel]) -> Plan:
    """Plan the arena of `program`, whose op i runs kernel i.

    First fit over decreasing size, without overlap of inputs and outputs.
    """
    life = lifetimes(program)
    boxes = [(t, *life[t], program.tensors[t].nbytes) for t in life]
    for step, (op, kernel) in enumerate(zip(program.ops, kernels, strict=True)):
        need = OPERATORS[op.opcode].scratch(op, kernel.symbol)
        if need:
            boxes.append((f"scratch of {op.name}", step, step, need))
    placed: list[tuple[str, int, int, int, int]] = []
    for name, start, end, size in sorted(boxes, key=lambda b: (-b[3], b[1], b[0])):
        offset = 0
        for _, s, e, o, n in sorted(placed, key=lambda p: p[3]):
            if s <= end and start <= e and offset < o + n and o < offset + size:
                offset = -(-(o + n) // ALIGNMENT) * ALIGNMENT
        placed.append((name, start, end, offset, size))
    where = {name: (offset, size) for name, _, _, offset, size in placed}
    bound = max(sum(n for _, s, e, n in boxes if s <= step <= e) for step in range(-1, len(program.ops) + 1))
    return Plan(
        {t: where[t][0] for t in life},
        {op.name: where.get(f"scratch of {op.name}", (0, 0)) for op in program.ops},
        max(o + n for o, n in where.values()),
        bound,
    )
