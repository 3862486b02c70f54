"""The bytes a step needs whatever the offsets: what no plan of this order can be smaller than."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from edgec.emit.kernels import Kernel
from edgec.ir.core import Program
from edgec.planning.buffers import TENSOR_ALIGNMENT, Buffer, Overlap, allowed, round_up


def stacked(sizes: Iterable[int]) -> int:
    """Least height of a pile of disjoint buffers: each but the topmost is filled up to the next tensor's alignment."""
    total = slack = 0
    for size in sizes:
        filled = round_up(size, TENSOR_ALIGNMENT)
        total += filled
        slack = max(slack, filled - size)
    return total - slack


def joined(overlap: Overlap, input_bytes: int, output_bytes: int) -> int:
    """Bytes of the union of an input and the output that overlaps it as far as allowed."""
    best = max(input_bytes, output_bytes) if overlap.exact else input_bytes + output_bytes
    if overlap.distance is not None:
        best = min(best, max(output_bytes, input_bytes + max(round_up(overlap.distance, TENSOR_ALIGNMENT), 0)))
    if overlap.above is not None:
        best = min(best, max(input_bytes, output_bytes + max(round_up(overlap.above, TENSOR_ALIGNMENT), 0)))
    return best


def step_bound(others: Sequence[int], overlaps: Sequence[Overlap], inputs: dict[str, int], output: int) -> int:
    """Least bytes of one step.

    Args:
        others: sizes of everything alive at the step that takes part in no overlap.
        overlaps: what the output may do with inputs that die here; inputs: the sizes of those; output: its size.
    """
    best = stacked((*others, *inputs.values(), output))
    for overlap in overlaps:
        rest = [size for name, size in inputs.items() if name != overlap.tensor]
        best = min(best, stacked((*others, *rest, joined(overlap, inputs[overlap.tensor], output))))
    return best


def step_bounds(program: Program, kernels: Sequence[Kernel], buffers: Sequence[Buffer]) -> list[int]:
    """step_bound of every step from −1 (inputs written) to len(ops) (outputs read)."""
    bounds = []
    for step in range(-1, len(program.ops) + 1):
        alive = [b for b in buffers if b.start <= step <= b.end]
        overlaps: list[Overlap] = []
        if 0 <= step < len(program.ops):
            dying = {b.name for b in alive if not b.is_scratch and b.start < b.end == step}
            overlaps = [o for o in allowed(program, step, kernels[step]) if o.tensor in dying]
        if not overlaps:
            bounds.append(stacked(b.nbytes for b in alive))
            continue
        inputs = {b.name: b.nbytes for b in alive if not b.is_scratch and b.name in {o.tensor for o in overlaps}}
        output = overlaps[0].output
        others = [b.nbytes for b in alive if b.is_scratch or (b.name not in inputs and b.name != output)]
        bounds.append(step_bound(others, overlaps, inputs, program.tensors[output].nbytes))
    return bounds
