"""decompose_reductions: norms and logarithms of sums become the sums, maxima and functions that they are.

ReduceL1, L2, SumSquare, LogSum and LogSumExp; LogSoftmax; LpPool with p = 1 and GlobalLpPool (as averages). The functions of
single values among them then join their neighbours in one table (`edgec.ops.pointwise`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from edgec.graph.edit import add_constant, bypass, constant, count, insert, integer, ints, is_op, shape_of, string


def decompose_reductions(model: ir.Model) -> ir.Model:
    """Precondition: static shapes. Postcondition: none of these operators is left, but those with computed axes and those
    poolings whose padding AveragePool counts differently (ceil_mode, dilations)."""
    rewrites = {
        "ReduceL1": _reduce, "ReduceL2": _reduce, "ReduceSumSquare": _reduce, "ReduceLogSum": _reduce, "ReduceLogSumExp": _reduce,
        "LogSoftmax": _log_softmax, "LpPool": _lp_pool, "GlobalLpPool": _lp_pool,
    }  # fmt: skip
    done = 0
    for node in list(model.graph):
        rewrite = rewrites.get(node.op_type)
        result = rewrite(_Writer(model, node), node) if rewrite is not None and is_op(node, *rewrites) else None
        if result is not None:
            bypass(node, result)
            done += 1
    count(model, "reductions_decomposed", done)
    return model


class _Writer:
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

    def power(self, x: ir.Value, p: int) -> ir.Value:
        if p == 1:
            return self.unary("Abs", x)
        return self.binary("Mul", x, x) if p == 2 else self.binary("Pow", self.unary("Abs", x), float(p))

    def root(self, x: ir.Value, p: int) -> ir.Value:
        return x if p == 1 else self.unary("Sqrt", x) if p == 2 else self.binary("Pow", x, 1.0 / p)


def _reduce(write: _Writer, node: ir.Node) -> ir.Value | None:
    x, rank = node.inputs[0], len(shape_of(node.inputs[0]))
    given = node.inputs[1] if len(node.inputs) > 1 else None
    known = ints(node, "axes", ()) if given is None else constant(given)
    if known is None:
        return None
    axes = sorted({int(a) % rank for a in np.asarray(known, np.int64).reshape(-1)})
    if not axes and not integer(node, "noop_with_empty_axes", 0):
        axes = list(range(rank))
    keep = integer(node, "keepdims", 1)
    kind = node.op_type.removeprefix("Reduce")
    if kind == "LogSumExp":  # around the greatest value, so that the sum lies between 1 and the number of terms
        greatest = write.reduced("ReduceMax", x, axes, 1)
        total = write.reduced("ReduceSum", write.unary("Exp", write.binary("Sub", x, greatest)), axes, keep)
        if not keep:
            greatest = write.reduced("ReduceMax", x, axes, 0)
        return write.binary("Add", write.unary("Log", total), greatest)
    term = {"L1": 1, "L2": 2, "SumSquare": 2}.get(kind)
    total = write.reduced("ReduceSum", x if term is None else write.power(x, term), axes, keep)
    return write.unary("Sqrt", total) if kind == "L2" else write.unary("Log", total) if kind == "LogSum" else total


def _log_softmax(write: _Writer, node: ir.Node) -> ir.Value | None:
    x = node.inputs[0]
    axes = [integer(node, "axis", -1) % len(shape_of(x))]
    below = write.binary("Sub", x, write.reduced("ReduceMax", x, axes, 1))
    return write.binary("Sub", below, write.unary("Log", write.reduced("ReduceSum", write.unary("Exp", below), axes, 1)))


def _lp_pool(write: _Writer, node: ir.Node) -> ir.Value | None:
    x, p = node.inputs[0], integer(node, "p", 2)
    shape = shape_of(node.outputs[0])
    if is_op(node, "GlobalLpPool"):
        taps = math.prod(shape_of(x)[2:])
        mean = insert(write.graph, node, "GlobalAveragePool", [write.power(x, p)], {}, shape)
    else:
        if p > 1 or integer(node, "ceil_mode", 0) or any(d != 1 for d in ints(node, "dilations", ())):
            return None
        kernel = ints(node, "kernel_shape", ())
        taps = math.prod(kernel)
        attributes: dict = {name: ints(node, name, ()) for name in ("kernel_shape", "strides", "pads") if name in node.attributes}
        attributes |= {"count_include_pad": 1, "auto_pad": string(node, "auto_pad", "NOTSET")}
        mean = insert(write.graph, node, "AveragePool", [write.power(x, p)], attributes, shape)
    return write.root(write.binary("Mul", mean, float(taps)), p)
