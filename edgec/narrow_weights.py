"""INT4 and UINT4 initializers behind DequantizeLinear (opset 21): their values around 0, and one scale an output channel."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir


def int4_weights(dequantize: ir.Node) -> tuple[np.ndarray, np.ndarray, int]:
    """The constant 4-bit weights of a DequantizeLinear.

    zero_points are subtracted: values are then in [−15, 15]. Blocks of one channel that share one scale are that scale; ONNX quantizes
    in blocks along one axis (`block_size`), and a block with a scale of its own would need an accumulator of its own.

    Returns: values int8; scale float64 [channels], or [1]; the axis of values that it belongs to.

    Raises:
        ValueError: blocks of a channel differ in scale.
    """
    values = dequantize.inputs[0].const_value.numpy().astype(np.int8)
    scale = dequantize.inputs[1].const_value.numpy().astype(np.float64)
    has_zero = len(dequantize.inputs) > 2 and dequantize.inputs[2] is not None
    zero = dequantize.inputs[2].const_value.numpy().astype(np.int8) if has_zero else np.zeros(scale.shape, np.int8)
    axis = dequantize.attributes.get_int("axis", 1) % max(values.ndim, 1)
    block = dequantize.attributes.get_int("block_size", 0)
    if block:
        zero = np.repeat(zero, block, axis=axis).take(range(values.shape[axis]), axis=axis)
        scale, axis = _one_a_channel(scale, axis, block)
    elif scale.size > 1:
        zero = zero.reshape([-1 if i == axis else 1 for i in range(values.ndim)])
    return values - zero.astype(np.int8), np.atleast_1d(scale), axis


def _one_a_channel(scale: np.ndarray, blocked: int, block: int) -> tuple[np.ndarray, int]:
    """Scales of blocks [one an entry of every axis, but blocks along `blocked`] as those of the one axis along which they differ."""
    varying = [i for i in range(scale.ndim) if np.any(scale != scale.take([0], axis=i))]
    if blocked in varying and (block > 1 or len(varying) > 1):
        raise ValueError(f"blocks of {block} along axis {blocked} have scales of their own")
    if len(varying) > 1:
        raise ValueError(f"scales differ along the axes {varying}")
    axis = varying[0] if varying else next(i for i in range(scale.ndim) if i != blocked)
    return _line(scale, axis), axis


def _line(scale: np.ndarray, axis: int) -> np.ndarray:
    """The scales along `axis`, the first of every other axis."""
    return scale[tuple(slice(None) if i == axis else 0 for i in range(scale.ndim))]
