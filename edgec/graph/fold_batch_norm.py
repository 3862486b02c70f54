"""fold_batch_norm: BatchNormalization at inference becomes part of a convolution or dense layer, in float64."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgec.graph.channel_affine import can_scale_input, is_linear_layer, scale_input, scale_output
from edgec.graph.edit import add_constant, bypass, can_bypass, constant, count, integer, is_op, number, shape_of, sole_consumer


def fold_batch_norm(model: ir.Model) -> ir.Model:
    """Folds each inference BatchNormalization into the layer before it, else into the one behind it where that is exact.

    One that has no such neighbour becomes a 1×1 depthwise Conv (rank 4), which is the same numbers.

    Precondition: static shapes, constant statistics. Postcondition: no BatchNormalization of rank 2 beside a Gemm, or of
    rank 4, is left.
    """
    folded = 0
    for node in list(model.graph):
        if not is_op(node, "BatchNormalization") or any(o.uses() or o.is_graph_output() for o in node.outputs[1:]):
            continue
        if integer(node, "training_mode", 0):
            continue
        parameters = [constant(v) for v in node.inputs[1:5]]
        if any(p is None for p in parameters):
            continue
        gamma, beta, mean, variance = (p.astype(np.float64) for p in parameters)
        scale = gamma / np.sqrt(variance + number(node, "epsilon", 1e-5))
        folded += _fold(node, scale, beta - mean * scale)
    count(model, "batch_norms_folded", folded)
    return model


def _fold(node: ir.Node, scale: np.ndarray, shift: np.ndarray) -> int:
    source = node.inputs[0]
    before, after = source.producer(), sole_consumer(node.outputs[0])
    if is_linear_layer(before) and sole_consumer(source) is node and can_bypass(node, source):
        scale_output(before, scale, shift)
    elif after is not None and after.inputs[0] is node.outputs[0] and can_scale_input(after, shift):
        scale_input(after, scale, shift)
    elif len(shape_of(source)) == 4:
        _as_depthwise(node, scale, shift)
        return 1
    else:
        return 0
    bypass(node, source)
    return 1


def _as_depthwise(node: ir.Node, scale: np.ndarray, shift: np.ndarray) -> None:
    graph, old = node.graph, node.outputs[0]
    assert isinstance(graph, ir.Graph)
    weights = add_constant(graph, f"{old.name}.scale", scale.reshape(-1, 1, 1, 1))
    bias = add_constant(graph, f"{old.name}.shift", shift)
    conv = ir.node("Conv", [node.inputs[0], weights, bias], {"group": len(scale), "kernel_shape": [1, 1]}, name=node.name)
    result = conv.outputs[0]
    result.shape, result.type = old.shape, old.type
    graph.insert_after(node, conv)
    name = old.name
    old.replace_all_uses_with(result, replace_graph_outputs=True)
    graph.remove(node, safe=True)
    result.name = name
