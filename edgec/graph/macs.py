"""Multiply-accumulates of a float ONNX graph, for the report's figures before and after the passes."""

from __future__ import annotations

import math

import onnx_ir as ir

from edgec.graph.edit import has_static_shape, integer, is_op, shape_of


def count_macs(model: ir.Model) -> int:
    """MACs of one inference."""
    return sum(map(node_macs, model.graph))


def node_macs(node: ir.Node) -> int:
    """Of Conv, ConvTranspose, Gemm and MatMul; values without a static shape are not counted."""
    if not node.outputs or not all(has_static_shape(v) for v in (*node.inputs[:2], node.outputs[0])):
        return 0
    if is_op(node, "Conv"):
        return math.prod(shape_of(node.outputs[0])) * math.prod(shape_of(node.inputs[1])[1:])
    if is_op(node, "ConvTranspose"):
        return math.prod(shape_of(node.inputs[0])) * math.prod(shape_of(node.inputs[1])[1:])
    if is_op(node, "MatMul"):
        return math.prod(shape_of(node.outputs[0])) * shape_of(node.inputs[0])[-1]
    if is_op(node, "Gemm"):
        return math.prod(shape_of(node.outputs[0])) * shape_of(node.inputs[0])[0 if integer(node, "transA", 0) else 1]
    return 0
