"""Where a quantized layer's integers lie in its QDQ model, and how new ones get there."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from edgec.compress.weights import grid_of
from edgec.graph.edit import integer, is_op
from edgec.lower import View
from edgec.ops.layout import physical_positions

BITS = {ir.DataType.INT8: 8, ir.DataType.UINT8: 8, ir.DataType.INT4: 4, ir.DataType.UINT4: 4}


class StoredLayer:
    """Weights and bias of one Conv, ConvTranspose, Gemm or MatMul of a QDQ model.

    limits: least and greatest integer around 0 that training may choose: those the quantizer would, and beyond them what is there already.
    trains_weights, trains_bias: False where the integers serve several nodes, have a zero_point of their own, or are not there.
    """

    def __init__(self, node: ir.Node, views: Mapping[ir.Value, View]) -> None:
        self.weights, self.zero_point, alone = _stored(node, 1)
        array = self.weights.const_value.numpy().astype(np.int32) - self.zero_point
        self.bits = BITS.get(self.weights.const_value.dtype, 8)
        low, high = grid_of(self.bits)
        self.limits = (min(low, int(array.min(initial=0))), max(high, int(array.max(initial=0))))
        self.trains_weights = alone and np.ndim(self.zero_point) == 0
        self.bias, zero, alone = _stored(node, 2)
        self.trains_bias = self.bias is not None and alone and not np.any(zero) and self.bias.const_value.dtype == ir.DataType.INT32
        self._dense, self._columns, self._turned = is_op(node, "Gemm", "MatMul"), None, False
        if self._dense:
            self._turned = not integer(node, "transB", 0)
            view = views[node.inputs[0]]
            if view.flattened is not None and view.shape[0] == 1 and len(view.shape) == 2:
                self._columns = physical_positions(view.flattened)

    def write(self, graph: ir.Graph, weights: np.ndarray, bias: np.ndarray) -> None:
        """weights: integers in torch's layout, which is ONNX's but for a dense layer's columns; bias: integers [out]."""
        if self.trains_weights:
            if self._dense:
                weights = weights.reshape(len(weights), -1)
            if self._columns is not None:
                straight = np.empty_like(weights)
                straight[:, self._columns] = weights
                weights = straight
            weights = weights.T if self._turned else weights
            _write(graph, self.weights, weights + self.zero_point)
        if self.trains_bias:
            _write(graph, self.bias, bias)


def _stored(node: ir.Node, index: int) -> tuple[ir.Value | None, np.ndarray, bool]:
    """The integer initializer behind an input, its zero_point (a scalar if they are equal), and whether nobody else reads it."""
    value = node.inputs[index] if len(node.inputs) > index else None
    dequantize = value.producer() if value is not None else None
    if not is_op(dequantize, "DequantizeLinear"):
        return None, np.zeros((), np.int32), False
    stored = dequantize.inputs[0]
    has_zero = len(dequantize.inputs) > 2 and dequantize.inputs[2] is not None
    zero = dequantize.inputs[2].const_value.numpy().astype(np.int32) if has_zero else np.zeros((), np.int32)
    if zero.size and np.all(zero == zero.reshape(-1)[0]):
        zero = zero.reshape(-1)[0]
    return stored, zero, len(list(stored.uses())) == 1 and len(list(value.uses())) == 1


def _write(graph: ir.Graph, stored: ir.Value, integers: np.ndarray) -> None:
    old = stored.const_value
    array = np.ascontiguousarray(integers).reshape(tuple(old.shape)).astype(old.dtype.numpy())
    graph.initializers[stored.name].const_value = ir.Tensor(array, dtype=old.dtype, name=stored.name)
