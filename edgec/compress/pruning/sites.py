"""Sites: the places of a network where weights can be solved anew against what the float network answers there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgec.compress.placement import group_count
from edgec.graph.channel_affine import is_linear_layer
from edgec.graph.constant_propagation import clip_bounds
from edgec.graph.edit import constant, is_op, shape_of, sole_consumer


@dataclass(frozen=True)
class Site:
    """A value that linear layers make, alone or in a sum, and the layers that are free to change for it.

    layers: indices of nodes in the graph; several where a sum adds them up (solved together, so that one makes up for another).
    node: index of the node that makes the value: the layer itself or the last Add. sums: the Adds between them, that one included.
    fixed: (node, input) of each operand of those Adds that no layer of the site makes. bounds: what is behind clips the value to them.
    """

    node: int
    layers: tuple[int, ...]
    sums: tuple[int, ...]
    fixed: tuple[tuple[int, int], ...]
    bounds: tuple[float, float]


def find_sites(graph: ir.Graph) -> list[Site]:
    """All sites in the order of execution: a layer whose output only a sum reads belongs to the sum's site."""
    nodes = list(graph)
    index = {n: i for i, n in enumerate(nodes)}
    layers: dict[int, list[int]] = {}
    sums: dict[int, set[int]] = {}
    for i, node in enumerate(nodes):
        if not is_linear_layer(node) or is_op(node, "ConvTranspose") or shape_of(node.outputs[0])[0] != 1:
            continue
        end, passed = node, set()
        while group_count(node) == 1 and _adds_alike(reader := sole_consumer(end.outputs[0])):
            end = reader
            passed.add(index[end])
        layers.setdefault(index[end], []).append(i)
        sums.setdefault(index[end], set()).update(passed)
    return [
        Site(end, tuple(layers[end]), tuple(sorted(sums[end])), _fixed(nodes, {*layers[end], *sums[end]}), _bounds(nodes[end].outputs[0]))
        for end in sorted(layers)
    ]


def _adds_alike(node: ir.Node | None) -> bool:
    """An Add of two computed values of one shape."""
    return is_op(node, "Add") and all(constant(v) is None and shape_of(v) == shape_of(node.outputs[0]) for v in node.inputs)


def _fixed(nodes: list[ir.Node], inside: set[int]) -> tuple[tuple[int, int], ...]:
    made = {o for i in inside for o in nodes[i].outputs}
    return tuple((i, k) for i in sorted(inside) if is_op(nodes[i], "Add") for k, v in enumerate(nodes[i].inputs) if v not in made)


def _bounds(value: ir.Value) -> tuple[float, float]:
    """What the only reader clips the value to."""
    reader = sole_consumer(value)
    if reader is None or reader.inputs[0] is not value:
        return -np.inf, np.inf
    if is_op(reader, "Relu"):
        return 0.0, np.inf
    return (clip_bounds(reader) if is_op(reader, "Clip") else None) or (-np.inf, np.inf)
