"""Search over pruning, weight bits and distillation for the best network within a budget: `edgec.compile(…, budget=…)`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from edgec.errors import FitError, UsageError
from edgec.search.budget import MEASURED, parse_budget
from edgec.search.candidate import Job, Narrowed, Point
from edgec.search.front import Front
from edgec.search.scores import FloatModel, Likeness, figures_on
from edgec.search.strategy import Search

if TYPE_CHECKING:
    from concurrent.futures import Executor

    import onnx_ir as ir

    from edgec.artifact import Artifact
    from edgec.search.scores import Evaluate

DEFAULT_AXES = ("weights", "macs")


def search(
    model: ir.Model,
    target: Any,
    data: Any,
    *,
    budget: Mapping[str, Any],
    passes: Sequence[Any] = (),
    max_drop: float = 0.01,
    evaluate: Evaluate | None = None,
    executor: Executor | None = None,
    distill: Mapping[str, Any] | None = None,
    prune: Mapping[str, Any] | None = None,
    quantize: Mapping[str, Any] | None = None,
    rounds: int = 2,
    compile_options: Mapping[str, Any] | None = None,
    progress: Callable[[str, float], None] | None = None,
) -> Artifact:
    """The best network within a budget, and the Pareto front on the way to it.

    Args:
        model: float, imported and optimized. data: samples; only their fit and select parts are used for choices.
        budget: limits of weights, flash, ram (bytes or "64K"), macs, instructions (numbers or "2.5M"); {} only draws the front.
        max_drop: how far the score may lie below the float model's.
        evaluate: score of something with run(x), higher being better, such as accuracy on labelled data of your own, which the
            search thereby uses for its choices. None takes the accuracy that the float model's probabilities promise on the select part
            (`scores.Likeness`), and of the points within the drop the one whose outputs are nearest to the float model's.
        executor: anything with submit(function, *args) as in concurrent.futures: a process pool, Dask's client.get_executor().
            Everything it is given can be pickled if `evaluate` and `data` can; data given as a path are read where they are used.
        distill: options of edgec.Distill for the two most promising points; None trains nothing.
        prune, quantize: options of edgec.Prune and edgec.Quantize.
        rounds: 1 tries a grid, each further one refines around its best.

    Returns: an Artifact with the attribute `front`, a `Front`.

    Raises:
        FitError: nothing keeps to budget and drop; its attribute `front` has what was tried.
        UsageError: a budget, max_drop or rounds that cannot be read.
    """
    import onnx_ir

    limits = parse_budget(budget)
    if not 0 <= max_drop or rounds < 1:
        raise UsageError(f"max_drop {max_drop}, rounds {rounds}", where="search", why="a drop is 0 or more, and there is at least one round", fix="use, for example, max_drop=0.01, rounds=2")
    report = progress or (lambda step, done: None)
    held = _Held(model, data)
    start = onnx_ir.to_proto(model).SerializeToString()
    exact = FloatModel(start)
    report("search, float model", 0.0)
    if passes:
        raise UsageError(
            "passes and budget exclude each other", where="passes, budget", why="the search chooses its own passes",
            fix="apply passes first: edgec.compile(edgec.Prune(…)(model), target, budget=…)",
        )  # fmt: skip
    judge = evaluate or Likeness(held.select, exact.run(held.select))
    job = Job(
        Narrowed(start), target, data, judge, any(k in limits for k in MEASURED), dict(compile_options or {}),
        dict(quantize or {}), dict(prune or {}), distill,
    )  # fmt: skip
    axes = tuple(limits) or DEFAULT_AXES
    made = partial(Front, limits=limits, float_score=float(judge(exact)), max_drop=max_drop, axes=axes)
    front = Search(job, lambda points: made(tuple(points)), executor, report).run(rounds)
    best = front.best
    if best is None:
        raise _nothing_fits(front)
    artifact = best.artifact()
    artifact.front = replace(front, evidence=held.evidence(exact, artifact))
    return artifact


class _Held:
    """The select and report parts of the data, as arrays by input name."""

    def __init__(self, model: ir.Model, data: Any) -> None:
        from edgec.compress.splits import REPORT, SELECT, Split
        from edgec.data import samples_of
        from edgec.graph.edit import shape_of

        self.shapes = {v.name: shape_of(v) for v in model.graph.inputs}
        split = Split(samples_of(data, self.shapes))
        self.degraded = split.degraded
        self.select, self.report = (self._arrays(split.part(name)) for name in (SELECT, REPORT))

    def _arrays(self, samples: Any) -> dict[str, np.ndarray]:
        batches = list(samples)
        return {name: np.concatenate([b[name].reshape(-1, *shape) for b in batches]).reshape(-1, *shape[1:]) for name, shape in self.shapes.items()}

    def evidence(self, exact: FloatModel, artifact: Artifact) -> dict[str, Any]:
        found = figures_on(self.report, exact.run(self.report), artifact)
        return found | ({"note": self.degraded} if self.degraded else {"note": "on samples that no choice has seen"})


def _nothing_fits(front: Front) -> FitError:
    made = [p for p in front.tried if not p.error]
    if not made:
        return FitError("no candidate could be compiled", where="search", why=front.tried[0].error, fix="compile without budget first")
    fitting = [p for p in made if front.fits(p)]
    allowed = front.float_score - front.max_drop
    limits = ", ".join(f"{k} {v:,}" for k, v in front.limits.items())
    if fitting:
        best = max(fitting, key=lambda p: p.score)
        why = f"the best that fits scores {best.score:.4g} ({best.candidate}); allowed is {allowed:.4g}, float has {front.float_score:.4g}"
        fix = "allow a larger max_drop or budget, or train what fits: distill={\"seconds\": 600} (pip install edgec[distill])"
    else:
        smallest = min(made, key=lambda p: sum(p.costs[k] / max(v, 1) for k, v in front.limits.items()))
        needs = ", ".join(f"{k} {smallest.costs[k]:,}" for k in front.limits)
        why, fix = f"the smallest that was tried needs {needs} ({smallest.candidate})", "give more, or start from a smaller network"
    failed = [p for p in front.tried if p.error]
    if failed:
        why += f"; {len(failed)} candidates failed, the first ({failed[0].candidate}) because: {failed[0].error.splitlines()[0]}"
    error = FitError("nothing keeps to budget and drop", where=f"budget: {limits}", why=why, fix=fix)
    error.front = front
    return error


__all__ = ["Front", "Point", "search"]
