"""fold_channel_constants: Add, Sub, Mul, Div by a per-channel constant become part of a convolution or dense layer."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgec.graph.channel_affine import can_scale_input, channels_of, is_linear_layer, scale_input, scale_output
from edgec.graph.edit import bypass, can_bypass, constant, count, has_static_shape, is_op, shape_of, sole_consumer


def fold_channel_constants(model: ir.Model) -> ir.Model:
    """Folds x·a, x/a, x + d, x − d and d − x (a, d constant, one value a channel or one in all) into the layer before, else behind.

    Precondition: static shapes; fuse_matmul_add has run. Postcondition: no such node stands directly behind a Conv,
    ConvTranspose or Gemm that only it reads; float64 until the weights are stored.
    """
    folded = 0
    for node in list(model.graph):
        affine = _affine(node)
        if affine is None:
            continue
        source, scale, shift = affine
        before, after = source.producer(), sole_consumer(node.outputs[0])
        if is_linear_layer(before) and sole_consumer(source) is node and can_bypass(node, source):
            scale_output(before, scale, shift)
        elif after is not None and after.inputs[0] is node.outputs[0] and can_scale_input(after, shift):
            scale_input(after, scale, shift)
        else:
            continue
        bypass(node, source)
        folded += 1
    count(model, "channel_constants_folded", folded)
    return model


def _affine(node: ir.Node) -> tuple[ir.Value, np.ndarray, np.ndarray] | None:
    """(x, a, d) with node = a·x + d per channel, float64 [channels]; None if node is anything else."""
    if not is_op(node, "Add", "Sub", "Mul", "Div") or len(node.inputs) != 2:
        return None
    arrays = [constant(v) for v in node.inputs]
    known = 0 if arrays[0] is not None else 1
    if arrays[known] is None or arrays[1 - known] is not None:
        return None
    x = node.inputs[1 - known]
    if not has_static_shape(x) or len(shape_of(x)) < 2 or arrays[known].dtype not in (np.float32, np.float64):
        return None
    value = _per_channel(arrays[known].astype(np.float64), shape_of(x))
    if value is None:
        return None
    one, zero = np.ones(channels_of(x)), np.zeros(channels_of(x))
    if is_op(node, "Add"):
        return x, one, value
    if is_op(node, "Mul"):
        return x, value, zero
    if is_op(node, "Sub"):
        return (x, -one, value) if known == 0 else (x, one, -value)
    return None if known == 0 or not value.all() else (x, 1.0 / value, zero)


def _per_channel(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray | None:
    """array [channels] if it broadcasts to `shape` unchanged and varies along axis 1 only."""
    if array.ndim > len(shape):
        return None
    full = (1,) * (len(shape) - array.ndim) + array.shape
    if full[1] not in (1, shape[1]) or any(d != 1 for i, d in enumerate(full) if i != 1):
        return None
    return np.broadcast_to(array.reshape(-1), (shape[1],)).copy()
