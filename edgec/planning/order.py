"""The order of execution with the least peak, by best-first search over the sets of operators already run.

What is alive between two steps depends only on which operators have run, so those sets are the states (Ahn et al., "Ordering
Chaos", MLSys 2020, do the same by dynamic programming), and the cost of a path is the largest `step_bound` on it. States
are expanded in order of (cost, most operators run first), so the first complete one is optimal; a chain has one state a step.
Beyond `state_limit` the search goes on in beams, level by level, and the result is good rather than proven.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

from edgec.emit.kernels import Kernel
from edgec.ir.core import Program
from edgec.ops import OPERATORS
from edgec.planning.bound import step_bound
from edgec.planning.buffers import allowed

STATE_LIMIT = 20000
BEAM = 256


@dataclass(frozen=True)
class Order:
    """Indices of the operators in order of execution, the peak over their steps, and whether no order has a smaller one."""

    ops: tuple[int, ...]
    peak: int
    proven: bool


class _Steps:
    """Costs of running one operator after a set of others; sets are bit masks of op indices."""

    def __init__(self, program: Program, kernels: Sequence[Kernel]) -> None:
        self.program = program
        maker = {t: i for i, op in enumerate(program.ops) for t in op.outputs}
        self.size = {t: tensor.nbytes for t, tensor in program.tensors.items()}
        self.scratch = [OPERATORS[op.opcode].scratch(op, k.symbol) for op, k in zip(program.ops, kernels, strict=True)]
        self.overlaps = [allowed(program, i, k) for i, k in enumerate(kernels)]
        self.needs = [sum(1 << i for i in {maker[t] for t in op.inputs if t in maker}) for op in program.ops]
        self.inputs = [p.tensor for p in program.inputs]
        self.kept = {p.tensor for p in program.outputs}
        self.readers = {t: 0 for t in program.tensors}
        for i, op in enumerate(program.ops):
            for t in op.inputs:
                self.readers[t] |= 1 << i
        self.count = len(program.ops)
        self._alive: dict[int, tuple[str, ...]] = {}

    def ready(self, done: int) -> list[int]:
        return [i for i in range(self.count) if not done >> i & 1 and self.needs[i] & ~done == 0]

    def alive(self, done: int) -> tuple[str, ...]:
        """Tensors that exist once the operators of `done` have run and that somebody still reads."""
        if done not in self._alive:
            made = self.inputs + [t for i, op in enumerate(self.program.ops) if done >> i & 1 for t in op.outputs]
            self._alive[done] = tuple(dict.fromkeys(t for t in made if t in self.kept or self.readers[t] & ~done))
        return self._alive[done]

    def cost(self, done: int, i: int) -> int:
        op, after = self.program.ops[i], done | 1 << i
        alive = self.alive(done)
        dying = {t for t in op.inputs if t not in self.kept and self.readers[t] & ~after == 0}
        overlaps = [o for o in self.overlaps[i] if o.tensor in dying]
        inputs = {o.tensor: self.size[o.tensor] for o in overlaps}
        others = [self.size[t] for t in alive if t not in inputs]
        if self.scratch[i]:
            others.append(self.scratch[i])
        others.extend(self.size[t] for t in op.outputs[1:])
        return step_bound(others, overlaps, inputs, self.size[op.outputs[0]])


def peak_of(program: Program, kernels: Sequence[Kernel], ops: Sequence[int]) -> int:
    """The largest step of an order, in bytes."""
    steps, done, peak = _Steps(program, kernels), 0, 0
    for i in ops:
        peak = max(peak, steps.cost(done, i))
        done |= 1 << i
    return peak


def least_peak(program: Program, kernels: Sequence[Kernel]) -> Order:
    """The order with the least peak; the program's own where none is better."""
    given = tuple(range(len(program.ops)))
    peak = peak_of(program, kernels, given)
    steps = _Steps(program, kernels)
    everything = (1 << steps.count) - 1
    if any(len(steps.ready((1 << i) - 1)) > 1 for i in range(steps.count)):
        found = _best_first(steps, everything, peak)
        if found is None:
            found = _beam(steps, everything)
        if found.peak < peak:
            return found
        return Order(given, peak, found.proven)
    return Order(given, peak, True)


def _path(parent: dict[int, tuple[int, int]], done: int) -> tuple[int, ...]:
    ops = []
    while done:
        done, i = parent[done]
        ops.append(i)
    return tuple(reversed(ops))


def _best_first(steps: _Steps, everything: int, peak: int) -> Order | None:
    """None where the state limit is reached. Paths that are no better than `peak` are not followed."""
    least = {0: 0}
    parent: dict[int, tuple[int, int]] = {}
    heap = [(0, 0, 0, 0)]  # cost, −operators run, tie in order of discovery, set
    closed: set[int] = set()
    discovered = 0
    while heap:
        cost, _, _, done = heapq.heappop(heap)
        if done in closed:
            continue
        closed.add(done)
        if done == everything:
            return Order(_path(parent, done), cost, True)
        if len(closed) > STATE_LIMIT:
            return None
        for i in steps.ready(done):
            after, total = done | 1 << i, max(cost, steps.cost(done, i))
            if total < peak and total < least.get(after, peak):
                least[after], parent[after] = total, (done, i)
                discovered += 1
                heapq.heappush(heap, (total, -after.bit_count(), discovered, after))
    return Order(tuple(range(steps.count)), peak, True)


def _beam(steps: _Steps, everything: int) -> Order:
    """Level by level, the BEAM states of least (peak so far, bytes alive)."""
    parent: dict[int, tuple[int, int]] = {}
    level = {0: 0}
    while everything not in level:
        following: dict[int, int] = {}
        for done, cost in level.items():
            for i in steps.ready(done):
                after, total = done | 1 << i, max(cost, steps.cost(done, i))
                if total < following.get(after, total + 1):
                    following[after], parent[after] = total, (done, i)
        ranked = sorted(following.items(), key=lambda s: (s[1], sum(steps.size[t] for t in steps.alive(s[0])), s[0]))
        level = dict(ranked[:BEAM])
    return Order(_path(parent, everything), level[everything], False)
