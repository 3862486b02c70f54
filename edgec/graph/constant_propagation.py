"""Which elements of which activations never change, whatever the input is, and what they are (float64).

An analysis, not a pass: remove_constant_channels acts on it. It knows a channel only as a whole map, borders included,
so a padded convolution over a channel that is constant but not zero is handled exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgec.graph.channel_affine import is_linear_layer, weights_and_bias
from edgec.graph.edit import constant, has_static_shape, integer, ints, is_op, number, pads_of, shape_of

NEGLIGIBLE = 2.0**-48
"""A weight slice counts as zero when its L1 norm is at most this fraction of the largest L1 norm of an output channel of the layer.

2^-48 is the square of float32's unit roundoff: even if the layers behind amplified such a channel, relative to its
neighbours, by the whole dynamic range of a float32 mantissa (2^24), what it adds would still be below one rounding of the
sums it enters. Trained networks leave a wide gap there: in mobilenet_v1_025_vww the largest slice below is at 7e-18 and the
smallest above at 4e-6.
"""


@dataclass(frozen=True)
class Known:
    """mask bool and value float64, both of the activation's shape; value is meaningful where mask is True."""

    mask: np.ndarray
    value: np.ndarray


def propagate_constants(graph: ir.Graph) -> dict[ir.Value, Known]:
    """Elements of activations that are the same for every input. Values with none are absent.

    Precondition: static shapes; nodes in topological order; batch 1 (other batches are simply not known).
    """
    known: dict[ir.Value, Known] = {}
    for node in graph:
        if len(node.outputs) < 1 or not has_static_shape(node.outputs[0]):
            continue
        result = _node(node, known)
        if result is not None and result.mask.any():
            known[node.outputs[0]] = result
    return known


def negligible_slices(weights: np.ndarray) -> np.ndarray:
    """bool [out, in]: the slices of weights [out, in, …] that count as zero (see NEGLIGIBLE)."""
    norm = np.abs(weights).reshape(*weights.shape[:2], -1).sum(axis=2)
    return norm <= NEGLIGIBLE * norm.sum(axis=1).max(initial=0.0)


def convolve(x: np.ndarray, weights: np.ndarray, node: ir.Node) -> np.ndarray:
    """Ungrouped convolution in float64 with the geometry of node. x [in, …], weights [out, in, …] → [out, …]."""
    kernel = weights.shape[2:]
    rank = len(kernel)
    pads = pads_of(node, kernel, x.shape[1:])
    x = np.pad(x, [(0, 0), *zip(pads[:rank], pads[rank:], strict=True)])
    windows = _windows(x, kernel, ints(node, "strides", (1,) * rank), ints(node, "dilations", (1,) * rank))
    columns = windows.reshape(*windows.shape[: rank + 1], -1)
    return np.einsum("oik,i...k->o...", weights.reshape(*weights.shape[:2], -1), columns, optimize=True)


def _windows(x: np.ndarray, kernel: tuple[int, ...], strides: tuple[int, ...], dilations: tuple[int, ...]) -> np.ndarray:
    """x [channels, …] → [channels, out…, kernel…]."""
    rank = len(kernel)
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    view = np.lib.stride_tricks.sliding_window_view(x, reach, axis=tuple(range(1, rank + 1)))
    view = view[(slice(None), *(slice(None, None, s) for s in strides))]
    return view[(Ellipsis, *(slice(None, None, d) for d in dilations))]


def _node(node: ir.Node, known: dict[ir.Value, Known]) -> Known | None:
    if is_linear_layer(node) and not is_op(node, "ConvTranspose"):
        return _linear(node, known.get(node.inputs[0]))
    if is_op(node, "Add", "Sub", "Mul"):
        return _binary(node, known)
    if is_op(node, "Concat"):
        parts = [known.get(v) or _literal(v) or _nothing(v) for v in node.inputs]
        axis = integer(node, "axis", 1)
        return Known(np.concatenate([p.mask for p in parts], axis), np.concatenate([p.value for p in parts], axis))
    x = known.get(node.inputs[0]) if node.inputs and node.inputs[0] is not None else None
    if x is None:
        return None
    if is_op(node, "Reshape", "Flatten", "Squeeze", "Unsqueeze"):
        shape = shape_of(node.outputs[0])
        return Known(x.mask.reshape(shape), x.value.reshape(shape))
    if is_op(node, "Transpose"):
        perm = ints(node, "perm", tuple(reversed(range(x.mask.ndim))))
        return Known(x.mask.transpose(perm), x.value.transpose(perm))
    if is_op(node, "GlobalAveragePool", "AveragePool", "MaxPool", "GlobalMaxPool"):
        return _pool(node, x)
    value = _unary(node, x.value)
    return None if value is None else Known(x.mask, value)


def _literal(value: ir.Value) -> Known | None:
    array = constant(value)
    return None if array is None else Known(np.ones(array.shape, bool), array.astype(np.float64))


def _nothing(value: ir.Value) -> Known:
    shape = shape_of(value)
    return Known(np.zeros(shape, bool), np.zeros(shape))


