"""prune: a float model and unlabelled samples in, a narrower model that answers as nearly the same as its budget allows out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx_ir as ir

from edgec.compress.pruning.allocation import Widths, measure_curves, search
from edgec.compress.pruning.candidate import Pruner
from edgec.compress.pruning.cost import Cost
from edgec.compress.pruning.groups import Group
from edgec.compress.pruning.reconstruct import Effort
from edgec.compress.pruning.samples import collect
from edgec.compress.splits import FIT, REPORT, SELECT
from edgec.errors import UsageError
from edgec.graph.macs import count_macs

Progress = Callable[[str, float], None]

MEASURED = 48
"""Networks reconstructed while widths are chosen: about 24 for the curves, the others in the search."""

REFINED = 500
"""Steps of 32 samples: 40 s for a network of 8 M MACs on one core."""

QUICK = Effort(ridge=1e-3, rounds=0)
FINAL = Effort(ridge=1e-4, rounds=8)


def prune(
    model: ir.Model,
    data: Any,
    *,
    macs: float | None = None,
    channels: Mapping[str, int] | None = None,
    granularity: int = 4,
    search_steps: int = MEASURED,
    refine_steps: int = REFINED,
    keep_select: bool = False,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[ir.Model, dict[str, Any]]:
    """Take channels out of a float model and solve the remaining weights anew.

    Args:
        model: static shapes, after `edgec.graph.optimize` (batch normalization folded); it is not changed.
        data: unlabelled samples as `edgec.data.Samples` takes them. Half of them fit, a quarter chooses, a quarter reports, by hash
            (or the held-out samples of an `edgec.Calibration` report); the final weights are fitted to the first two parts (but see keep_select).
        macs: fraction of the multiply-accumulates to keep, at most; widths are searched. Or
        channels: layer → number of output channels, by node or output name; layers tied to it (a residual sum) follow.
        granularity: channels that remain are a multiple of this wherever any go. Cortex-M kernels compute two output channels
            at a time and read four input channels a word: with 4 nothing is left over, and instructions fall nearly as the MACs do
        search_steps: networks reconstructed and measured while widths are searched; more is slower and rarely better.
        refine_steps: of gradient descent on all layers together after the closed form, kept if held-out samples say so; 0 for none.
        keep_select: leave the select part out of the final fit, so that it can judge the result beside others.

    Returns: a valid ONNX model with the same inputs and outputs, and a report: `macs`, `macs_kept`, `groups` (name, channels, kept),
        `protected` (name, why), `measured` (widths tried and their loss on the select part), `refined` (what came of it), and `loss`, `agreement` and `sqnr_db` on
        the report part. Loss is the Kullback-Leibler divergence from the float model in nats where the output is a softmax, else the
        squared error as a fraction of the variance.

    Raises:
        UsageError: macs out of range or out of reach (the least reachable figure is named), unknown or protected layers.
        DataError: bad samples, or too few.
    """
    tell = progress or (lambda step, done: None)
    if (macs is None) == (channels is None):
        raise UsageError(
            "say how much to prune",
            where="prune",
            why="either macs or channels is needed, and not both",
            fix="pass macs=0.66, the fraction to keep",
        )
    if macs is not None and not (isinstance(macs, (int, float)) and 0 < macs <= 1):
        raise UsageError(
            f"macs={macs!r} is not a fraction",
            where="prune, macs",
            why="it is the part of the MACs to keep: above 0, at most 1",
            fix="pass for example 0.66",
        )
    if not isinstance(granularity, int) or granularity < 1:
        raise UsageError(
            f"granularity={granularity!r}", where="prune, granularity", why="it is a number of channels, at least 1", fix="pass 2 or 4"
        )
    parts = collect(model, data)
    tell("prune: rank channels", 0.0)
    pruner = Pruner(model, parts, granularity, seed)
    cost = Cost(model, pruner.channels, pruner.groups)
    measured: list[tuple[Widths, float]] = []
    if channels is not None:
        widths = _asked(pruner.groups, pruner.protected, channels)
    elif (budget := int(macs * cost(cost.full))) >= cost(cost.full):
        widths = tuple(cost.full)
    else:
        if cost.least() > budget:
            raise UsageError(
                f"macs={macs} is out of reach",
                where="prune, macs",
                why=f"with {granularity} channels left in every group {cost.least() / cost(cost.full):.4f} of the MACs remain; "
                f"{len(pruner.protected)} groups are protected{''.join(f'; {n}: {why}' for n, why in pruner.protected[:3])}",
                fix=f"ask for at least {np.ceil(1e4 * cost.least() / cost(cost.full)) / 1e4}, or a smaller granularity",
            )
        done = 0

        def measure(w: Widths) -> float:
            nonlocal done
            done += 1
            tell("prune: search widths", min(done / search_steps, 1.0))
            return pruner.quick(w, QUICK)

        points = int(np.clip(24 // max(len(pruner.groups), 1), 2, 4))
        curves = measure_curves(cost, budget, measure, points)
        widths, measured = search(cost, budget, curves, measure, max(search_steps - done, 1))
    tell("prune: reconstruct", 0.0)
    result, refined = pruner.final(widths, FINAL, refine_steps, not keep_select, lambda part: tell("prune: refine", part))
    report = {
        "macs_before": cost(cost.full),
        "macs": count_macs(result),
        "macs_kept": round(count_macs(result) / cost(cost.full), 4),
        "granularity": granularity,
        "samples": {"given": parts.total, FIT: parts.count(FIT), SELECT: parts.count(SELECT), REPORT: parts.count(REPORT)},
        "degraded": parts.degraded,
        "groups": [{"name": g.name, "channels": g.space.size, "kept": w} for g, w in zip(pruner.groups, widths, strict=True)],
        "protected": [{"name": name, "why": why} for name, why in pruner.protected],
        "measured": [{"widths": list(w), "macs": cost(w), "loss": round(loss, 5)} for w, loss in measured],
        "refined": refined,
        **pruner.judge(result),
    }
    return result, report


def _asked(groups: list[Group], protected: list[tuple[str, str]], channels: Mapping[str, int]) -> Widths:
    """The widths the user asks for by layer."""
    widths = [g.space.size for g in groups]
    for name, width in channels.items():
        i = next((i for i, g in enumerate(groups) if any(name in (n.name, n.outputs[0].name) for n in g.space.producers)), None)
        if i is None:
            why = next((f"its channels cannot go: {why}" for n, why in protected if name in n.split(" + ")), None)
            known = ", ".join(n.name or n.outputs[0].name for g in groups for n in g.space.producers)
            raise UsageError(
                f"cannot prune layer {name!r}",
                where="prune, channels",
                why=why or "there is no such layer",
                fix=f"the layers that can be pruned are {known}",
            )
        if not isinstance(width, int) or not 1 <= width <= groups[i].space.size:
            raise UsageError(
                f"{width!r} channels for layer {name!r}",
                where="prune, channels",
                why=f"it has {groups[i].space.size}",
                fix="pass a number from 1 to that",
            )
        widths[i] = min(width, widths[i])
    return tuple(widths)
