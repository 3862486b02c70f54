"""Which candidates a search tries: a grid that the budget decides, then steps around the best of it.

Everything is decided from results alone, in rounds, so that the same search gives the same front with any executor.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import replace
from typing import Any

from edgec.progress import Progress
from edgec.search.candidate import Candidate, Job, Narrowed, Point, narrow, quantize
from edgec.search.front import Front

WIDTHS = (0.85, 0.7, 0.55)
"""Fractions of the MACs that the first round tries, scaled to a budget of MACs or instructions where there is one."""

LEAST_WIDTH = 0.15
CAREFUL = 2
DISTILLED = 2
"""Points that are trained at the end, the most promising first."""


class Inline:
    """An executor that works at once, in this process."""

    def submit(self, function: Callable[..., Any], *args: Any) -> Future:
        future: Future = Future()
        future.set_result(function(*args))
        return future


class Search:
    """Tries candidates round by round; `points` collects what came of them, in the order in which they were proposed."""

    def __init__(self, job: Job, front: Callable[[Sequence[Point]], Front], executor: Executor | None, progress: Progress) -> None:
        self.job, self.front, self.progress = job, front, progress
        self.executor: Any = executor or Inline()
        self.points: list[Point] = []
        self.seen: set[Any] = set()
        self.narrowed: dict[tuple[float, bool, bool], Any] = {}

    def run(self, rounds: int) -> Front:
        """All rounds; then the best of all are quantized with the whole ladder, a pruned one fitted to all samples that do not report, and
        the most promising trained, where the job has options for it."""
        self._try([Candidate()], "int8")
        if self.points[0].error:
            return self.front(self.points)
        self._try(first_round(self.points[0], self.front(()).limits), "grid")
        self._try(mixed_round(self.front(self.points)), "4 bits")
        for number in range(1, rounds):
            self._try(next_round(self.front(self.points)), f"refine {number}")
            self._try(mixed_round(self.front(self.points)), f"refine {number}, 4 bits")
        self._try(careful_round(self.front(self.points)), "whole ladder")
        self._try(refitted_round(self.front(self.points)), "refit")
        if self.job.distill is not None:
            self._try(distilled_round(self.front(self.points)), "distill")
        return self.front(self.points)

    def _try(self, candidates: Sequence[Candidate], step: str) -> None:
        tried = {p.candidate for p in self.points}
        new = list(dict.fromkeys(c for c in candidates if c not in tried))
        for c in new:
            self._start(c)
        futures: list[tuple[Candidate, Any]] = []
        for i, c in enumerate(new):
            self.progress(f"search, {step}: {c}", i / (2 * len(new)))
            model = self._model(c)
            if model.error:
                futures.append((c, Point(c, error=model.error)))
            elif self._is_new(c, model):
                futures.append((c, self.executor.submit(quantize, self.job, c, model)))
        for i, (c, made) in enumerate(futures):
            self.progress(f"search, {step}: {c}", 0.5 + i / (2 * len(new)))
            self.points.append(made if isinstance(made, Point) else made.result())

    def _is_new(self, c: Candidate, model: Narrowed) -> bool:
        """False where another fraction of the MACs gave the same network: channels go by fours."""
        key = (hashlib.sha256(model.model).digest(), replace(c, macs=0.0))
        new = key not in self.seen
        self.seen.add(key)
        return new

    def _start(self, c: Candidate) -> None:
        """Has the float model made that c is quantized from; waits only for the one before it."""
        key = (c.macs, c.distilled, c.refitted)
        if key not in self.narrowed:
            start = None if c.before is None else self._model(c.before)
            self.narrowed[key] = start if start is not None and start.error else self.executor.submit(narrow, self.job, c, start)

    def _model(self, c: Candidate) -> Narrowed:
        """The float model that c is quantized from, waited for."""
        self._start(c)
        made = self.narrowed[c.macs, c.distilled, c.refitted]
        return made if isinstance(made, Narrowed) else made.result()


def weight_limit(point: Point, limits: Mapping[str, int]) -> int | None:
    """Bytes of weights that keep weights and flash within limits, code and the rest of the artifact staying as they are."""
    found = [limits["weights"]] if "weights" in limits else []
    if "flash" in limits:
        found.append(limits["flash"] - (point.costs["flash"] - point.costs["weights"]))
    return min(found, default=None)


def work_limit(point: Point, limits: Mapping[str, int]) -> float:
    """Fraction of the point's MACs that keeps MACs and instructions within limits, instructions being proportional to MACs."""
    return min((limits[k] / max(point.costs[k], 1) for k in ("macs", "instructions") if k in limits), default=1.0)


