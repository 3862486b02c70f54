"""Vectors of conv2d_add: the sums tap by tap, the residual and the only rounding behind them, in Python's integers."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np

from edgec import numerics
from tests.vectors.form import vector

GEOMETRY = "in_h in_w in_c out_h out_w out_c kernel_h kernel_w stride_h stride_w dilation_h dilation_w pad_top pad_left".split()


def conv2d_add() -> Iterator[dict]:
    # name, in (h, w, c), out_c, kernel, stride, dilation, pads (top, left, bottom, right), groups, ratio of the residual, kind
    plans = [
        ("padding", (5, 4, 3), 3, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1), 1, 0.8, ""),
        ("stride", (7, 6, 2), 4, (3, 2), (2, 1), (1, 1), (0, 1, 1, 0), 1, 0.37, ""),
        ("dilation", (6, 7, 2), 2, (2, 3), (1, 2), (2, 2), (1, 2, 1, 2), 1, 1.4, ""),
        ("uneven padding", (5, 5, 1), 5, (4, 3), (1, 1), (1, 1), (3, 2, 0, 0), 1, 0.9, ""),
        ("groups", (3, 3, 4), 6, (2, 2), (1, 1), (1, 1), (0, 0, 0, 0), 2, 0.6, ""),
        ("pointwise", (3, 3, 8), 8, (1, 1), (1, 1), (1, 1), (0, 0, 0, 0), 1, 1.0, ""),
        ("patches", (4, 8, 4), 4, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1), 1, 0.7, ""),
        ("subtracted", (3, 4, 8), 5, (1, 1), (1, 1), (1, 1), (0, 0, 0, 0), 1, -0.9, ""),
        ("clamped", (4, 4, 2), 2, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1), 1, 0.8, "clamp"),
        ("ties", (4, 4, 2), 2, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1), 1, 1.0, "ties"),
        ("ties of the residual", (4, 4, 2), 2, (1, 1), (1, 1), (1, 1), (0, 0, 0, 0), 1, 0.5, "zero"),
        ("without a shift", (3, 3, 4), 4, (1, 1), (1, 1), (1, 1), (0, 0, 0, 0), 1, 0.99, "small"),
        ("a long residual", (4, 4, 2), 4, (2, 2), (1, 1), (1, 1), (0, 0, 1, 1), 1, 255.9, ""),
        ("extreme", (4, 4, 4), 4, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1), 1, 0.5, "extreme"),
        ("ties of the convolution", (16, 16, 1), 1, (1, 1), (1, 1), (1, 1), (0, 0, 0, 0), 1, 1.0, "half"),
        ("every value of the residual", (16, 16, 1), 1, (1, 1), (1, 1), (1, 1), (0, 0, 0, 0), 1, 1.0, "identity"),
    ]
    for i, (name, (h, w, c), out_c, kernel, stride, dilation, pads, groups, ratio, kind) in enumerate(plans):
        rng = np.random.RandomState(7000 + i)
        out_h = (h + pads[0] + pads[2] - (kernel[0] - 1) * dilation[0] - 1) // stride[0] + 1
        out_w = (w + pads[1] + pads[3] - (kernel[1] - 1) * dilation[1] - 1) // stride[1] + 1
        depth, taps = c // groups, kernel[0] * kernel[1] * c // groups
        zero_x, zero_r, zero_y = (int(z) for z in rng.randint(-100, 100, 3))
        weights = rng.randint(-127, 128, (out_c, *kernel, depth))
        x, residual = rng.randint(-128, 128, (h, w, c)), rng.randint(-128, 128, (out_h, out_w, out_c))
        low, high = (-12, 35) if kind in ("clamp", "identity") else (-128, 127)
        scales = rng.uniform(0.4, 1.0, out_c) * 60.0 / (taps**0.5 * 73 * 73)
        if kind == "extreme":
            weights = np.where(rng.random_sample(weights.shape) < 0.5, -127, 127)
            x = np.where(rng.random_sample(x.shape) < 0.5, -128, 127)
        if kind == "ties":  # quarters: with a residual of whole steps every fourth sum lies exactly between two integers
            weights, scales = rng.randint(-1, 2, weights.shape), np.full(out_c, 0.25)
        if kind in ("zero", "identity"):
            weights = np.zeros_like(weights)
        if kind == "identity":
            residual = np.arange(-128, 128).reshape(residual.shape)
            zero_r, zero_y = 3, 7
        if kind == "half":  # acc / 2 in units of 2^-12: 4095 rounds up to 2048, which the last rounding takes for a step
            weights, scales, zero_x = np.ones_like(weights), np.full(1, 2.0**-13), 0
            x, residual = np.arange(-128, 128).reshape(x.shape), np.full_like(residual, zero_r)
        if kind == "small":
            scales = scales / scales.max() / 2**13.5
        bias = rng.randint(-2000, 2000, out_c) if kind not in ("ties", "zero", "identity") else np.zeros(out_c, int)
        bias = np.full(1, 4095) if kind == "half" else bias
        bias = bias - zero_x * weights.reshape(out_c, -1).sum(axis=1)
        shift = numerics.layer_shift(scales * 4096)
        multiplier = numerics.multipliers(scales * 4096, shift)
        r = round(ratio * 4096)
        offset = zero_y * 4096 + 2048 - zero_r * r
        y = np.empty((out_h, out_w, out_c), np.int8)
        for oy, ox, oc in product(range(out_h), range(out_w), range(out_c)):
            acc = int(bias[oc])
            for ky, kx, d in product(range(kernel[0]), range(kernel[1]), range(depth)):
                iy, ix = oy * stride[0] - pads[0] + ky * dilation[0], ox * stride[1] - pads[1] + kx * dilation[1]
                inside = 0 <= iy < h and 0 <= ix < w
                acc += (int(x[iy, ix, oc // (out_c // groups) * depth + d]) if inside else zero_x) * int(weights[oc, ky, kx, d])
            fraction = ((acc << shift) * int(multiplier[oc]) + 2**31) >> 32
            y[oy, ox, oc] = min(max((fraction + int(residual[oy, ox, oc]) * r + offset) >> 12, low), high)
        a = dict(zip(GEOMETRY, (h, w, c, out_h, out_w, out_c, *kernel, *stride, *dilation, pads[0], pads[1]), strict=True)) | {"groups": groups}
        a |= {"in_zero_point": zero_x, "out_zero_point": zero_y, "clamp_min": low, "clamp_max": high, "shift": shift, "weight_bits": 8}
        a |= {"residual_multiplier": r, "residual_offset": offset}
        constants = [("int8", weights), ("int32", bias), ("int32", multiplier)]
        yield vector(name, "conv2d_add", a, constants, [x[None], residual[None]], y[None], [zero_x, zero_r, zero_y])
