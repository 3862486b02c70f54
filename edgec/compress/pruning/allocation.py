"""How wide every group should be under a budget of MACs: least loss at the outputs, measured on reconstructed networks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from edgec.compress.pruning.cost import Cost, Curve

Widths = tuple[int, ...]
Measure = Callable[[Widths], float]
"""The loss at the outputs of the network with these widths, reconstructed."""


def measure_curves(cost: Cost, budget: int, measure: Measure, points: int) -> list[Curve]:
    """The loss of each group shrinking alone, at `points` widths spread evenly over those the budget can call for."""
    curves = []
    for i, group in enumerate(cost.groups):
        useful = [w for w in group.widths if cost(_with(cost.full, i, w)) >= budget]
        useful += [w for w in group.widths if w < useful[-1]][:1]
        inner = useful[1:]
        chosen = sorted({inner[round(k * (len(inner) - 1) / max(points - 1, 1))] for k in range(points)}) if inner else []
        widths = [group.widths[0], *chosen]
        losses = [0.0, *(measure(_with(cost.full, i, w)) for w in chosen)]
        if widths[1:] and min(chosen) > group.widths[-1]:  # further than the budget needs alone: so bad that nobody goes there by mistake
            widths.append(group.widths[-1])
            losses.append(4 * max(losses))
        curves.append(Curve(widths, losses))
    return curves


def allocate(cost: Cost, budget: int, curves: Sequence[Curve], fixed: dict[int, int] | None = None) -> Widths | None:
    """Widths within the budget with the least sum of the curves that is found; fixed: widths that stand. None if there are none.

    Greedy by loss per MAC saved, then exchanges of one or two groups until none helps. The sum of single losses is not the loss of all
    together; `search` measures the best of them and what lies around.
    """
    fixed = fixed or {}
    widths = [fixed.get(i, g.widths[0]) for i, g in enumerate(cost.groups)]
    free = [i for i in range(len(widths)) if i not in fixed]
    while cost(widths) > budget:
        steps = []
        for i in free:
            now = cost(widths)
            for w in cost.groups[i].widths:
                if w < widths[i]:
                    saved = now - cost(_with(widths, i, w))
                    steps.append(((curves[i](w) - curves[i](widths[i])) / max(min(saved, now - budget), 1), i, w))
        if not steps:
            return None
        _, i, w = min(steps)
        widths[i] = w
    return _exchange(cost, budget, curves, widths, free)


def _exchange(cost: Cost, budget: int, curves: Sequence[Curve], widths: list[int], free: Sequence[int]) -> Widths:
    """Moves two groups at a time while the sum of the curves falls."""

    def total(w: Sequence[int]) -> float:
        return sum(curve(x) for curve, x in zip(curves, w, strict=True))

    best = total(widths)
    improved = True
    while improved:
        improved = False
        for i in free:
            for a in cost.groups[i].widths:
                one = _with(widths, i, a)
                within = cost(one) <= budget
                pairs = [one] if within else []
                for j in free:
                    if j == i:
                        continue
                    fitting = next((b for b in cost.groups[j].widths if cost(_with(one, j, b)) <= budget), None)  # the widest
                    if fitting is not None and (within or fitting != widths[j]):
                        pairs.append(_with(one, j, fitting))
                for candidate in pairs:
                    if total(candidate) < best - 1e-12:
                        best, widths, improved = total(candidate), list(candidate), True
    return tuple(widths)


def search(cost: Cost, budget: int, curves: Sequence[Curve], measure: Measure, tries: int) -> tuple[Widths, list[tuple[Widths, float]]]:
    """The allocation with the least measured loss among the best by the curves and their neighbours, and all that were measured.

    Neighbours of the best so far: one group a step wider or narrower than there, the others allocated anew.
    """
    start = allocate(cost, budget, curves)
    assert start is not None  # the caller has checked that the least widths are within the budget
    found = {start: measure(start)}
    best, tried = start, {start}
    while len(found) < tries:
        candidates = []
        for i, group in enumerate(cost.groups):
            at = group.widths.index(best[i])
            for k in (at - 1, at + 1):
                if 0 <= k < len(group.widths):
                    widths = allocate(cost, budget, curves, {i: group.widths[k]})
                    if widths is not None and widths not in tried:
                        candidates.append((sum(c(w) for c, w in zip(curves, widths, strict=True)), widths))
        if not candidates:
            break
        _, widths = min(candidates)
        tried.add(widths)
        found[widths] = measure(widths)
        if found[widths] < found[best]:
            best = widths
    return best, list(found.items())


def _with(widths: Sequence[int], i: int, width: int) -> Widths:
    return tuple(width if k == i else w for k, w in enumerate(widths))
