"""decompose_reductions: logarithms of sums become the sums, maxima and functions that they are.

ReduceLogSum and LogSumExp; LogSoftmax. The functions of single values among them then join their neighbours in one table
(`edgec.ops.pointwise`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from edgec.graph.edit import add_constant, bypass, constant, count, insert, integer, ints, is_op, shape_of


def decompose_reductions(model: ir.Model) -> ir.Model:
    """Precondition: static shapes. Postcondition: none of these operators is left, but those with computed axes."""
    rewrites = {"ReduceLogSum": _reduce, "ReduceLogSumExp": _reduce, "LogSoftmax": _log_softmax}
    done = 0
    for node in list(model.graph):
        rewrite = rewrites.get(node.op_type)
        result = rewrite(Writer(model, node), node) if rewrite is not None and is_op(node, *rewrites) else None
        if result is not None:
            bypass(node, result)
            done += 1
    count(model, "reductions_decomposed", done)
    return model


class Writer:
    """Puts nodes before one node."""

    def __init__(self, model: ir.Model, node: ir.Node) -> None:
        self.graph, self.node = model.graph, node
        self.opset = model.opset_imports.get("", 18)

    def unary(self, kind: str, x: ir.Value) -> ir.Value:
        return insert(self.graph, self.node, kind, [x], {}, shape_of(x))

    def binary(self, kind: str, a: ir.Value, b: ir.Value | float) -> ir.Value:
        if not isinstance(b, ir.Value):
            b = add_constant(self.graph, f"{self.node.outputs[0].name}.{kind.lower()}", np.float32(b))
        return insert(self.graph, self.node, kind, [a, b], {}, np.broadcast_shapes(shape_of(a), shape_of(b)))

    def reduced(self, kind: str, x: ir.Value, axes: Sequence[int], keep: int) -> ir.Value:
        shape = [1 if a in axes else n for a, n in enumerate(shape_of(x)) if keep or a not in axes]
        if kind == "ReduceSum" or self.opset >= 18:
            values = add_constant(self.graph, f"{self.node.outputs[0].name}.axes", np.array(axes, np.int64))
            return insert(self.graph, self.node, kind, [x, values], {"keepdims": keep}, shape)
        return insert(self.graph, self.node, kind, [x], {"keepdims": keep, "axes": list(axes)}, shape)

    def reshaped(self, x: ir.Value, shape: Sequence[int]) -> ir.Value:
        """x in another shape; one dimension may be -1."""
        known = np.arange(np.prod(shape_of(x), dtype=int)).reshape(shape).shape
        if (array := constant(x)) is not None:
            return add_constant(self.graph, f"{x.name}.reshaped", array.reshape(known))
        values = add_constant(self.graph, f"{self.node.outputs[0].name}.shape", np.array(known, np.int64))
        return insert(self.graph, self.node, "Reshape", [x, values], {}, known)


def reduced_axes(node: ir.Node) -> list[int] | None:
    """The axes a reduction takes away; None where they are computed."""
    rank = len(shape_of(node.inputs[0]))
    given = node.inputs[1] if len(node.inputs) > 1 else None
    known = ints(node, "axes", ()) if given is None else constant(given)
    if known is None:
        return None
    axes = sorted({int(a) % rank for a in np.asarray(known, np.int64).reshape(-1)})
    if not axes and not integer(node, "noop_with_empty_axes", 0):
        axes = list(range(rank))
    return axes


def _reduce(write: Writer, node: ir.Node) -> ir.Value | None:
    x, axes, keep = node.inputs[0], reduced_axes(node), integer(node, "keepdims", 1)
    if axes is None:
        return None
    if not axes:
        return write.unary("Log" if is_op(node, "ReduceLogSum") else "Identity", x)
    if is_op(node, "ReduceLogSumExp"):  # around the greatest value, so that the sum lies between 1 and the number of terms
        greatest = write.reduced("ReduceMax", x, axes, 1)
        total = write.reduced("ReduceSum", write.unary("Exp", write.binary("Sub", x, greatest)), axes, keep)
        if not keep:
            greatest = write.reduced("ReduceMax", x, axes, 0)
        return write.binary("Add", write.unary("Log", total), greatest)
    return write.unary("Log", write.reduced("ReduceSum", x, axes, keep))


def _log_softmax(write: Writer, node: ir.Node) -> ir.Value | None:
    x = node.inputs[0]
    axes = [integer(node, "axis", -1) % len(shape_of(x))]
    below = write.binary("Sub", x, write.reduced("ReduceMax", x, axes, 1))
    return write.binary("Sub", below, write.unary("Log", write.reduced("ReduceSum", write.unary("Exp", below), axes, 1)))