def first_round(base: Point, limits: Mapping[str, int]) -> list[Candidate]:
    """The grid of widths, at 8 bits; without a budget of weights some at fewer bits too, for the front."""
    most = min(work_limit(base, limits), 1.0)
    widths = ([1.0] if most == 1.0 else [most]) + [w * most for w in WIDTHS]
    limit = weight_limit(base, limits)
    found = [Candidate(round(max(w, LEAST_WIDTH), 4)) for w in widths]
    if limit is None:
        found += [Candidate(c.macs, round(share * c.macs * base.costs["weights"])) for c in found[:2] for share in (0.75, 0.6)]
    return found


def mixed_round(front: Front) -> list[Candidate]:
    """Every 8-bit point whose weights are too large, with bits that fit; for the widest also half-way there, for the front."""
    made = [p for p in front.tried if not p.error and p.candidate.weights is None and not p.candidate.careful]
    over = [(p, limit) for p in made if (limit := weight_limit(p, front.limits)) is not None and p.costs["weights"] > limit]
    found = [Candidate(p.candidate.macs, limit) for p, limit in over if limit > 0]
    widest = max(over, key=lambda pair: pair[0].candidate.macs, default=None)
    return found + ([Candidate(widest[0].candidate.macs, (widest[1] + widest[0].costs["weights"]) // 2)] if widest else [])


def next_round(front: Front) -> list[Candidate]:
    """Between the best point and its neighbours in width; further down where nothing fits yet."""
    made = sorted((p for p in front.tried if not p.error), key=lambda p: p.candidate.macs)
    fitting = [p for p in made if front.fits(p)]
    if not fitting:
        smallest = made[0]
        scale = min([0.8, work_limit(smallest, front.limits)])
        macs = round(max(smallest.candidate.macs * scale, LEAST_WIDTH), 4)
        return [Candidate(macs)]
    best = max(fitting, key=lambda p: (p.merit, -p.costs[front.axes[0]]))
    widths = sorted({p.candidate.macs for p in made})
    at = widths.index(best.candidate.macs)
    around = [widths[i] for i in (at - 1, at + 1) if 0 <= i < len(widths)]
    between = [round((best.candidate.macs + w) / 2, 4) for w in around if abs(w - best.candidate.macs) > 0.04]
    return [Candidate(macs) for macs in between]


def careful_round(front: Front) -> list[Candidate]:
    """The best fitting points, to be quantized with the whole ladder."""
    return [replace(p.candidate, careful=True) for p in _best_fitting(front)[:CAREFUL]]


def refitted_round(front: Front) -> list[Candidate]:
    """The best fitting point, if it is pruned, fitted to the samples that have chosen it too."""
    return [replace(p.candidate, refitted=True) for p in _best_fitting(front)[:1] if p.candidate.macs < 1]


def distilled_round(front: Front) -> list[Candidate]:
    """The best fitting points, one of a width and a limit of bytes, trained."""
    found = dict.fromkeys(Candidate(p.candidate.macs, p.candidate.weights, True, True, p.candidate.macs < 1) for p in _best_fitting(front))
    return [c for c in found if c.macs < 1 or c.weights is not None][:DISTILLED]


def _best_fitting(front: Front) -> list[Point]:
    """Points within the budget: those within the drop first, each kind by merit."""
    return sorted((p for p in front.tried if not p.error and front.fits(p)), key=lambda p: (not front.near(p), -p.merit))
