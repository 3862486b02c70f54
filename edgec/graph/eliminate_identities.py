"""eliminate_identities: nodes that change no number at inference disappear."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import IdentityEliminationPass, LiftConstantsToInitializersPass, RemoveUnusedNodesPass

from edgec.graph.edit import bypass, can_bypass, constant, count, has_static_shape, ints, is_op, shape_of, sole_consumer


def eliminate_identities(model: ir.Model) -> ir.Model:
    """Removes Identity, inference Dropout, Cast to the same type, and shape operators that leave the shape as it is.

    Two Transposes or two Reshapes in a row become one, or none.

    Precondition: static shapes. Postcondition: constants are initializers; no node is a plain copy, except between a graph
    input and a graph output; nodes without a reader are gone.
    """
    model = LiftConstantsToInitializersPass()(model).model
    removed = 0
    for node in list(model.graph):
        source = _copied(node)
        if source is not None and can_bypass(node, source):
            bypass(node, source)
            removed += 1
            continue
        removed += _join_with_previous(node)
    model = IdentityEliminationPass()(model).model
    model = RemoveUnusedNodesPass()(model).model
    count(model, "identities_removed", removed)
    return model


def _copied(node: ir.Node) -> ir.Value | None:
    """The input that node's only used output equals, or None."""
    if len(node.outputs) == 0 or any(list(o.uses()) or o.is_graph_output() for o in node.outputs[1:]):
        return None
    source, result = (node.inputs[0] if node.inputs else None), node.outputs[0]
    if source is None:
        return None
    if is_op(node, "Identity"):
        return source
    if is_op(node, "Dropout"):
        mode = node.inputs[2] if len(node.inputs) > 2 else None
        training = constant(mode)
        return source if mode is None or (training is not None and not training.any()) else None
    if is_op(node, "Cast"):
        return source if source.dtype is not None and source.dtype == result.dtype else None
    if is_op(node, "Concat", "Sum", "Max", "Min", "Mean") and len(node.inputs) == 1:
        return source
    same = has_static_shape(source) and has_static_shape(result) and shape_of(source) == shape_of(result)
    if same and is_op(node, "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Expand", "Slice"):
        return source if not is_op(node, "Slice") or _forward_slice(node) else None
    if same and is_op(node, "Transpose"):
        rank = len(shape_of(source))
        return source if ints(node, "perm", tuple(reversed(range(rank)))) == tuple(range(rank)) else None
    if same and is_op(node, "Pad") and len(node.inputs) > 1:
        pads = constant(node.inputs[1])
        return source if pads is not None and not pads.any() else None
    return None


def _forward_slice(node: ir.Node) -> bool:
    """A Slice that keeps the shape copies its input unless a negative step turns an axis round."""
    steps = constant(node.inputs[4]) if len(node.inputs) > 4 and node.inputs[4] is not None else np.ones(1)
    return steps is not None and bool(np.all(steps > 0))


def _join_with_previous(node: ir.Node) -> int:
    """Transpose after Transpose, Reshape-like after Reshape-like: reads the first one's input instead. Returns nodes saved."""
    before = node.inputs[0].producer() if node.inputs and node.inputs[0] is not None else None
    if before is None or not before.inputs or before.inputs[0] is None or sole_consumer(before.outputs[0]) is not node:
        return 0
    if is_op(node, "Transpose") and is_op(before, "Transpose"):
        rank = len(shape_of(node.outputs[0]))
        reverse = tuple(reversed(range(rank)))
        first, second = ints(before, "perm", reverse), ints(node, "perm", reverse)
        perm = [first[p] for p in second]
        node.attributes["perm"] = ir.AttrInt64s("perm", perm)
    elif not (is_op(node, "Reshape") and is_op(before, "Reshape", "Flatten", "Squeeze", "Unsqueeze")):
        return 0
    elif 0 in constant_or_empty(node.inputs[1]) or not has_static_shape(node.outputs[0]):
        return 0  # a zero copies a dimension of the value it reads, which would now be another one
    node.replace_input_with(0, before.inputs[0])
    graph = node.graph
    assert isinstance(graph, ir.Graph)
    graph.remove(before, safe=True)
    source = _copied(node)
    if source is not None and can_bypass(node, source):
        bypass(node, source)
        return 2
    return 1


def constant_or_empty(value: ir.Value | None) -> list[int]:
    """Integers of a constant; a value not known at compile time reads as [0], which callers treat as unknown."""
    array = constant(value)
    return [0] if array is None else [int(v) for v in array.reshape(-1)]
