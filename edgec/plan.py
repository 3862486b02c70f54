"""The memory plan: order of execution and the byte offset of every tensor and scratch buffer in one arena.

`schedule` reorders a program, `make_plan` gives it offsets, `verify_plan` checks them by rules of its own. How they do it
is in `edgec/planning/`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from edgec.emit.kernels import Kernel
from edgec.ir.core import Program
from edgec.planning.bound import step_bounds
from edgec.planning.buffers import SCRATCH_ALIGNMENT, Buffer, make_buffers, make_conflicts
from edgec.planning.order import least_peak
from edgec.planning.search import Packing, pack
from edgec.planning.verify import verify_layout

ALIGNMENT = SCRATCH_ALIGNMENT
"""EDGEC_ALIGNMENT of the runtime: of the arena, the artifact and every constant."""


@dataclass(frozen=True)
class Plan:
    """Where everything lies. Offsets are multiples of 4 for tensors and of 16 for scratch, from an arena aligned to 16.

    offsets: program tensor → byte offset; scratch: op name → (offset, bytes), (0, 0) where none;
    arena_bytes: what the device must provide, inputs and outputs included;
    lower_bound: no plan of this order can be smaller, proven; equal to arena_bytes where the search ended;
    steps: bytes each step needs whatever the offsets, from −1 (inputs written) to len(ops) (outputs read);
    bound_by: the step that needs most, in words.
    """

    offsets: Mapping[str, int]
    scratch: Mapping[str, tuple[int, int]]
    arena_bytes: int
    lower_bound: int
    steps: tuple[int, ...] = ()
    bound_by: str = ""

    @property
    def peak_step(self) -> int:
        """The step that needs most: an index into ops, −1 for the inputs, len(ops) for the outputs."""
        return max(range(len(self.steps)), key=lambda i: self.steps[i]) - 1 if self.steps else -1


def make_plan(program: Program, kernels: Sequence[Kernel]) -> Plan:
    """Plan the arena of `program`, whose op i runs kernel i, in the order given (see `schedule`).

    The result is the same on every machine, and exact (arena_bytes == lower_bound) unless the search meets its node limit.
    """
    buffers = make_buffers(program, kernels)
    steps = step_bounds(program, kernels, buffers)
    packing = _pack(program, kernels, buffers, max(steps))
    at = dict(zip(((b.name, b.is_scratch) for b in buffers), packing.offsets, strict=True))
    scratch = {op.name: (0, 0) for op in program.ops}
    scratch.update({b.name: (at[b.name, True], b.nbytes) for b in buffers if b.is_scratch})
    offsets = {b.name: at[b.name, False] for b in buffers if not b.is_scratch}
    plan = explain(program, kernels, Plan(offsets, scratch, packing.height, packing.lower_bound))
    verify_plan(program, kernels, plan)
    return plan


def explain(program: Program, kernels: Sequence[Kernel], plan: Plan) -> Plan:
    """The plan with `steps` and `bound_by` filled in, for one that was read from an artifact."""
    buffers = make_buffers(program, kernels)
    steps = step_bounds(program, kernels, buffers)
    return replace(plan, steps=tuple(steps), bound_by=_bound_by(program, buffers, steps, plan))


def schedule(program: Program, kernels: Sequence[Kernel]) -> tuple[Program, tuple[Kernel, ...]]:
    """The program in the order of execution that needs the smallest arena, with its kernels in the same order.

    The program's own order is kept unless another is better by a byte or more.
    """
    kernels = tuple(kernels)
    order = least_peak(program, kernels)
    if order.ops == tuple(range(len(program.ops))):
        return program, kernels
    reordered = program.with_ops(tuple(program.ops[i] for i in order.ops))
    moved = tuple(kernels[i] for i in order.ops)
    if make_plan(reordered, moved).arena_bytes < make_plan(program, kernels).arena_bytes:
        return reordered, moved
    return program, kernels


def verify_plan(program: Program, kernels: Sequence[Kernel], plan: Plan) -> None:
    """Check that every buffer is inside the arena and that what is alive together overlaps only as its kernel allows.

    Raises:
        ProgramError: with the names and byte ranges of the two buffers.
    """
    verify_layout(program, kernels, plan.offsets, plan.scratch, plan.arena_bytes)


def _pack(program: Program, kernels: Sequence[Kernel], buffers: Sequence[Buffer], bound: int) -> Packing:
    indices = range(len(buffers))
    orders = [
        sorted(indices, key=lambda i: (-buffers[i].nbytes, buffers[i].start, i)),
        sorted(indices, key=lambda i: (-buffers[i].nbytes, -buffers[i].end, i)),
        sorted(indices, key=lambda i: (-buffers[i].end, i)),
        sorted(indices, key=lambda i: (buffers[i].start - buffers[i].end, -buffers[i].nbytes, i)),
    ]
    conflicts = make_conflicts(program, kernels, buffers)
    return pack([b.nbytes for b in buffers], [b.alignment for b in buffers], conflicts, bound, orders)


def _bound_by(program: Program, buffers: Sequence[Buffer], steps: Sequence[int], plan: Plan) -> str:
    step = max(range(len(steps)), key=lambda i: steps[i]) - 1
    where = (
        "the inputs" if step < 0 else "the outputs" if step >= len(program.ops) else f"{program.ops[step].opcode} {program.ops[step].name}"
    )
    alive = sorted((b for b in buffers if b.start <= step <= b.end), key=lambda b: (-b.nbytes, b.start))
    parts = [f"{'scratch' if b.is_scratch else b.name} {b.nbytes}" for b in alive]
    text = f"{where}: {' + '.join(parts)}"
    needed = steps[step + 1]
    if needed < sum(b.nbytes for b in alive):
        text += f", overlapping to {needed}"
    if plan.arena_bytes > needed:
        proof = "no offsets need less" if plan.arena_bytes == plan.lower_bound else f"at least {plan.lower_bound} is proven"
        text += f"; the offsets of all steps together take {plan.arena_bytes} ({proof})"
    return text
