"""Writing the QDQ model: QuantizeLinear and DequantizeLinear around a float graph, weights as integers."""

from __future__ import annotations

from collections.abc import Mapping

import ml_dtypes
import numpy as np
import onnx_ir as ir

from edgec.compress.placement import Placement
from edgec.compress.ranges import Quantization, from_bounds
from edgec.compress.weights import LayerWeights, bias_scale
from edgec.compress.wide import reads_wide
from edgec.graph.edit import add_constant, constant, drop_if_unused, is_op

OPERANDS = ("Add", "Sub", "Mul", "Div", "Concat", "PRelu", "MatMul", "Gemm", "Min", "Max", "Pow")
"""Operators whose constant float inputs are activations like any other, and so are quantized per tensor."""

INT4_OPSET, INT4_IR = 21, 10


def insert_qdq(
    model: ir.Model, placement: Placement, parameters: Mapping[ir.Value, Quantization], weights: Mapping[ir.Node, LayerWeights]
) -> None:
    """Turns model, in place, into a QDQ model.

    Weights become int8 (or INT4, which raises the opset to 21) initializers behind DequantizeLinear (axis of the output channels), biases int32 at the float32 product
    s_x·s_w; behind every value of the placement stand QuantizeLinear and DequantizeLinear with constants shared by its group.
    Graph inputs and outputs keep their names, shapes and float type.
    """
    graph = model.graph
    if any(layer.bits == 4 for layer in weights.values()) or any(q.bits == 16 for q in parameters.values()):
        _raise_opset(model)
    for node, layer in weights.items():
        _weights(graph, node, layer, parameters[node.inputs[0]])
    for node in list(graph):
        if node not in weights and is_op(node, *OPERANDS):
            _operands(graph, node)
    pairs, narrow = {}, {}
    for group in placement.all_groups():
        q = parameters[group.members[0]]
        name = group.members[0].name
        scale = add_constant(graph, f"{name}.scale", np.float32(q.scale).reshape(()))
        pairs[group] = (scale, add_constant(graph, f"{name}.zero_point", np.array(q.zero_point, f"int{q.bits}")))
        if q.narrow is not None:
            narrow_scale = add_constant(graph, f"{name}.narrow_scale", np.float32(q.narrow.scale).reshape(()))
            narrow[group] = (narrow_scale, add_constant(graph, f"{name}.narrow_zero_point", np.int8(q.narrow.zero_point).reshape(())))
    wide_readers = {n for n in graph if reads_wide(n, placement)} if narrow else set()
    for value, group in placement.groups.items():
        real = _around(graph, value, *pairs[group], value.name)
        others = [(n, i) for n, i in real.uses() if n not in wide_readers] if group in narrow else []
        if others:
            _around(graph, real, *narrow[group], f"{value.name}.narrow", others)


def _raise_opset(model: ir.Model) -> None:
    """At least the opset and IR version that INT4 and INT16 came with. The operators edgec keeps mean in it what they mean since opset 18:
    later versions of them take more types."""
    model.opset_imports[""] = max(model.opset_imports.get("", 0), INT4_OPSET)
    model.ir_version = max(model.ir_version or 0, INT4_IR)


def _around(graph: ir.Graph, value: ir.Value, scale: ir.Value, zero_point: ir.Value, name: str, readers=None) -> ir.Value:
    """Puts the pair between value and its readers (all where None, and the graph output); returns the dequantized value."""
    uses, is_output = list(value.uses()) if readers is None else readers, value.is_graph_output() and readers is None
    quantize = ir.node("QuantizeLinear", [value, scale, zero_point], name=f"{name}.quantize")
    dequantize = ir.node("DequantizeLinear", [quantize.outputs[0], scale, zero_point], name=f"{name}.dequantize")
    q, real = quantize.outputs[0], dequantize.outputs[0]
    q.shape = real.shape = value.shape
    q.type, real.type = ir.TensorType(zero_point.const_value.dtype), ir.TensorType(ir.DataType.FLOAT)
    q.name, real.name = f"{name}.quantized", f"{name}.dequantized"
    producer = value.producer()
    if producer is None:
        first = graph[0]
        graph.insert_before(first, [quantize, dequantize])
    else:
        graph.insert_after(producer, [quantize, dequantize])
    for node, index in uses:
        node.replace_input_with(index, real)
    if is_output and producer is not None:
        graph.outputs[list(graph.outputs).index(value)] = real
        value.name, real.name = f"{name}.float", name
    elif is_output:
        raise ValueError(f"graph output {name!r} is a graph input")
    return real


def _weights(graph: ir.Graph, node: ir.Node, layer: LayerWeights, x: Quantization) -> None:
    per_tensor = layer.scale.size != layer.q.shape[layer.axis]
    scale = layer.scale[:1].reshape(()) if per_tensor else layer.scale
    zero, q = np.zeros(scale.shape, np.int8), layer.q
    if layer.bits == 4:
        zero, q = zero.astype(ml_dtypes.int4), q.astype(ml_dtypes.int4)
    for index, array, array_scale, array_zero, axis in (
        (1, q, scale, zero, layer.axis),
        (2, layer.bias, bias_scale(x, layer.scale), np.zeros(layer.scale.shape, np.int32), 0),
    ):
        old = node.inputs[index]
        name = old.name
        parts = {"quantized": array, "scale": array_scale, "zero_point": array_zero}
        inputs = [add_constant(graph, f"{name}.{part}", data) for part, data in parts.items()]
        _dequantized(graph, node, index, inputs, {} if array_scale.ndim == 0 else {"axis": axis})


def _operands(graph: ir.Graph, node: ir.Node) -> None:
    for index, value in enumerate(node.inputs):
        array = constant(value)
        if array is None or array.dtype != np.float32 or array.size == 1:  # one number goes into a table, as it is
            continue
        q = from_bounds(float(array.min(initial=0.0)), float(array.max(initial=0.0)))
        integers = np.clip(np.rint(array / np.float32(q.scale)) + q.zero_point, -128, 127).astype(np.int8)
        inputs = [
            add_constant(graph, f"{value.name}.quantized", integers),
            add_constant(graph, f"{value.name}.scale", np.float32(q.scale).reshape(())),
            add_constant(graph, f"{value.name}.zero_point", np.int8(q.zero_point).reshape(())),
        ]
        _dequantized(graph, node, index, inputs, {})


def _dequantized(graph: ir.Graph, node: ir.Node, index: int, inputs: list[ir.Value], attributes: dict[str, int]) -> None:
    old = node.inputs[index]
    dequantize = ir.node("DequantizeLinear", inputs, attributes, name=f"{inputs[0].name}.dequantize")
    real = dequantize.outputs[0]
    real.name, real.shape, real.type = f"{inputs[0].name}.dequantized", inputs[0].shape, ir.TensorType(ir.DataType.FLOAT)
    graph.insert_before(node, dequantize)
    node.replace_input_with(index, real)
    drop_if_unused(graph, old)
