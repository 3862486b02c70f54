"""Weights of one layer: per-channel scales, rounding to int8, the bias in int32."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgec.compress import _hotloops
from edgec.compress.placement import group_count
from edgec.compress.ranges import Quantization
from edgec.graph.edit import is_op

SCALE_FRACTIONS = np.concatenate([[1.0], np.linspace(0.97, 1.25, 113), np.linspace(0.96, 0.6, 19)])
"""Candidates for s_w, as fractions of max|w|/127. Above 1: a coarser grid on which these few weights happen to lie better, which
pays in short channels (depthwise); below: clipping the largest weights, which pays in long ones with outliers."""

NARROW_FRACTIONS = np.concatenate([[1.0], np.linspace(0.99, 0.4, 60)])
"""The same for 4 bits, of max|w|/7: clipping pays, since every step is precious."""

BIAS_BITS = 24
MULTIPLIER_FLOOR = 2.0**-16


@dataclass
class LayerWeights:
    """Integer weights of a linear layer, in the layout of its ONNX initializer.

    q int8; scale float32 [out_channels] (equal for all channels of a grouped ConvTranspose, which ONNX cannot quantize by
    channel); bias int32 [out_channels] at scale s_x·scale; axis: of q, the one scale belongs to; bits: 8, or 4 where q is in
    [−8, 7] and the QDQ model shall say INT4.
    """

    q: np.ndarray
    scale: np.ndarray
    bias: np.ndarray
    axis: int
    bits: int = 8

    def real(self) -> np.ndarray:
        """float32 weights as DequantizeLinear gives them."""
        if self.scale.size != self.q.shape[self.axis]:  # a grouped ConvTranspose, whose scales are equal
            return self.q.astype(np.float32) * self.scale[0]
        shape = [1] * self.q.ndim
        shape[self.axis] = -1
        return self.q.astype(np.float32) * self.scale.reshape(shape)


def grid_of(bits: int) -> tuple[int, int]:
    """The least and the greatest integer of weights with so many bits. Of 4 bits all sixteen are used: the last one is worth half a dB."""
    return (-8, 7) if bits == 4 else (-127, 127)


def as_rows(weights: np.ndarray, node: ir.Node) -> np.ndarray:
    """Weights as [out_channels, entries], the order of entries that of the patches of `second_order`."""
    if is_op(node, "ConvTranspose"):  # [in, out / group, …]
        group = group_count(node)
        split = weights.reshape(group, weights.shape[0] // group, *weights.shape[1:])
        return np.moveaxis(split, 2, 1).reshape(group * weights.shape[1], -1)
    return weights.reshape(weights.shape[0], -1)


def from_rows(rows: np.ndarray, shape: tuple[int, ...], node: ir.Node) -> np.ndarray:
    """The inverse of as_rows."""
    if is_op(node, "ConvTranspose"):
        group = group_count(node)
        split = rows.reshape(group, shape[1], shape[0] // group, *shape[2:])
        return np.moveaxis(split, 1, 2).reshape(shape)
    return rows.reshape(shape)


def smallest_scales(bias: np.ndarray, x: Quantization, y: Quantization | None) -> np.ndarray:
    """Floor of s_w for each channel: the bias must survive in int32, and the multiplier must not vanish.

    s_w ≥ |b|/(2^24·s_x) keeps the bias below 2^24, with room for the sums; s_w ≥ 2^−16·s_y/s_x keeps s_x·s_w/s_y ≥ 2^−16.
    Dead and tiny channels are real: their weights then round to zero, and their bias stays. float64 [out_channels].
    """
    floor = np.abs(bias) / (2.0**BIAS_BITS * x.scale)
    return np.maximum(floor, MULTIPLIER_FLOOR * (y.scale if y else 0.0) / x.scale)


def channel_scales(rows: np.ndarray, importance: np.ndarray, floor: np.ndarray, *, search: bool = True, bits: int = 8) -> np.ndarray:
    """float32 scale of each row of weights [channels, entries]: max|w|/127 (7 at 4 bits), or the fraction of it with the least weighted error.

    importance [channels, entries]: mean square of the input that each weight meets.
    """
    largest = np.abs(rows).max(axis=1, initial=0.0)
    fractions = np.ones(1) if not search else SCALE_FRACTIONS if bits == 8 else NARROW_FRACTIONS
    args = [np.ascontiguousarray(a, np.float64) for a in (rows, np.broadcast_to(importance, rows.shape), largest, fractions)]
    scales = np.maximum(_hotloops.channel_scales(*args, *grid_of(bits)), floor)
    return np.where(scales > 0, scales, 1.0).astype(np.float32)


def round_nearest(rows: np.ndarray, scale: np.ndarray, bits: int = 8) -> np.ndarray:
    """float64 integers in the grid of rows / scale."""
    return np.clip(np.rint(rows / scale.astype(np.float64)[:, None]), *grid_of(bits))


def round_bias(bias: np.ndarray, x: Quantization, scale: np.ndarray) -> np.ndarray:
    """int32 bias at the scale a QDQ file states: the float32 product s_x·s_w."""
    step = bias_scale(x, scale).astype(np.float64)
    return np.clip(np.rint(bias / step), -(2**31) + 1, 2**31 - 1).astype(np.int32)


def bias_scale(x: Quantization, scale: np.ndarray) -> np.ndarray:
    return np.float32(x.scale) * scale.astype(np.float32)
