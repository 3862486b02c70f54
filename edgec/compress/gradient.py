"""Gradients of a network's layers as ONNX nodes, so that ONNX Runtime computes them.

Reverse accumulation over the nodes of a graph; each rule below gives the gradients of one operator's inputs. The gradient of a
convolution's input is a ConvTranspose, that of its weights a convolution whose batch axis is the channels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import onnx_ir as ir

from edgec.compress.placement import group_count
from edgec.compress.segment import Copy
from edgec.graph.constant_propagation import clip_bounds
from edgec.graph.edit import integer, ints, is_op, number, pads_of, shape_of


class NoGradient(Exception):
    """An operator without a rule; the message says which."""


class Tape:
    """Nodes added to the copy of a graph's nodes. of: the copy of a value of the graph."""

    def __init__(self, copy: Copy) -> None:
        self.copy, self.nodes, self.initializers = copy, list(copy.nodes), list(copy.initializers)

    def of(self, value: ir.Value) -> ir.Value:
        return self.copy.copies[value]

    def add(self, op: str, *inputs: ir.Value | np.ndarray | None, outputs: int = 1, **attributes) -> ir.Value:
        values = [self.constant(v) if isinstance(v, np.ndarray) else v for v in inputs]
        names = [ir.Value(name=f"g{len(self.nodes)}_{i}", type=ir.TensorType(ir.DataType.FLOAT)) for i in range(outputs)]
        if op == "Shape":
            names[0].type = ir.TensorType(ir.DataType.INT64)
        node = ir.Node("", op, values, ir.convenience.convert_attributes(attributes), outputs=names)
        self.nodes.append(node)
        return node.outputs[0]

    def constant(self, array: np.ndarray) -> ir.Value:
        array = np.asarray(array, np.float32) if array.dtype.kind == "f" else np.asarray(array, np.int64)
        name = f"k{len(self.initializers)}"
        value = ir.Value(name=name, shape=ir.Shape(array.shape), type=ir.TensorType(ir.DataType(7 if array.dtype.kind == "i" else 1)))
        value.const_value = ir.Tensor(array, name=name)
        self.initializers.append(value)
        return value

    def where(self, low: float, x: ir.Value, high: float, dy: ir.Value) -> ir.Value:
        """dy where low < x < high, else 0."""
        for op, bound in (("Greater", low), ("Less", high)):
            if np.isfinite(bound):
                inside = self.add(op, x, np.array(bound))
                inside.type = ir.TensorType(ir.DataType.BOOL)
                dy = self.add("Where", inside, dy, np.zeros(1, np.float32))
        return dy


def backward(
    tape: Tape, nodes: Sequence[ir.Node], starts: Mapping[ir.Value, ir.Value], free: Iterable[ir.Value]
) -> dict[ir.Value, ir.Value]:
    """The gradient of each free constant, from the gradients `starts` of some of the nodes' values.

    Raises:
        NoGradient: an operator between a free constant and a start has no rule.
    """
    needed = set(free)
    for node in nodes:
        if any(v in needed for v in node.inputs):
            needed.update(node.outputs)
    gradient: dict[ir.Value, ir.Value] = dict(starts)
    for node in reversed(list(nodes)):
        y = node.outputs[0]
        if y not in gradient or not any(v in needed for v in node.inputs):
            continue
        rule = RULES.get(node.op_type) if is_op(node, node.op_type) and len(node.outputs) == 1 else None
        if rule is None:
            raise NoGradient(f"{node.op_type} {node.name} has no gradient here")
        wanted = {i for i, v in enumerate(node.inputs) if v in needed}
        for i, more in rule(tape, node, gradient[y], wanted).items():
            value = node.inputs[i]
            gradient[value] = tape.add("Add", gradient[value], more) if value in gradient else more
    return {v: gradient[v] for v in needed & set(free) if v in gradient}


Rule = Callable[[Tape, ir.Node, ir.Value, set[int]], dict[int, ir.Value]]


