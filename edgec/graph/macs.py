"""Multiply-accumulates of a float ONNX graph, for the report's figures before and after the passes."""

from __future__ import annotations

import math

import onnx_ir as ir

from edgec.graph.edit import has_static_shape, integer, is_op, shape_of


def count_macs(model: ir.Model) -> int:
    """MACs of one inference: Conv, ConvTranspose, Gemm and MatMul; values without a static shape are not counted."""
    total = 0
    for node in model.graph:
        if not node.outputs or not all(has_static_shape(v) for v in (*node.inputs[:2], node.outputs[0])):
            continue
        if is_op(node, "Conv"):
            total += math.prod(shape_of(node.outputs[0])) * math.prod(shape_of(node.inputs[1])[1:])
        elif is_op(node, "ConvTranspose"):
            total += math.prod(shape_of(node.inputs[0])) * math.prod(shape_of(node.inputs[1])[1:])
        elif is_op(node, "MatMul"):
            total += math.prod(shape_of(node.outputs[0])) * shape_of(node.inputs[0])[-1]
        elif is_op(node, "Gemm"):
            total += math.prod(shape_of(node.outputs[0])) * shape_of(node.inputs[0])[0 if integer(node, "transA", 0) else 1]
    return total