def _linear(node: ir.Node, x: Known | None) -> Known | None:
    weights, bias = weights_and_bias(node)
    in_shape, out_shape = shape_of(node.inputs[0]), shape_of(node.outputs[0])
    if out_shape[0] != 1 or in_shape[0] != 1:
        return None
    group = 1 if is_op(node, "Gemm") else integer(node, "group", 1)
    per_in, per_out = weights.shape[1], weights.shape[0] // group
    whole = np.zeros(in_shape[1], bool) if x is None else x.mask.reshape(in_shape[1], -1).all(axis=1)
    unread = negligible_slices(weights)
    mask, value = np.zeros(out_shape, bool), np.zeros(out_shape)
    for g in range(group):
        rows, columns = slice(g * per_out, (g + 1) * per_out), slice(g * per_in, (g + 1) * per_in)
        fixed = np.flatnonzero(np.all(unread[rows] | whole[columns], axis=1)) + g * per_out
        if not fixed.size:
            continue
        w = np.where(unread[fixed].reshape(len(fixed), per_in, *(1,) * (weights.ndim - 2)), 0.0, weights[fixed])
        if x is None or not whole[columns].any():
            sums = np.zeros((len(fixed), *out_shape[2:]))
        else:
            maps = np.where(whole[columns].reshape(-1, *(1,) * (len(in_shape) - 2)), x.value[0, columns], 0.0)
            sums = w @ maps if is_op(node, "Gemm") else convolve(maps, w, node)
        mask[0, fixed] = True
        value[0, fixed] = sums + bias[fixed].reshape(-1, *(1,) * (len(out_shape) - 2))
    return Known(mask, value)


def _binary(node: ir.Node, known: dict[ir.Value, Known]) -> Known | None:
    a, b = (known.get(v) or _literal(v) for v in node.inputs)
    if (a is None and b is None) or not all(has_static_shape(v) for v in node.inputs):
        return None
    a, b = a or _nothing(node.inputs[0]), b or _nothing(node.inputs[1])
    mask = np.logical_and(a.mask, b.mask)
    if is_op(node, "Mul"):
        return Known(mask | (a.mask & (a.value == 0)) | (b.mask & (b.value == 0)), a.value * b.value)
    return Known(mask, a.value + b.value if is_op(node, "Add") else a.value - b.value)


def _unary(node: ir.Node, value: np.ndarray) -> np.ndarray | None:
    if is_op(node, "Relu"):
        return np.maximum(value, 0.0)
    if is_op(node, "LeakyRelu"):
        return np.where(value < 0, value * number(node, "alpha", 0.01), value)
    if is_op(node, "Clip"):
        low, high = clip_bounds(node) or (None, None)
        return None if low is None else np.clip(value, low, high)
    if is_op(node, "Sigmoid"):
        return 1.0 / (1.0 + np.exp(-np.clip(value, -700.0, 700.0)))
    if is_op(node, "Tanh"):
        return np.tanh(value)
    return None


def clip_bounds(node: ir.Node) -> tuple[float, float] | None:
    """(low, high) of a Clip with constant bounds, ±inf where it has none; None if a bound is computed."""
    bounds = [number(node, "min", -np.inf), number(node, "max", np.inf)]
    for i in (1, 2):
        if len(node.inputs) > i and node.inputs[i] is not None:
            array = constant(node.inputs[i])
            if array is None:
                return None
            bounds[i - 1] = float(array.reshape(-1)[0])
    return bounds[0], bounds[1]


def _pool(node: ir.Node, x: Known) -> Known | None:
    out_shape, rank = shape_of(node.outputs[0]), x.mask.ndim - 2
    if integer(node, "ceil_mode", 0) or x.mask.shape[0] != 1 or len(node.outputs) > 1:
        return None
    whole = x.mask[0].reshape(x.mask.shape[1], -1).all(axis=1)
    maximum, every = is_op(node, "MaxPool", "GlobalMaxPool"), is_op(node, "GlobalAveragePool", "GlobalMaxPool")
    kernel = x.mask.shape[2:] if every else ints(node, "kernel_shape", ())
    pads = (0,) * (2 * rank) if every else pads_of(node, kernel, x.mask.shape[2:])
    strides, dilations = ints(node, "strides", (1,) * rank), ints(node, "dilations", (1,) * rank)
    edges = [(0, 0), *zip(pads[:rank], pads[rank:], strict=True)]
    maps = np.where(whole.reshape(-1, *(1,) * rank), x.value[0], 0.0)
    axes = tuple(range(-rank, 0))
    if maximum:
        result = _windows(np.pad(maps, edges, constant_values=-np.inf), kernel, strides, dilations).max(axis=axes)
    else:
        counted = np.pad(np.ones((1, *maps.shape[1:])), edges, constant_values=float(integer(node, "count_include_pad", 0)))
        taps = _windows(counted, kernel, strides, dilations).sum(axis=axes)
        result = _windows(np.pad(maps, edges), kernel, strides, dilations).sum(axis=axes) / taps
    if result.shape != out_shape[1:]:
        return None
    mask = np.broadcast_to(whole.reshape(1, -1, *(1,) * rank), out_shape)
    return Known(mask.copy(), result[None])
