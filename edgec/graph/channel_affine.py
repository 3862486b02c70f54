"""Folding y = a·x + d per channel into a neighbouring convolution or dense layer, in float64.

Shared by the passes that fold batch normalization and constant Mul, Add, Sub and Div.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgec.graph.edit import constant, has_static_shape, integer, is_op, number, pads_of, set_constant_input, shape_of

FOLDABLE = ("Conv", "ConvTranspose", "Gemm")


def channels_of(value: ir.Value) -> int:
    """Size of axis 1, the channel axis of every value here."""
    return shape_of(value)[1]


def is_linear_layer(node: ir.Node | None) -> bool:
    """A Conv, ConvTranspose or Gemm(transB = 1) with constant weights and bias, that `weights_and_bias` can read."""
    if not is_op(node, *FOLDABLE) or len(node.inputs) < 2 or constant(node.inputs[1]) is None:
        return False
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    if not has_static_shape(node.outputs[0]) or not has_static_shape(node.inputs[0]):
        return False
    if bias is not None and (constant(bias) is None or constant(bias).shape != (channels_of(node.outputs[0]),)):
        return False
    if is_op(node, "Gemm"):
        plain = number(node, "alpha", 1.0) == 1.0 and number(node, "beta", 1.0) == 1.0 and not integer(node, "transA", 0)
        return plain and integer(node, "transB", 0) == 1
    return True


def weights_and_bias(node: ir.Node) -> tuple[np.ndarray, np.ndarray]:
    """Weights and bias of a linear layer as float64; a missing bias reads as zeros [out_channels]."""
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    weights = constant(node.inputs[1]).astype(np.float64)
    return weights, np.zeros(channels_of(node.outputs[0])) if bias is None else constant(bias).astype(np.float64)


def set_weights_and_bias(node: ir.Node, weights: np.ndarray, bias: np.ndarray) -> None:
    """Gives a linear layer new float32 weights and bias; initializers that other nodes read are left alone."""
    name = node.inputs[1].name
    bias_name = node.inputs[2].name if len(node.inputs) > 2 and node.inputs[2] is not None else f"{name}.bias"
    set_constant_input(node, 1, name, weights)
    set_constant_input(node, 2, bias_name, bias)


def scale_output(node: ir.Node, scale: np.ndarray, shift: np.ndarray) -> None:
    """Makes the layer give scale·y + shift. scale, shift: float64 [out_channels]."""
    weights, bias = weights_and_bias(node)
    if is_op(node, "ConvTranspose"):  # [in, out / group, …]: input channel i belongs to group i // (in / group)
        group = integer(node, "group", 1)
        per_group = scale.reshape(group, 1, weights.shape[1])
        factor = np.broadcast_to(per_group, (group, weights.shape[0] // group, weights.shape[1])).reshape(weights.shape[:2])
        weights = weights * factor.reshape(factor.shape + (1,) * (weights.ndim - 2))
    else:
        weights = weights * scale.reshape((-1,) + (1,) * (weights.ndim - 1))
    set_weights_and_bias(node, weights, bias * scale + shift)


def can_scale_input(node: ir.Node, shift: np.ndarray) -> bool:
    """True if feeding the layer with scale·x + shift can be had by other weights, borders included.

    A scale always can. A shift cannot where padding puts zeros beside shifted values.
    """
    if not is_linear_layer(node) or is_op(node, "ConvTranspose"):
        return False
    if is_op(node, "Gemm") or not shift.any():
        return True
    kernel = constant(node.inputs[1]).shape[2:]
    return not any(pads_of(node, kernel, shape_of(node.inputs[0])[2:]))


def scale_input(node: ir.Node, scale: np.ndarray, shift: np.ndarray) -> None:
    """Makes the layer, given x, answer what it answered to scale·x + shift. scale, shift: float64 [in_channels]."""
    weights, bias = weights_and_bias(node)
    group = 1 if is_op(node, "Gemm") else integer(node, "group", 1)
    per_group, out = weights.shape[1], weights.shape[0]
    factor = np.repeat(scale.reshape(group, per_group), out // group, axis=0)
    offset = np.repeat(shift.reshape(group, per_group), out // group, axis=0)
    tail = (1,) * (weights.ndim - 2)
    bias = bias + (weights * offset.reshape(offset.shape + tail)).reshape(out, -1).sum(axis=1)
    set_weights_and_bias(node, weights * factor.reshape(factor.shape + tail), bias)
