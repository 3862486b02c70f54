"""Where a float graph is quantized: which values get a QuantizeLinear, which share one, which nodes have weights."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from edgec.graph.channel_affine import is_linear_layer
from edgec.graph.constant_propagation import clip_bounds
from edgec.graph.edit import constant, integer, is_op, shape_of, sole_consumer
from edgec.ops.pointwise import CLAMPED, find_regions

MOVES_VALUES = (
    "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Slice", "Gather", "Split", "Expand", "Identity", "MaxPool",
    "GlobalMaxPool", "Pad",
)  # fmt: skip
"""Operators that change no number: input and output share one scale and zero_point (Pad adds zeros, which are exact)."""


@dataclass(eq=False)
class Group:
    """Values that share one scale and zero_point. Ranges come from the members whose numbers are made, not moved."""

    members: list[ir.Value] = field(default_factory=list)
    observed: list[ir.Value] = field(default_factory=list)


@dataclass
class Placement:
    """groups: of each quantized activation; layers: nodes with weights, in order; fused: values that stay float;
    summed: those of them that are convolutions' outputs, added to a residual before they are rounded."""

    groups: dict[ir.Value, Group]
    layers: list[ir.Node]
    fused: set[ir.Value]
    summed: frozenset[ir.Value] = frozenset()

    def all_groups(self) -> list[Group]:
        return list(dict.fromkeys(self.groups.values()))


def place(graph: ir.Graph, summed: frozenset[ir.Value] = frozenset()) -> Placement:
    """Precondition: static shapes, nodes in topological order, dense layers in the form of fuse_matmul_add.

    summed: of `residual_sums`.
    """
    regions = find_regions(graph, constant)
    within = {v for region in regions.ending.values() for n in region.nodes for v in n.outputs}
    fused = {n.outputs[0] for n in graph if len(n.outputs) == 1 and n.outputs[0] not in within and activation_behind(n) is not None}
    fused |= regions.inside | summed
    made = [v for v in graph.inputs if _is_float(v)] + [o for n in graph for o in n.outputs if _is_float(o) and o not in fused]
    groups = {value: Group([value], [value]) for value in made if constant(value) is None}
    for node in graph:
        if is_op(node, *MOVES_VALUES) and node.inputs and node.inputs[0] in groups:
            for output in node.outputs:
                if output in groups:
                    groups[output].observed.clear()
                    _merge(groups, groups[node.inputs[0]], groups[output])
        elif is_op(node, "Resize", "Upsample") and node.inputs[0] in groups:
            # One scale too, but interpolation makes new numbers: an input's coarse lattice would not hold them.
            _merge(groups, groups[node.inputs[0]], groups[node.outputs[0]])
        elif is_op(node, "Concat") and all(v in groups and sole_consumer(v) is node and not v.is_graph_input() for v in node.inputs):
            groups[node.outputs[0]].observed.clear()
            for value in node.inputs:
                _merge(groups, groups[node.outputs[0]], groups[value])
    return Placement(groups, [n for n in graph if is_linear_layer(n)], fused, summed)


def residual_sums(graph: ir.Graph) -> list[ir.Value]:
    """Outputs of convolutions, but depthwise ones, that only an Add reads, of which one a sum can stay unquantized (`conv2d_add`).

    Of two convolutions added to each other it is the one with more multiply-accumulates, the later one if they are equal.
    """
    found, order = [], {n: i for i, n in enumerate(graph)}
    for node in graph:
        if not is_op(node, "Add"):
            continue
        operands = [v for v in node.inputs if is_op(v.producer(), "Conv") and sole_consumer(v) is node and not is_depthwise(v.producer())]
        if operands and all(constant(v) is None for v in node.inputs) and len({shape_of(v) for v in node.inputs}) == 1:
            found.append(max(operands, key=lambda v: (_window(v.producer()), order[v.producer()])))
    return found


def is_depthwise(node: ir.Node) -> bool:
    """A convolution whose output channels read one input channel each, several of them in all."""
    return is_op(node, "Conv") and 1 < group_count(node) == shape_of(node.inputs[0])[1]


def _window(conv: ir.Node) -> int:
    """Weights of an output channel: outputs of one shape have multiply-accumulates in this proportion."""
    return int(np.prod(shape_of(conv.inputs[1])[1:]))


def activation_behind(node: ir.Node) -> ir.Node | None:
    """The Relu or Clip that is part of node's output clamp, or None."""
    reader = sole_consumer(node.outputs[0])
    if not is_op(node, *CLAMPED) or reader is None or reader.inputs[0] is not node.outputs[0]:
        return None
    if is_op(reader, "Relu"):
        return reader
    return reader if is_op(reader, "Clip") and clip_bounds(reader) is not None else None


def fixed_bounds(value: ir.Value) -> tuple[float, float]:
    """Bounds that the operators themselves put on a value: (0, inf) behind Relu, and so on."""
    node = value.producer()
    if is_op(node, "Relu"):
        return 0.0, np.inf
    if is_op(node, "Clip"):
        return clip_bounds(node) or (-np.inf, np.inf)
    return -np.inf, np.inf


def group_count(node: ir.Node) -> int:
    """Groups of a linear layer (1 for Gemm)."""
    return 1 if is_op(node, "Gemm") else integer(node, "group", 1)


def _is_float(value: ir.Value) -> bool:
    return value.dtype in (None, ir.DataType.FLOAT)


def _merge(groups: dict[ir.Value, Group], into: Group, other: Group) -> None:
    if into is other:
        return
    into.members += other.members
    into.observed += [v for v in other.observed if v not in into.observed]
    for value in other.members:
        groups[value] = into