def _conv(tape: Tape, node: ir.Node, dy: ir.Value, wanted: set[int]) -> dict[int, ir.Value]:
    x, w = node.inputs[:2]
    kernel, size, out = shape_of(w)[2:], shape_of(x)[2:], shape_of(node.outputs[0])[2:]
    rank, groups = len(kernel), group_count(node)
    if groups > 1 and not groups == shape_of(x)[1] == shape_of(w)[0]:
        raise NoGradient(f"{node.op_type} {node.name} has {groups} groups")
    strides, dilations = ints(node, "strides", (1,) * rank), ints(node, "dilations", (1,) * rank)
    pads = pads_of(node, kernel, size)
    found = {}
    if 0 in wanted:
        reach = [(n - 1) * s + (k - 1) * d + 1 for n, s, k, d in zip(out, strides, kernel, dilations, strict=True)]
        extra = [n + pads[i] + pads[i + rank] - r for i, (n, r) in enumerate(zip(size, reach, strict=True))]
        found[0] = tape.add(
            "ConvTranspose", dy, tape.of(w), strides=strides, dilations=dilations, group=groups, pads=pads, output_padding=extra
        )
    if 1 in wanted:
        swap = (1, 0, *range(2, 2 + rank))
        a, b = (tape.add("Transpose", v, perm=swap) for v in (tape.of(x), dy))
        if groups > 1:  # one image whose channels are (channel, sample); a filter a channel
            a = tape.add("Reshape", a, np.array([1, -1, *size]))
        g = tape.add("Conv", a, b, strides=dilations, dilations=strides, pads=pads, group=groups)
        g = tape.add("Slice", g, np.zeros(rank, int), np.array(kernel), np.arange(2, 2 + rank))
        found[1] = tape.add("Transpose", g, perm=swap)
    if 2 in wanted:
        found[2] = tape.add("ReduceSum", dy, np.array([0, *range(2, 2 + rank)]), keepdims=0)
    return found


def _gemm(tape: Tape, node: ir.Node, dy: ir.Value, wanted: set[int]) -> dict[int, ir.Value]:
    if integer(node, "transA", 0) or not integer(node, "transB", 0) or number(node, "alpha", 1.0) != 1 or number(node, "beta", 1.0) != 1:
        raise NoGradient(f"Gemm {node.name} is scaled or transposed")
    found = {}
    if 0 in wanted:
        found[0] = tape.add("MatMul", dy, tape.of(node.inputs[1]))
    if 1 in wanted:
        found[1] = tape.add("MatMul", tape.add("Transpose", dy, perm=(1, 0)), tape.of(node.inputs[0]))
    if 2 in wanted:
        found[2] = tape.add("ReduceSum", dy, np.array([0]), keepdims=0)
    return found


def _clipped(tape: Tape, node: ir.Node, dy: ir.Value, wanted: set[int]) -> dict[int, ir.Value]:
    bounds = (0.0, np.inf) if is_op(node, "Relu") else clip_bounds(node)
    if bounds is None:
        raise NoGradient(f"Clip {node.name} has computed bounds")
    return {0: tape.where(bounds[0], tape.of(node.inputs[0]), bounds[1], dy)}


def _sigmoid(tape: Tape, node: ir.Node, dy: ir.Value, wanted: set[int]) -> dict[int, ir.Value]:
    y = tape.of(node.outputs[0])
    one = np.ones(1, np.float32)
    slope = tape.add("Sub", one, tape.add("Mul", y, y)) if is_op(node, "Tanh") else tape.add("Mul", y, tape.add("Sub", one, y))
    return {0: tape.add("Mul", dy, slope)}


def _sum(tape: Tape, node: ir.Node, dy: ir.Value, wanted: set[int]) -> dict[int, ir.Value]:
    _alike(node, wanted)
    return {i: tape.add("Neg", dy) if i == 1 and is_op(node, "Sub") else dy for i in wanted}


def _product(tape: Tape, node: ir.Node, dy: ir.Value, wanted: set[int]) -> dict[int, ir.Value]:
    _alike(node, wanted)
    if is_op(node, "Div"):
        if wanted != {0}:
            raise NoGradient(f"Div {node.name} has a computed divisor")
        return {0: tape.add("Div", dy, tape.of(node.inputs[1]))}
    return {i: tape.add("Mul", dy, tape.of(node.inputs[1 - i])) for i in wanted}


def _alike(node: ir.Node, wanted: set[int]) -> None:
    if any(shape_of(node.inputs[i]) != shape_of(node.outputs[0]) for i in wanted):
        raise NoGradient(f"{node.op_type} {node.name} broadcasts")


