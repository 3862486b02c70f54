"""qoperator_to_qdq: QLinear… operators (ONNX's own and ONNX Runtime's) rewritten as DequantizeLinear → operator → QuantizeLinear.

Precondition: none; it runs on a model as read. Postcondition: no QLinear operator is left, and operators that merely move 8-bit
values (MaxPool, Reshape, …) stand between DequantizeLinear and QuantizeLinear of one and the same scale. Models without
8-bit values are left as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgec.graph.edit import add_constant

MOVES = (
    "MaxPool", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Slice", "Split", "Gather", "Expand", "Identity", "Pad",
    "DepthToSpace", "SpaceToDepth", "Resize", "Concat", "Relu",
)  # fmt: skip


@dataclass(frozen=True)
class Form:
    """operands: (tensor, scale, zero_point) input numbers; result: (scale, zero_point); bias: input number of an int32 bias."""

    operator: str
    operands: tuple[tuple[int, int, int], ...]
    result: tuple[int, int]
    bias: int | None = None


_BINARY = ((0, 1, 2), (3, 4, 5))
_UNARY = ((0, 1, 2),)
FORMS = {
    "QLinearConv": Form("Conv", _BINARY, (6, 7), 8),
    "QLinearMatMul": Form("MatMul", _BINARY, (6, 7)),
    "QGemm": Form("Gemm", _BINARY, (7, 8), 6),
    "QLinearAdd": Form("Add", _BINARY, (6, 7)),
    "QLinearMul": Form("Mul", _BINARY, (6, 7)),
    "QLinearAveragePool": Form("AveragePool", _UNARY, (3, 4)),
    "QLinearGlobalAveragePool": Form("GlobalAveragePool", _UNARY, (3, 4)),
    "QLinearSigmoid": Form("Sigmoid", _UNARY, (3, 4)),
    "QLinearLeakyRelu": Form("LeakyRelu", _UNARY, (3, 4)),
    "QLinearSoftmax": Form("Softmax", _UNARY, (3, 4)),
}
OWN_ATTRIBUTES = ("channels_last", "opset")


def qoperator_to_qdq(model: ir.Model) -> ir.Model:
    """Rewrite in place; see the module."""
    graph = model.graph
    known: dict[ir.Value, tuple[ir.Value, ir.Value | None]] = {}
    for node in list(graph):
        if node.op_type in FORMS:
            form = FORMS[node.op_type]
            inputs = [_dequantize(graph, node, *(_input(node, i) for i in operand)) for operand in form.operands]
            if form.bias is not None and _input(node, form.bias) is not None:
                inputs.append(_bias(graph, node, form.bias))
            attributes = {k: v for k, v in node.attributes.items() if k not in OWN_ATTRIBUTES}
            _replace(graph, node, form.operator, inputs, attributes, _input(node, form.result[0]), _input(node, form.result[1]), known)
        elif node.op_type == "QLinearConcat":
            triples = [[_input(node, i + k) for k in range(3)] for i in range(2, len(node.inputs), 3)]
            inputs = [_dequantize(graph, node, *triple) for triple in triples]
            _replace(graph, node, "Concat", inputs, dict(node.attributes), _input(node, 0), _input(node, 1), known)
        elif node.op_type == "QuantizeLinear":
            known[node.outputs[0]] = (node.inputs[1], node.inputs[2] if len(node.inputs) > 2 else None)
        elif node.op_type in MOVES and node.inputs and node.inputs[0] in known:
            scale, zero = known[node.inputs[0]]
            count = len(node.inputs) if node.op_type == "Concat" else 1
            moved = [_dequantize(graph, node, v, scale, zero) if i < count else v for i, v in enumerate(node.inputs)]
            _replace(graph, node, node.op_type, moved, dict(node.attributes), scale, zero, known)
    return model


def _input(node: ir.Node, index: int) -> ir.Value | None:
    return node.inputs[index] if index < len(node.inputs) else None


def _dequantize(graph: ir.Graph, node: ir.Node, value: ir.Value | None, scale: ir.Value | None, zero: ir.Value | None) -> ir.Value:
    per_channel = scale is not None and scale.const_value is not None and scale.const_value.size > 1
    axis = 0 if node.op_type == "QLinearConv" or node.attributes.get_int("transB", 0) else 1
    inputs = [value, scale] + ([zero] if zero is not None else [])
    dequantize = ir.node("DequantizeLinear", inputs, {"axis": axis} if per_channel else {}, name=f"{node.name}.dequantize.{value.name if value else ''}")
    graph.insert_before(node, dequantize)
    return dequantize.outputs[0]


def _bias(graph: ir.Graph, node: ir.Node, index: int) -> ir.Value:
    scales = [node.inputs[i].const_value.numpy().astype(np.float32) for i in (1, 4)]
    scale = add_constant(graph, f"{node.name}.bias_scale", np.asarray(scales[0].reshape(()) * scales[1]))
    dequantize = ir.node("DequantizeLinear", [node.inputs[index], scale], {"axis": 0} if scale.const_value.size > 1 else {}, name=f"{node.name}.dequantize_bias")
    graph.insert_before(node, dequantize)
    return dequantize.outputs[0]


def _replace(graph, node, operator, inputs, attributes, scale, zero, known) -> None:
    """Put operator and QuantizeLinear in node's place; its outputs keep their names."""
    made = ir.node(operator, inputs, attributes, name=node.name, num_outputs=len(node.outputs))
    graph.insert_before(node, made)
    for old, new in zip(node.outputs, made.outputs, strict=True):
        quantize = ir.node("QuantizeLinear", [new, scale] + ([zero] if zero is not None else []), name=f"{node.name}.quantize")
        graph.insert_before(node, quantize)
        result = quantize.outputs[0]
        result.name, result.type, result.shape = old.name, old.type, old.shape
        old.replace_all_uses_with(result, replace_graph_outputs=True)
        known[result] = (scale, zero)
    graph.remove(node, safe=True)
