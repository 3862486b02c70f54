"""Functions of one value that a network writes as several nodes: x·Sigmoid(x), the Gelu by Erf, the HardSwish by Clip.

A region is a set of nodes that compute, element by element and with constants of one number, a function of one activation.
Nothing inside it is quantized, and the lowering makes one table of all of it. `edgec.compress.placement` asks which values stay
inside; `edgec.lower` asks what the function is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgec.ops.unary import ATTRIBUTED, FUNCTIONS, power, with_attributes

Constant = Callable[[ir.Value], np.ndarray | None]
Number = Callable[..., object]

BINARY: dict[str, tuple[Number, Number]] = {
    "Add": (lambda a, b: a + b,) * 2,
    "Sub": (lambda a, b: a - b,) * 2,
    "Mul": (lambda a, b: a * b,) * 2,
    "Div": (lambda a, b: a / b if b else math.copysign(math.inf, a) if a else math.nan, lambda a, b: a / b),
    "Min": (min, min),
    "Max": (max, max),
    "PRelu": (lambda x, slope: x if x >= 0 else slope * x,) * 2,
    "Pow": (lambda x, p: power(x, float(p)),) * 2,
}
"""ONNX type → the function of two numbers, on floats and on mpmath numbers."""

CLAMPED = (
    "Conv", "ConvTranspose", "Gemm", "MatMul", "Add", "Sub", "Mul", "AveragePool", "GlobalAveragePool", "ReduceMean",
    "BatchNormalization",
)  # fmt: skip
"""Operators whose Relu or Clip, if that alone reads them, is part of their output clamp: nothing is rounded in between."""


@dataclass(frozen=True)
class Region:
    """nodes compute output from source, in order; functions are theirs, as `_step` gives them."""

    source: ir.Value
    nodes: tuple[ir.Node, ...]

    def functions(self, constant: Constant) -> tuple[Callable[[float], float], Callable[[object], object]]:
        """The function of the whole region, on floats and on mpmath numbers."""
        steps = [(node, _step(node, constant)) for node in self.nodes]

        def evaluate(x, which: int):
            known: dict[ir.Value, object] = {}
            for node, (operands, functions) in steps:
                arguments = [o if not isinstance(o, ir.Value) else known.get(o, x) for o in operands]
                known[node.outputs[0]] = functions[which](*arguments)
            return known[self.nodes[-1].outputs[0]]

        return lambda x: evaluate(x, 0), lambda x: evaluate(x, 1)


@dataclass(frozen=True)
class Regions:
    """inside: values that only their region reads; ending: the last node of each region → the region."""

    inside: frozenset[ir.Value]
    ending: Mapping[ir.Node, Region]


def find_regions(graph: ir.Graph, constant: Constant) -> Regions:
    """The largest regions of a graph. Precondition: static shapes, nodes in topological order."""
    nodes = [(node, step[0]) for node in graph if (step := _step(node, constant)) is not None]
    outside: set[ir.Value] = {v for v in graph.outputs}
    while True:
        source: dict[ir.Value, ir.Value] = {}
        for node, operands in nodes:
            origins = {_origin(v, source, outside) for v in operands if isinstance(v, ir.Value)}
            if len(origins) == 1 and not _is_clamp(node, source):
                origin = origins.pop()
                if _shape(origin) == _shape(node.outputs[0]):
                    source[node.outputs[0]] = origin
        left = {v for v, origin in source.items() if v not in outside and not _read_within(v, origin, source)}
        if not left:
            break
        outside |= left
    inside = frozenset(v for v in source if v not in outside)
    ending = {}
    for node, _ in nodes:
        if node.outputs[0] in source and node.outputs[0] not in inside:
            ending[node] = Region(source[node.outputs[0]], _members(node, inside))
    return Regions(inside, ending)


def _step(node: ir.Node, constant: Constant):
    """(operands, functions) of a node that is a function of single values: each operand an ir.Value or a number; else None."""
    if node.domain not in ("", "ai.onnx") or len(node.outputs) != 1 or not node.inputs:
        return None
    kind = node.op_type
    if kind in FUNCTIONS or kind in ATTRIBUTED:
        operands: list = [node.inputs[0]]
        functions = FUNCTIONS[kind] if kind in FUNCTIONS else with_attributes(node)
    elif kind == "Relu":
        operands, functions = [node.inputs[0]], (lambda x: max(x, 0),) * 2
    elif kind == "Clip":
        bounds = [_scalar(v, constant) if v is not None else None for v in (*node.inputs[1:], None, None)[:2]]
        if any(b is None and v is not None for b, v in zip(bounds, node.inputs[1:], strict=False)):
            return None
        low, high = (-math.inf if bounds[0] is None else bounds[0]), (math.inf if bounds[1] is None else bounds[1])
        operands, functions = [node.inputs[0]], (lambda x: min(max(x, low), high),) * 2
    elif kind in BINARY and len(node.inputs) == 2:
        operands, functions = [_number_or_value(v, constant) for v in node.inputs], BINARY[kind]
        if kind in ("Pow", "PRelu") and isinstance(operands[1], ir.Value):
            return None
    else:
        return None
    values = [o for o in operands if isinstance(o, ir.Value)]
    if not values or any(o is None for o in operands) or any(constant(v) is not None for v in values):
        return None
    return operands, functions


def _number_or_value(value: ir.Value | None, constant: Constant):
    number = None if value is None else _scalar(value, constant)
    return value if number is None else number


def _scalar(value: ir.Value, constant: Constant) -> float | None:
    array = constant(value)
    return float(np.asarray(array).reshape(())) if array is not None and np.size(array) == 1 else None


def _origin(value: ir.Value, source: Mapping[ir.Value, ir.Value], outside: set[ir.Value]) -> ir.Value:
    """What a value is a function of: itself where it is quantized, and the quantized value behind a DequantizeLinear."""
    if value in source and value not in outside:
        return source[value]
    producer = value.producer()
    if producer is not None and producer.op_type == "DequantizeLinear" and producer.inputs[0] is not None:
        return producer.inputs[0]
    return value


def _is_clamp(node: ir.Node, source: Mapping[ir.Value, ir.Value]) -> bool:
    """Whether node is a Relu or Clip that goes into the output clamp of the operator before it."""
    if node.op_type not in ("Relu", "Clip"):
        return False
    before = node.inputs[0].producer()
    alone = len(list(node.inputs[0].uses())) == 1 and not node.inputs[0].is_graph_output()
    return before is not None and before.op_type in CLAMPED and before.outputs[0] not in source and alone


def _read_within(value: ir.Value, origin: ir.Value, source: Mapping[ir.Value, ir.Value]) -> bool:
    readers = [use.node for use in value.uses()]
    return bool(readers) and all(len(r.outputs) == 1 and source.get(r.outputs[0]) is origin for r in readers)


def _members(last: ir.Node, inside: frozenset[ir.Value]) -> tuple[ir.Node, ...]:
    """Nodes of the region that ends in `last`, in order."""
    found: list[ir.Node] = []

    def visit(node: ir.Node) -> None:
        for value in node.inputs:
            if value is not None and value in inside and (producer := value.producer()) is not None and producer not in found:
                visit(producer)
        if node not in found:
            found.append(node)

    visit(last)
    return tuple(found)


def _shape(value: ir.Value) -> tuple | None:
    return None if value.shape is None else tuple(value.shape)