def _spread(tape: Tape, node: ir.Node, y: ir.Value, value: float) -> ir.Value:
    """Every entry of y, times value, at all positions of its window; windows do not overlap or their contributions add up."""
    channels = shape_of(node.inputs[0])[1]
    kernel, size, out = ints(node, "kernel_shape", ()), shape_of(node.inputs[0])[2:], shape_of(node.outputs[0])[2:]
    strides = ints(node, "strides", (1,) * len(kernel))
    extra = [n - ((o - 1) * s + k) for n, o, s, k in zip(size, out, strides, kernel, strict=True)]
    if (
        any(pads_of(node, kernel, size))
        or integer(node, "ceil_mode", 0)
        or any(d != 1 for d in ints(node, "dilations", (1,)))
        or min(extra) < 0
    ):
        raise NoGradient(f"{node.op_type} {node.name} is padded or dilated")
    filters = np.full((channels, 1, *kernel), value, np.float32)
    # no output_padding: what it allows ends at the stride, and a rest of the input may be longer
    spread = tape.add("ConvTranspose", y, filters, strides=strides, group=channels)
    rank = len(kernel)
    return tape.add("Pad", spread, np.array([0] * (4 + rank) + extra)) if any(extra) else spread


def _average(tape: Tape, node: ir.Node, dy: ir.Value, wanted: set[int]) -> dict[int, ir.Value]:
    if is_op(node, "GlobalAveragePool"):
        area = float(np.prod(shape_of(node.inputs[0])[2:]))
        shape = tape.add("Shape", tape.of(node.inputs[0]))
        return {0: tape.add("Expand", tape.add("Mul", dy, np.array([1 / area], np.float32)), shape)}
    return {0: _spread(tape, node, dy, 1.0 / float(np.prod(ints(node, "kernel_shape", ()))))}


def _largest(tape: Tape, node: ir.Node, dy: ir.Value, wanted: set[int]) -> dict[int, ir.Value]:
    if ints(node, "kernel_shape", ()) != ints(node, "strides", (1,) * len(ints(node, "kernel_shape", ()))):
        raise NoGradient(f"MaxPool {node.name} has overlapping windows")
    same = tape.add("Equal", tape.of(node.inputs[0]), _spread(tape, node, tape.of(node.outputs[0]), 1.0))
    same.type = ir.TensorType(ir.DataType.BOOL)
    return {0: tape.add("Where", same, _spread(tape, node, dy, 1.0), np.zeros(1, np.float32))}


def _reshaped(tape: Tape, node: ir.Node, dy: ir.Value, wanted: set[int]) -> dict[int, ir.Value]:
    return {0: tape.add("Reshape", dy, np.array([-1, *shape_of(node.inputs[0])[1:]]))}


def _transposed(tape: Tape, node: ir.Node, dy: ir.Value, wanted: set[int]) -> dict[int, ir.Value]:
    perm = ints(node, "perm", tuple(range(len(shape_of(node.inputs[0]))))[::-1])
    return {0: tape.add("Transpose", dy, perm=[int(i) for i in np.argsort(perm)])}


def _concatenated(tape: Tape, node: ir.Node, dy: ir.Value, wanted: set[int]) -> dict[int, ir.Value]:
    axis = integer(node, "axis", 0) % len(shape_of(node.outputs[0]))
    ends = np.cumsum([shape_of(v)[axis] for v in node.inputs])
    cut = lambda i: tape.add("Slice", dy, np.array([ends[i] - shape_of(node.inputs[i])[axis]]), ends[i : i + 1], np.array([axis]))  # noqa: E731
    return {i: cut(i) for i in wanted}


RULES: dict[str, Rule] = {
    "Conv": _conv, "Gemm": _gemm, "Relu": _clipped, "Clip": _clipped, "Sigmoid": _sigmoid, "Tanh": _sigmoid,
    "Add": _sum, "Sub": _sum, "Mul": _product, "Div": _product,
    "AveragePool": _average, "GlobalAveragePool": _average, "MaxPool": _largest,
    "Reshape": _reshaped, "Flatten": _reshaped, "Squeeze": _reshaped, "Unsqueeze": _reshaped,
    "Transpose": _transposed, "Concat": _concatenated,
}  # fmt: skip
"""By operator: the tape, the node, the gradient of its output, the inputs wanted → gradient by input."""
