"""A QDQ model with its 8-bit weights rounded to 4: what a quantizer without any care would give, for tests and benches."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import onnx
from onnx import numpy_helper


def narrowed(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with int8 weights of Conv, Gemm and MatMul as INT4, nearest at the scale max|w|/7 of each channel; biases follow."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    graph = model.graph
    arrays = {t.name: t for t in graph.initializer}
    producers = {n.output[0]: n for n in graph.node}

    def stored(node: onnx.NodeProto, index: int) -> np.ndarray:
        return numpy_helper.to_array(arrays[node.input[index]])

    def replace(name: str, array: np.ndarray) -> None:
        arrays[name].CopyFrom(numpy_helper.from_array(array, name))

    for node in graph.node:
        if node.op_type not in ("Conv", "Gemm", "MatMul") or producers.get(node.input[1], node).op_type != "DequantizeLinear":
            continue
        weights = producers[node.input[1]]
        q = stored(weights, 0)
        if q.dtype != np.int8:
            continue
        scale = np.atleast_1d(stored(weights, 1))
        axis = next((a.i for a in weights.attribute if a.name == "axis"), 1) % q.ndim
        shape = [-1 if i == axis and scale.size > 1 else 1 for i in range(q.ndim)]
        largest = np.abs(q.astype(np.float32)).max(axis=tuple(i for i in range(q.ndim) if shape[i] == 1), keepdims=True)
        step = (np.maximum(largest, 1.0) / np.float32(7)).astype(np.float32)
        narrow = np.clip(np.rint(q / step), -7, 7).astype(ml_dtypes.int4)
        new = (scale * step.reshape(-1)).astype(np.float32).reshape(stored(weights, 1).shape)
        replace(weights.input[0], narrow)
        replace(weights.input[2], np.zeros(new.shape, ml_dtypes.int4))
        replace(weights.input[1], new)
        if len(node.input) > 2 and node.input[2] in producers:
            bias = producers[node.input[2]]
            old = stored(bias, 1).astype(np.float64)
            x = producers[node.input[0]]
            wanted = (stored(x, 1) * new).astype(np.float32)
            replace(bias.input[0], np.rint(stored(bias, 0) * old / wanted).astype(np.int32))
            replace(bias.input[1], np.broadcast_to(wanted, stored(bias, 1).shape).astype(np.float32))
    for described in [v for v in graph.value_info if v.name in arrays]:
        graph.value_info.remove(described)
    for entry in model.opset_import:
        if entry.domain in ("", "ai.onnx"):
            entry.version = max(entry.version, 21)
    model.ir_version = max(model.ir_version, 10)
    onnx.checker.check_model(model)
    return model
