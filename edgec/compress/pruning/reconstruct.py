"""Closed-form reconstruction: the weights of a narrowed network solved anew, site by site, to answer what the float network answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgec.compress.placement import group_count
from edgec.compress.pruning.reference import Reference, judged_values
from edgec.compress.pruning.regression import fit
from edgec.compress.pruning.rows import patches_at, values_at
from edgec.compress.pruning.sites import Site
from edgec.compress.pruning.walk import walk
from edgec.compress.segment import Arrays
from edgec.graph.channel_affine import set_weights_and_bias, weights_and_bias
from edgec.graph.edit import shape_of


@dataclass(frozen=True)
class Effort:
    """ridge: see `regression.fit`; rounds: of it, for sites with a Relu or Clip behind."""

    ridge: float = 1e-4
    rounds: int = 10


def reconstruct(
    model: ir.Model,
    sites: Sequence[Site],
    kept: Sequence[np.ndarray],
    reference: Reference,
    effort: Effort,
    changed: set[ir.Value] | None = None,
) -> list[np.ndarray]:
    """Solve every site of model, in place and in order, each with what the layers before it really give. Returns the judged values.

    Args:
        kept: by site, which channels of the reference's value the model still has: bool [channels].
        changed: values that are narrower than in the reference; sites that depend on nothing changed keep their weights.
    """
    nodes = list(model.graph)
    changed = set(changed or ())
    numbers = {s.node: i for i, s in enumerate(sites)}
    moved: set[ir.Value] = set()  # values whose numbers differ from the reference's
    seen = 0

    def before(site: Site, arrays: Arrays) -> None:
        nonlocal seen
        for node in nodes[seen : site.node]:
            _spread(node, moved)
        seen = site.node
        layers = [nodes[i] for i in site.layers]
        fixed = [nodes[i].inputs[k] for i, k in site.fixed]
        if any(v in moved or v in changed for v in [layer.inputs[0] for layer in layers]) or any(v in moved for v in fixed):
            target = reference.targets[numbers[site.node]][:, kept[numbers[site.node]]]
            _solve(layers, fixed, target, site.bounds, arrays, reference, effort)
            moved.update(layer.outputs[0] for layer in layers)

    answers = walk(model, sites, reference.samples, before, [v for v, _ in judged_values(model.graph)], batched=reference.batched)
    return [answers[v] for v, _ in judged_values(model.graph)]


def _spread(node: ir.Node, moved: set[ir.Value]) -> None:
    if any(v in moved for v in node.inputs):
        moved.update(node.outputs)


def _solve(
    layers: list[ir.Node],
    fixed: list[ir.Value],
    target: np.ndarray,
    bounds: tuple[float, float],
    arrays: Arrays,
    reference: Reference,
    effort: Effort,
) -> None:
    """New weights for the layers, together, under which their sum and the fixed operands come nearest to target."""
    fitted, picks = reference.fitted, reference.picks
    shift = sum((values_at(arrays[v][:fitted], picks) for v in fixed), np.zeros((), np.float32))
    x = np.concatenate([patches_at(arrays[n.inputs[0]][:fitted], n, picks) for n in layers], axis=2)
    groups = group_count(layers[0])
    old = [weights_and_bias(n) for n in layers]
    start = np.concatenate([w.reshape(groups, len(w) // groups, -1) for w, _ in old], axis=2)
    t = target.reshape(len(target), groups, -1).transpose(1, 0, 2)
    s = np.broadcast_to(shift, target.shape).reshape(t.shape[1], groups, -1).transpose(1, 0, 2)
    found = fit(x, t, s, start, bounds, ridge=effort.ridge, rounds=effort.rounds)
    at = 0
    for n, (w, b) in zip(layers, old, strict=True):
        size = int(np.prod(w.shape[1:]))
        new = found.weights[:, :, at : at + size].reshape(w.shape)
        at += size
        rest = found.bias.reshape(-1) if n is layers[-1] else np.zeros_like(b)
        set_weights_and_bias(n, new, rest)


def kept_channels(sites: Sequence[Site], nodes: Sequence[ir.Node], mask: dict[ir.Value, np.ndarray]) -> list[np.ndarray]:
    """By site, bool [channels]: mask of its value, all True where it has none. nodes: of the network before narrowing."""
    values = [nodes[s.node].outputs[0] for s in sites]
    return [mask.get(v, np.ones(shape_of(v)[1], bool)) for v in values]
