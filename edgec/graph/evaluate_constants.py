"""evaluate_constants: nodes that read constants only become constants, whatever their size.

onnxscript's folding, which runs before, leaves out ConstantOfShape (light models keep their weights so) and large results.
"""

from __future__ import annotations

import warnings

import numpy as np
import onnx_ir as ir

from edgec.graph.edit import add_constant, bypass, constant

KEPT = ("QuantizeLinear", "DequantizeLinear", "Constant", "RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Bernoulli", "Multinomial")
"""Not evaluated: what carries quantization, and what is not a function of its inputs."""


def evaluate_constants(model: ir.Model) -> ir.Model:
    """In place. Precondition: constants are initializers. A node that cannot be evaluated stays, for whoever names unsupported ones.

    In a model without QuantizeLinear, weights stored behind DequantizeLinear are plain float weights.
    """
    opset = model.opset_imports.get("", 18)
    kept = KEPT if any(n.op_type == "QuantizeLinear" for n in model.graph) else KEPT[2:]
    for node in list(model.graph):
        if node.op_type in kept or node.domain not in ("", "ai.onnx") or not node.inputs or len(node.outputs) != 1 or node.outputs[0].is_graph_output():
            continue
        if any(a.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS) for a in node.attributes.values()):
            continue
        arrays = [None if v is None else constant(v) for v in node.inputs]
        if any(a is None and v is not None for a, v in zip(arrays, node.inputs, strict=True)):
            continue
        result = _dequantize(node, arrays) if node.op_type == "DequantizeLinear" else _evaluate(node, arrays, opset)
        if result is not None:
            bypass(node, add_constant(model.graph, f"{node.outputs[0].name}.value", result))
    return model


def _dequantize(node: ir.Node, arrays: list[np.ndarray | None]) -> np.ndarray:
    """float32 (q − zero_point) · scale; scale and zero_point for all, one a slice of an axis, or one a block of it."""
    values, scale, zero = (*arrays, None)[:3]
    assert values is not None and scale is not None
    zero = np.zeros(scale.shape) if zero is None else zero
    scale, zero = scale.astype(np.float32), zero.astype(np.float32)
    axis, block = node.attributes.get_int("axis", 1) % max(values.ndim, 1), node.attributes.get_int("block_size", 0)
    if block:
        take = np.minimum(np.arange(values.shape[axis]) // block, scale.shape[axis] - 1)
        scale, zero = np.take(scale, take, axis), np.take(zero, take, axis)
    elif scale.size > 1:
        shape = [1] * values.ndim
        shape[axis] = -1
        scale, zero = scale.reshape(shape), zero.reshape(shape)
    return ((values.astype(np.float32) - zero) * scale).astype(np.float32)


def _evaluate(node: ir.Node, arrays: list[np.ndarray | None], opset: int) -> np.ndarray | None:
    import onnx
    from onnx.reference import ReferenceEvaluator

    try:
        proto = ir.to_proto(node)
        names = [name for name in dict.fromkeys(proto.input) if name]
        inputs = [onnx.helper.make_tensor_value_info(n, onnx.TensorProto.UNDEFINED, None) for n in names]
        outputs = [onnx.helper.make_tensor_value_info(proto.output[0], onnx.TensorProto.UNDEFINED, None)]
        model = onnx.helper.make_model(onnx.helper.make_graph([proto], "node", inputs, outputs), opset_imports=[onnx.helper.make_opsetid("", opset)])
        feeds = {v.name: a for v, a in zip(node.inputs, arrays, strict=True) if v is not None}
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            result = ReferenceEvaluator(model).run(None, feeds)[0]
    except Exception:  # the evaluator has no type of its own for what it cannot do
        return None
    kind = node.outputs[0].dtype
    result = np.asarray(result)
    return result if kind is None or result.dtype == kind.numpy() else result.astype(kind.numpy())
