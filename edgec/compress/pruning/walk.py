"""A network run site by site over all samples, so that each site can be solved before what follows is computed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import onnx_ir as ir

from edgec.compress.pruning.sites import Site
from edgec.compress.segment import Arrays, Segment


def walk(
    model: ir.Model,
    sites: Sequence[Site],
    samples: Mapping[str, np.ndarray],
    before: Callable[[Site, Arrays], None],
    wanted: Iterable[ir.Value] = (),
    *,
    batched: bool,
) -> Arrays:
    """Run the model; `before` is called with each site, and the arrays computed so far, before its nodes run: it may change their weights.

    Args:
        samples: input name → float32 [samples, …].
        wanted: values to return for all samples.

    Activations live only from the segment that makes them to the last one that reads them.
    """
    nodes = list(model.graph)
    opset = model.opset_imports.get("", 18)
    wanted = list(wanted)
    plan = _plan(len(nodes), sites)
    reads = [{v for i in part for v in nodes[i].inputs if v is not None} for _, part in plan]
    arrays: Arrays = {v: samples[v.name] for v in model.graph.inputs}
    for step, (site, part) in enumerate(plan):
        if site is not None:
            before(site, arrays)
        later = set().union(*reads[step + 1 :], wanted)
        made = [o for i in part for o in nodes[i].outputs if o in later]
        if made:
            arrays |= Segment([nodes[i] for i in part], made, opset, batched=batched)(arrays)
        for value in [v for v in arrays if v not in later]:
            del arrays[value]
    return {v: arrays[v] for v in wanted}


def _plan(count: int, sites: Sequence[Site]) -> list[tuple[Site | None, list[int]]]:
    """(site or none at the start, nodes that run when it is solved), in order; together they are all nodes."""
    held = {i for site in sites for i in (*site.layers, *site.sums)}
    at = {site.node: site for site in sites}
    plan: list[tuple[Site | None, list[int]]] = [(None, [])]
    for i in range(count):
        if i in at:
            plan.append((at[i], sorted({*at[i].layers, *at[i].sums})))
        elif i not in held:
            plan[-1][1].append(i)
    return plan
