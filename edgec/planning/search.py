"""Offsets by branch and bound: exact where the node limit allows, with the proven gap reported where it does not.

The problem is packing of intervals over time (dynamic storage allocation, NP-hard) with one addition: a pair may be given
leave to overlap, which makes its gap smaller than a size or even negative. Each pair has to choose which of the two
lies below (or that both lie at the same offset); once all have chosen, the least offsets are longest paths. As in job-shop
scheduling (Carlier and Pinson 1989) a limit H on the height gives every buffer a window [low, high]; a choice that would
empty a window is excluded, its opposite is taken, and the windows shrink. Only pairs that the least offsets violate are
branched on, so that a leaf is reached as soon as the least offsets are a packing.

Nothing here depends on time or on hashing: the same problem gives the same offsets on every machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgec.planning.buffers import Conflict, round_up

WORK_LIMIT = 5_000_000
"""Pairs that the whole search may look at, about: a node costs time in proportion to the number of pairs."""

SMALL_GAP = 16
"""Bytes between the bounds that only an eighth of the nodes left is spent on."""

FIRST_RUN = 400
"""Nodes of the first of the runs of `fits`."""


@dataclass(frozen=True)
class Packing:
    """Offsets in order of the buffers, their height, and the height proven to be the least possible."""

    offsets: tuple[int, ...]
    height: int
    lower_bound: int


class _Windows:
    """Windows of all offsets under a height limit, with the arcs chosen so far; every change can be undone."""

    def __init__(self, sizes: Sequence[int], alignments: Sequence[int], conflicts: Sequence[Conflict], height: int) -> None:
        n = len(sizes)
        self.alignments, self.conflicts = alignments, conflicts
        self.low = [0] * n
        self.high = [(height - size) // a * a for size, a in zip(sizes, alignments, strict=True)]
        self.above: list[list[tuple[int, int]]] = [[] for _ in range(n)]  # i → (j, gap): x_j ≥ x_i + gap
        self.below: list[list[tuple[int, int]]] = [[] for _ in range(n)]
        self.of: list[list[int]] = [[] for _ in range(n)]
        for p, c in enumerate(conflicts):
            self.of[c.a].append(p)
            self.of[c.b].append(p)
        self.decided = [False] * len(conflicts)
        self.trail: list[tuple] = []
        self.queue: list[int] = []

    def undo(self, mark: int) -> None:
        self.queue.clear()
        trail = self.trail
        while len(trail) > mark:
            kind, i, old = trail.pop()
            if kind == 0:
                self.low[i] = old
            elif kind == 1:
                self.high[i] = old
            elif kind == 2:
                self.decided[i] = False
            else:
                self.above[i].pop()
                self.below[old].pop()

    def _raise(self, i: int, value: int) -> bool:
        a = self.alignments[i]
        value = -(-value // a) * a
        if value > self.low[i]:
            self.trail.append((0, i, self.low[i]))
            self.low[i] = value
            self.queue.append(i)
        return value <= self.high[i]

    def _lower(self, i: int, value: int) -> bool:
        value = value // self.alignments[i] * self.alignments[i]
        if value < self.high[i]:
            self.trail.append((1, i, self.high[i]))
            self.high[i] = value
            self.queue.append(i)
        return value >= self.low[i]

    def _arc(self, i: int, j: int, gap: int) -> bool:
        self.above[i].append((j, gap))
        self.below[j].append((i, gap))
        self.trail.append((3, i, j))
        return self._raise(j, self.low[i] + gap) and self._lower(i, self.high[j] - gap)

    def choose(self, p: int, way: int) -> bool:
        """Take way 0 (a below b), 1 (b below a) or 2 (same offset) for pair p. False where a window becomes empty."""
        c = self.conflicts[p]
        self.decided[p] = True
        self.trail.append((2, p, 0))
        if way == 0:
            return self._arc(c.a, c.b, c.gap_ab)
        if way == 1:
            return self._arc(c.b, c.a, c.gap_ba)
        return self._arc(c.a, c.b, 0) and self._arc(c.b, c.a, 0)

    def ways(self, p: int) -> list[int]:
        """The choices of pair p that leave windows, roomiest first."""
        c, low, high = self.conflicts[p], self.low, self.high
        rooms = [(high[c.b] - low[c.a] - c.gap_ab, 0), (high[c.a] - low[c.b] - c.gap_ba, 1)]
        if c.exact:
            rooms.append((min(high[c.a], high[c.b]) - max(low[c.a], low[c.b]), 2))
        return [way for room, way in sorted(rooms, key=lambda r: (-r[0], r[1])) if room >= 0]

    def propagate(self) -> bool:
        """Shrink windows until nothing changes. False where no packing is left."""
        low, high, conflicts, decided = self.low, self.high, self.conflicts, self.decided
        while self.queue:
            i = self.queue.pop()
            at, top = low[i], high[i]
            for j, gap in self.above[i]:
                if at + gap > low[j] and not self._raise(j, at + gap):
                    return False
            for j, gap in self.below[i]:
                if top - gap < high[j] and not self._lower(j, top - gap):
                    return False
            for p in self.of[i]:
                if decided[p]:
                    continue
                c = conflicts[p]
                first = low[c.a] + c.gap_ab <= high[c.b]
                second = low[c.b] + c.gap_ba <= high[c.a]
                if first and second:
                    continue
                if c.exact and max(low[c.a], low[c.b]) <= min(high[c.a], high[c.b]):
                    if first or second:
                        continue
                    if not self.choose(p, 2):
                        return False
                elif first:
                    if not self.choose(p, 0):
                        return False
                elif second:
                    if not self.choose(p, 1):
                        return False
                else:
                    return False
        return True

    def violated(self, weights: Sequence[int]) -> int | None:
        """The tightest and most troublesome pair that the least offsets break, or None where they are a packing."""
        low, high = self.low, self.high
        worst, found = None, None
        for p, c in enumerate(self.conflicts):
            if self.decided[p]:
                continue
            distance = low[c.b] - low[c.a]
            if distance >= c.gap_ab or -distance >= c.gap_ba or (c.exact and distance == 0):
                continue
            room = high[c.a] - low[c.a] + high[c.b] - low[c.b] - c.gap_ab - c.gap_ba
            key = ((max(room, 0) + 4) << 10) // weights[p]
            if worst is None or key < worst:
                worst, found = key, p
        return found


def fits(
    sizes: Sequence[int], alignments: Sequence[int], conflicts: Sequence[Conflict], height: int, node_limit: int
) -> tuple[tuple[int, ...] | None, bool, int]:
    """Whether everything fits below `height`: (offsets or None, whether that is certain, nodes used).

    Depth first with restarts: each run may take half as many nodes again as the one before, and a pair that led to
    a contradiction weighs more in the next (Boussemart et al. 2004), so that the search turns to the core of the difficulty.
    """
    windows = _Windows(sizes, alignments, conflicts, height)
    if any(high < 0 for high in windows.high):
        return None, True, 0
    windows.queue.extend(range(len(sizes)))
    if not windows.propagate():
        return None, True, 0
    weights = [1] * len(conflicts)
    root, used, run = len(windows.trail), 0, FIRST_RUN
    while True:
        offsets, certain, nodes = _dive(windows, weights, min(run, node_limit - used))
        used += nodes
        if offsets is not None or certain or used >= node_limit:
            return offsets, certain, used
        windows.undo(root)
        run += run // 2


def _dive(windows: _Windows, weights: list[int], node_limit: int) -> tuple[tuple[int, ...] | None, bool, int]:
    """One depth-first run from consistent windows."""
    stack: list[tuple[int, int, list[int]]] = []  # trail length, pair, ways left
    consistent, nodes = True, 0
    while True:
        if consistent:
            p = windows.violated(weights)
            if p is None:
                return tuple(windows.low), True, nodes
            stack.append((len(windows.trail), p, windows.ways(p)))
        while stack and not stack[-1][2]:
            stack.pop()
        if not stack:
            return None, True, nodes
        if nodes >= node_limit:
            return None, False, nodes
        mark, p, ways = stack[-1]
        windows.undo(mark)
        nodes += 1
        consistent = windows.choose(p, ways.pop(0)) and windows.propagate()
        if not consistent:
            weights[p] += 1


def height_of(offsets: Sequence[int], sizes: Sequence[int]) -> int:
    return max((o + n for o, n in zip(offsets, sizes, strict=True)), default=0)


def first_fit(sizes: Sequence[int], alignments: Sequence[int], conflicts: Sequence[Conflict], order: Sequence[int]) -> tuple[int, ...]:
    """Place buffers in `order`, each at its least offset that agrees with those placed before it."""
    near: list[list[tuple[int, int, int, bool]]] = [[] for _ in sizes]  # other, gap when I am above, gap when it is above
    for c in conflicts:
        near[c.a].append((c.b, c.gap_ba, c.gap_ab, c.exact))
        near[c.b].append((c.a, c.gap_ab, c.gap_ba, c.exact))
    offsets = [-1] * len(sizes)
    for i in order:
        placed = [(offsets[j], above, below, exact) for j, above, below, exact in near[i] if offsets[j] >= 0]
        candidates = {0}
        for at, above, _, exact in placed:
            candidates.add(round_up(max(at + above, 0), alignments[i]))
            if exact and at % alignments[i] == 0:
                candidates.add(at)
        for x in sorted(candidates):
            if all(x - at >= above or at - x >= below or (exact and x == at) for at, above, below, exact in placed):
                offsets[i] = x
                break
    return tuple(offsets)


def pack(
    sizes: Sequence[int],
    alignments: Sequence[int],
    conflicts: Sequence[Conflict],
    lower_bound: int,
    orders: Sequence[Sequence[int]],
    node_limit: int | None = None,
) -> Packing:
    """The packing of least height.

    Args:
        lower_bound: proven otherwise. orders: for first fit, which gives the first upper bound.
        node_limit: nodes of the whole search; where it is reached, the result may have a gap to its lower bound. Without
            it WORK_LIMIT decides, so that a plan takes a few seconds at most.
    """
    if not sizes:
        return Packing((), 0, 0)
    if node_limit is None:
        node_limit = WORK_LIMIT // max(len(conflicts), 1)
    best = min((first_fit(sizes, alignments, conflicts, order) for order in orders), key=lambda o: height_of(o, sizes))
    height = height_of(best, sizes)
    proven = reach = min(lower_bound, height)  # below `proven` nothing fits; below `reach` nothing was found
    probe, left = proven, node_limit
    while reach < height:
        # The lower bound itself is most often reached: half of all nodes are for that question. The last few bytes are
        # worth less: whether 3,905 bytes could be 3,902 can take longer to decide than all the rest.
        share = 8 if height - reach <= max(SMALL_GAP, height // 1024) else 2 if probe == proven else 4
        offsets, certain, nodes = fits(sizes, alignments, conflicts, probe, left // share)
        left -= nodes
        if offsets is not None:
            best, height = offsets, height_of(offsets, sizes)
        elif certain:
            proven = max(proven, probe + 1)
            reach = max(reach, proven)
        else:
            reach = probe + 1
        probe = (reach + height - 1) // 2
    return Packing(best, height, proven)
