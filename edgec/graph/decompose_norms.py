"""decompose_norms: layer, RMS and instance normalization as a mean, a deviation, its length and a quotient; lengths written out become ReduceL2.

A variance in int8 has few steps where it is small, and a length √Σv² has as many as any other tensor: sqrt(mean(v²) + ε) is one
table of the length, whatever wrote it (two formulas of the variance, and the mean square of RMS normalization).
"""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from edgec.graph.decompose_reductions import Writer, reduced_axes
from edgec.graph.edit import bypass, constant, count, integer, is_op, number, shape_of


def decompose_norms(model: ir.Model) -> ir.Model:
    """Precondition: static shapes. Postcondition: none of the three normalizations, no Sqrt of a mean of squares."""
    done = 0
    for node in list(model.graph):
        if is_op(node, "LayerNormalization", "RMSNormalization", "InstanceNormalization"):
            _normalization(Writer(model, node), node)
        elif is_op(node, "Sqrt") and (found := _mean_of_squares(node.inputs[0])) is not None:
            v, axes, keep, epsilon, mean = found
            write = Writer(model, node)
            v = v if mean is None else write.binary("Sub", v, mean)
            bypass(node, _root(write, v, axes, keep, epsilon))
        else:
            continue
        done += 1
    count(model, "norms_decomposed", done)
    return model


def _root(write: Writer, v: ir.Value, axes: list[int], keep: int, epsilon: float) -> ir.Value:
    """sqrt(mean(v²) + ε) over axes: everything behind the length is a function of one value."""
    length = write.reduced("ReduceL2", v, axes, keep)
    mean = write.binary("Mul", write.binary("Mul", length, length), 1.0 / math.prod(shape_of(v)[a] for a in axes))
    return write.unary("Sqrt", write.binary("Add", mean, epsilon))


def _normalization(write: Writer, node: ir.Node) -> None:
    x, rank = node.inputs[0], len(shape_of(node.inputs[0]))
    of_channels = is_op(node, "InstanceNormalization")
    axes = list(range(2, rank)) if of_channels else list(range(integer(node, "axis", -1) % rank, rank))
    mean = None if is_op(node, "RMSNormalization") else write.reduced("ReduceMean", x, axes, 1)
    v = x if mean is None else write.binary("Sub", x, mean)
    root = _root(write, v, axes, 1, number(node, "epsilon", 1e-5))
    parameters = [p if p is None or not of_channels else write.reshaped(p, [-1, *[1] * (rank - 2)]) for p in (*node.inputs[1:], None)[:2]]
    y = write.binary("Mul", write.binary("Div", v, root), parameters[0])
    if parameters[1] is not None:
        y = write.binary("Add", y, parameters[1])
    results = [y, mean, write.unary("Reciprocal", root)]
    for old, new in zip(node.outputs, results, strict=False):
        if new is not None and (old.uses() or old.is_graph_output()):
            name = old.name
            old.replace_all_uses_with(new, replace_graph_outputs=True)
            if new.is_graph_output():
                old.name, new.name = None, name
    write.graph.remove(node, safe=True)


def _mean_of_squares(value: ir.Value) -> tuple[ir.Value, list[int], int, float, ir.Value | None] | None:
    """(v, axes, keepdims, ε, mean or None) where value is mean(v²) + ε, or mean(v²) − mean(v)² + ε; else None."""
    epsilon, node = 0.0, value.producer()
    if is_op(node, "Add"):
        known = [constant(v) for v in node.inputs]
        at = next((i for i, k in enumerate(known) if k is not None and np.size(k) == 1), None)
        if at is None:
            return None
        epsilon, node = float(np.asarray(known[at]).reshape(())), node.inputs[1 - at].producer()
    mean = None
    if is_op(node, "Sub"):
        mean = _squared(node.inputs[1])
        node = node.inputs[0].producer()
        if mean is None:
            return None
    if not is_op(node, "ReduceMean") or (v := _squared(node.inputs[0])) is None or not (axes := reduced_axes(node)):
        return None
    keep = integer(node, "keepdims", 1)
    if mean is not None:
        other = mean.producer()
        if not is_op(other, "ReduceMean") or other.inputs[0] is not v or reduced_axes(other) != axes or not keep or not integer(other, "keepdims", 1):
            return None
    return v, axes, keep, epsilon, mean


def _squared(value: ir.Value) -> ir.Value | None:
    """v where value is v·v or v²."""
    node = value.producer()
    if is_op(node, "Mul") and node.inputs[0] is node.inputs[1]:
        return node.inputs[0]
    if is_op(node, "Pow") and (power := constant(node.inputs[1])) is not None and np.size(power) == 1 and float(np.asarray(power).reshape(())) == 2.0:
        return node.inputs[0]
    return None
