"""Makes the vectors in this folder: `python -m tests.vectors.make` (from the root of the checkout).

One file an opcode: operators with attributes, constants, inputs, and the bytes they must give. The sums are written out here
tap by tap in Python's integers and rounded by `edgec.numerics` alone: nothing of `edgec.ops`, of the interpreter or of a kernel is
used, so that all of those can be wrong together and a replay still turns red. Everything is small; each case is there to
catch one kind of mistake, and `tests/test_mutation.py` shows that it does. Random numbers come from RandomState, whose streams
NumPy keeps for ever (NEP 19), so that the files can be made again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import numpy as np

from edgec import numerics
from tests.vectors import moving, sums, wide
from tests.vectors.form import vector

FOLDER = Path(__file__).parent

GEOMETRY = "in_h in_w in_c out_h out_w out_c kernel_h kernel_w stride_h stride_w dilation_h dilation_w pad_top pad_left".split()
WINDOW = "in_h in_w channels out_h out_w kernel_h kernel_w stride_h stride_w pad_top pad_left".split()


def windowed(opcode: str) -> Iterator[dict]:
    """conv2d and depthwise_conv2d."""
    depthwise = opcode == "depthwise_conv2d"
    # name, in (h, w, c), out_c, kernel, stride, dilation, pads (top, left, bottom, right), groups, kind
    plans = [
        ("padding", (5, 4, 3), 3, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1), 1, ""),
        ("stride", (7, 6, 2), 4, (3, 2), (2, 1), (1, 1), (0, 1, 1, 0), 1, ""),
        ("dilation", (6, 7, 2), 2, (2, 3), (1, 2), (2, 2), (1, 2, 1, 2), 1, ""),
        ("uneven padding", (5, 5, 1), 5, (4, 3), (1, 1), (1, 1), (3, 2, 0, 0), 1, ""),
        ("groups", (3, 3, 4), 6 if not depthwise else 8, (2, 2), (1, 1), (1, 1), (0, 0, 0, 0), 2, ""),
        ("pointwise", (3, 3, 8), 8, (1, 1), (1, 1), (1, 1), (0, 0, 0, 0), 1, ""),
        ("clamped", (4, 4, 2), 2, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1), 1, "clamp"),
        ("ties", (4, 4, 2), 2, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1), 1, "ties"),
        ("shifted", (4, 4, 2), 4, (2, 2), (1, 1), (1, 1), (0, 0, 1, 1), 1, "shift"),
        ("saturating before the shift", (2, 2, 2), 4, (1, 1), (1, 1), (1, 1), (0, 0, 0, 0), 1, "saturate"),
        ("extreme", (4, 4, 4), 4, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1), 1, "extreme"),
        ("dead channel", (3, 3, 2), 4, (2, 2), (1, 1), (1, 1), (0, 0, 0, 0), 1, "dead"),
        ("every value", (16, 16, 1), 1, (1, 1), (1, 1), (1, 1), (0, 0, 0, 0), 1, "identity"),
        ("int4 padding", (5, 4, 3), 3, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1), 1, "int4"),
        ("int4 uneven padding and dilation", (6, 7, 3), 5 if not depthwise else 9, (3, 2), (1, 2), (2, 1), (3, 1, 1, 0), 1, "int4"),
        ("int4 groups", (3, 3, 6), 4 if not depthwise else 12, (2, 2), (1, 1), (1, 1), (1, 0, 0, 1), 2, "int4"),
        ("int4 pointwise", (3, 3, 9), 9, (1, 1), (1, 1), (1, 1), (0, 0, 0, 0), 1, "int4"),
        ("int4 extreme", (6, 5, 8), 8, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1), 1, "int4 extreme"),
        ("int4 clamped", (4, 4, 2), 2, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1), 1, "int4 clamp"),
        ("int4 by two", (7, 7, 4), 4, (3, 3), (2, 2), (1, 1), (0, 0, 1, 1), 1, "int4"),
        ("int4 patches", (4, 8, 4), 4, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1), 1, "int4"),
        ("int4 shifted", (4, 4, 2), 4, (2, 2), (1, 1), (1, 1), (0, 0, 1, 1), 1, "int4 shift"),
        ("int4 saturating before the shift", (2, 2, 2), 4, (1, 1), (1, 1), (1, 1), (0, 0, 0, 0), 1, "int4 saturate"),
    ]
    for i, (name, (h, w, c), out_c, kernel, stride, dilation, pads, groups, kind) in enumerate(plans):
        rng = np.random.RandomState(1000 + 100 * depthwise + i)
        out_h = (h + pads[0] + pads[2] - (kernel[0] - 1) * dilation[0] - 1) // stride[0] + 1
        out_w = (w + pads[1] + pads[3] - (kernel[1] - 1) * dilation[1] - 1) // stride[1] + 1
        a = dict(zip(GEOMETRY, (h, w, c, out_h, out_w, out_c, *kernel, *stride, *dilation, pads[0], pads[1]), strict=True))
        depth = 1 if depthwise else c // groups
        zero_x, zero_y = (int(z) for z in rng.randint(-100, 100, 2))
        bits, kind = (4, kind[5:]) if kind.startswith("int4") else (8, kind)
        least, most = (-8, 7) if bits == 4 else (-127, 127)
        weights = rng.randint(least, most + 1, (out_c, *kernel, depth))
        x = rng.randint(-128, 128, (h, w, c))
        if kind == "extreme":
            weights = np.where(rng.random_sample(weights.shape) < 0.5, least, most)
            x = np.where(rng.random_sample(x.shape) < 0.5, -128, 127)
        if kind == "ties":
            weights = rng.randint(-1, 2, weights.shape)
        if kind == "identity":
            weights, x = np.ones_like(weights), np.arange(-128, 128).reshape(x.shape)
        bias, multiplier, shift, low, high = _epilogue(rng, weights.reshape(out_c, -1), zero_x, kind, bits)
        zero_y = 7 if kind in ("clamp", "saturate", "identity") else zero_y
        y = np.empty((out_h, out_w, out_c), np.int8)
        per_group = out_c // groups
        for oy, ox, oc in product(range(out_h), range(out_w), range(out_c)):
            acc = int(bias[oc])
            for ky, kx, d in product(range(kernel[0]), range(kernel[1]), range(depth)):
                iy, ix = oy * stride[0] - pads[0] + ky * dilation[0], ox * stride[1] - pads[1] + kx * dilation[1]
                ic = oc * c // out_c if depthwise else oc // per_group * depth + d
                inside = 0 <= iy < h and 0 <= ix < w
                acc += (int(x[iy, ix, ic]) if inside else zero_x) * int(weights[oc, ky, kx, d])
            y[oy, ox, oc] = numerics.requantize(np.array(acc), multiplier[oc], zero_y, low, high, shift)
        if not depthwise:
            a["groups"] = groups
        a.update(in_zero_point=zero_x, out_zero_point=zero_y, clamp_min=low, clamp_max=high, shift=shift, weight_bits=bits)
        stored = np.moveaxis(weights[..., 0], 0, -1) if depthwise else weights
        constants = [(f"int{bits}", stored), ("int16" if bits == 4 else "int32", bias), ("int32", multiplier)]
        yield vector(name, opcode, a, constants, [x[None]], y[None], [zero_x, zero_y])


def _epilogue(rng: np.random.RandomState, rows: np.ndarray, zero_x: int, kind: str, bits: int = 8):
    """Bias, multiplier, shift and clamp bounds for rows of weights; outputs fill most of int8."""
    channels, taps = rows.shape
    bias = rng.randint(-2000, 2000, channels) - zero_x * rows.sum(axis=1)
    low, high = (-12, 35) if kind in ("clamp", "identity") else (-128, 127)
    if kind == "identity":  # y = x - zero_x + zero_y, clamped: meets the bounds and the values next to them
        return -zero_x * rows.sum(axis=1), numerics.multipliers(np.full(channels, 1.0), 2), 2, low, high
    scales = rng.uniform(0.4, 1.0, channels) * 60.0 / (taps**0.5 * 73 * (73 if bits == 8 else 4.6))
    if kind == "extreme":
        scales = scales / 2
    if kind == "ties":  # acc / 4: every second or fourth accumulator lies exactly between two integers
        return rng.randint(-200, 200, channels), np.full(channels, 2**30), 0, low, high
    if kind == "shift":
        bias = rng.randint(-30, 30, channels) - zero_x * rows.sum(axis=1)
        scales = np.array([0.9, 1.7, 3.3, 0.004])[:channels]
    if kind == "saturate":  # shift 8 leaves accumulators 24 bits, shift 17 (for biases of int16) 15
        limit, beyond, shift = (2**24, 2**30, 8) if bits == 8 else (2**14, 2**15 - 1, 17)
        return np.array([limit - 5, 9 - limit, beyond, -limit // 8]), np.full(channels, 120), shift, low, high
    shift = numerics.layer_shift(scales)
    multiplier = numerics.multipliers(scales, shift)
    if kind == "dead":
        multiplier[1], bias[1] = 0, 2**29
    return bias, multiplier, shift, low, high


def dense() -> Iterator[dict]:
    for i, (name, rows, k, n, kind) in enumerate(
        [("one row", 1, 13, 5, ""), ("rows", 3, 4, 6, ""), ("clamped", 2, 9, 4, "clamp"), ("ties", 1, 16, 12, "ties"),
         ("shifted", 2, 3, 4, "shift"),
         ("saturating before the shift", 1, 2, 4, "saturate"), ("one feature", 4, 1, 1, ""), ("every value", 256, 1, 1, "identity"),
         ("int4 one row", 1, 13, 5, "int4"), ("int4 clamped", 2, 9, 6, "int4 clamp"), ("int4 rows", 3, 6, 19, "int4"), ("int4 shifted", 2, 5, 4, "int4 shift"),
         ("int4 extreme", 1, 37, 18, "int4 extreme"), ("int4 one feature", 2, 1, 1, "int4")]
    ):  # fmt: skip
        rng = np.random.RandomState(2000 + i)
        zero_x, zero_y = (int(z) for z in rng.randint(-100, 100, 2))
        bits, kind = (4, kind[5:]) if kind.startswith("int4") else (8, kind)
        least, most = (-1, 1) if kind == "ties" else (-8, 7) if bits == 4 else (-127, 127)
        weights = rng.randint(least, most + 1, (n, k))
        if kind == "extreme":
            weights = np.where(rng.random_sample(weights.shape) < 0.5, least, most)
        weights = np.ones_like(weights) if kind == "identity" else weights
        bias, multiplier, shift, low, high = _epilogue(rng, weights, zero_x, kind, bits)
        zero_y = 7 if kind in ("clamp", "saturate", "identity") else zero_y
        x = np.arange(-128, 128).reshape(rows, k) if kind == "identity" else rng.randint(-128, 128, (rows, k))
        y = np.empty((rows, n), np.int8)
        for r, o in product(range(rows), range(n)):
            acc = int(bias[o]) + sum(int(a) * int(b) for a, b in zip(x[r], weights[o], strict=True))
            y[r, o] = numerics.requantize(np.array(acc), multiplier[o], zero_y, low, high, shift)
        a = {"rows": rows, "in_features": k, "out_features": n, "in_zero_point": zero_x, "out_zero_point": zero_y}
        a.update(clamp_min=low, clamp_max=high, shift=shift, weight_bits=bits)
        yield vector(name, "dense", a, [(f"int{bits}", weights), ("int16" if bits == 4 else "int32", bias), ("int32", multiplier)], [x], y, [zero_x, zero_y])


def add(opcode: str) -> Iterator[dict]:
    ratios = {
        "add": [(0.5, 0.7), (0.31, 1.9), (1.83, 0.77), (0.8, -0.8), (0.25, 0.5), (0.9, 1.1)],
        "add_wide": [(100.0, 3.0), (40.0, -41.0), (0.5, 70.0)],
    }
    for i, (ra, rb) in enumerate(ratios[opcode]):
        rng = np.random.RandomState(3000 + i)
        za, zb, zy = (int(z) for z in rng.randint(-90, 90, 3))
        ma, mb, c, n, wide = numerics.add_constants(ra, rb, za, zb, zy)
        assert wide == (opcode == "add_wide")
        low, high = (-25, 40) if (opcode == "add" and i == 5) or (opcode == "add_wide" and i == 2) else (-128, 127)
        spread = 128 if opcode == "add" else 3  # so that sums of large ratios do not all saturate
        a, b = (np.clip(z + rng.randint(-spread, spread, (1, 4, 3, 5)), -128, 127) for z in (za, zb))
        _beside_a_boundary(a.reshape(-1), b.reshape(-1), ma, mb, c, n, low, high)
        y = np.array(
            [numerics.add(np.array(p), np.array(q), ma, mb, c, n, low, high) for p, q in zip(a.reshape(-1), b.reshape(-1), strict=True)],
            np.int8,
        )
        attrs = {"count": a.size, "multiplier_a": ma, "multiplier_b": mb, "offset": c, "shift": n, "clamp_min": low, "clamp_max": high}
        yield vector(f"{ra} and {rb}", opcode, attrs, [], [a, b], y.reshape(a.shape), [za, zb, zy])


def _beside_a_boundary(a: np.ndarray, b: np.ndarray, ma: int, mb: int, c: int, n: int, low: int, high: int) -> None:
    """Overwrite the first pairs with those whose sum lies nearest below and above a multiple of 2^n, inside the bounds, and
    with one just outside each bound.
    """
    every = np.arange(-128, 128)
    total = every[:, None] * ma + every[None, :] * mb + c
    inside = (total >> n > low) & (total >> n < high)
    rest = np.where(inside, total & (2**n - 1), 2 ** (n - 1))
    for start, order in ((0, np.argsort(-rest, axis=None, kind="stable")), (5, np.argsort(rest, axis=None, kind="stable"))):
        first, second = np.unravel_index(order[:5], rest.shape)
        a[start : start + 5], b[start : start + 5] = every[first], every[second]
    for at, value in ((10, low - 1), (11, high + 1)):
        first, second = np.nonzero(total >> n == value)
        if len(first):
            a[at], b[at] = every[first[0]], every[second[0]]


def pool(opcode: str) -> Iterator[dict]:
    average = opcode == "average_pool2d"
    plans = [
        ("global", (4, 3, 5), (4, 3), (4, 3), (0, 0), 0.9, (-128, 127)),
        ("padding", (5, 4, 3), (3, 3), (2, 2), (1, 1), 0.8, (-128, 127)),
        ("uneven", (5, 6, 2), (2, 3), (1, 2), (1, 0), 1.1, (-128, 127)),
        ("clamped", (4, 4, 3), (2, 2), (2, 2), (0, 0), 0.9, (-20, 30)),
        ("ties", (4, 4, 4), (2, 2), (2, 2), (0, 0), 1.0, (-128, 127)),
        ("shifted", (4, 4, 2), (2, 2), (2, 2), (0, 0), 7.0, (-128, 127)),
        ("every value", (16, 16, 1), (1, 1), (1, 1), (0, 0), 1.0, (-20, 30)),
    ]
    for i, (name, (h, w, c), kernel, stride, pad, ratio, (low, high)) in enumerate(plans):
        if not average and name in ("ties", "shifted"):
            continue
        rng = np.random.RandomState(4000 + 50 * average + i)
        zero_x, zero_y = (int(z) for z in rng.randint(-60, 60, 2))
        if name == "clamped":
            zero_x, zero_y = 9, 7
        if not average:
            zero_y = zero_x
        x = np.arange(-128, 128).reshape(h, w, c) if name == "every value" else rng.randint(-128, 128, (h, w, c))
        if not average:
            x = (
                np.where(x > -60, -60 - np.abs(x) // 2, x) if name == "padding" else x
            )  # padding read as anything but "never wins" would show
        out_h, out_w = (h + 2 * pad[0] - kernel[0]) // stride[0] + 1, (w + 2 * pad[1] - kernel[1]) // stride[1] + 1
        most = kernel[0] * kernel[1]
        counts = np.arange(1, most + 1) if any(pad) else np.array([most])
        scales = ratio / counts
        shift = numerics.layer_shift(scales)
        multiplier = numerics.multipliers(scales, shift)
        y = np.empty((out_h, out_w, c), np.int8)
        for oy, ox, ch in product(range(out_h), range(out_w), range(c)):
            taps = [
                int(x[iy, ix, ch])
                for iy in range(oy * stride[0] - pad[0], oy * stride[0] - pad[0] + kernel[0])
                for ix in range(ox * stride[1] - pad[1], ox * stride[1] - pad[1] + kernel[1])
                if 0 <= iy < h and 0 <= ix < w
            ]
            if average:
                acc = sum(taps) - len(taps) * zero_x
                m = multiplier[len(taps) - 1 if any(pad) else 0]
                y[oy, ox, ch] = numerics.requantize(np.array(acc), m, zero_y, low, high, shift)
            else:
                y[oy, ox, ch] = min(max(max(taps), low), high)
        a = dict(zip(WINDOW, (h, w, c, out_h, out_w, *kernel, *stride, *pad), strict=True))
        if average:
            a.update(in_zero_point=zero_x, out_zero_point=zero_y)
        a.update(clamp_min=low, clamp_max=high)
        if average:
            a.update(shift=shift, multipliers=len(counts))
        yield vector(name, opcode, a, [("int32", multiplier)] if average else [], [x[None]], y[None], [zero_x, zero_y])


def lookup() -> Iterator[dict]:
    every = np.random.RandomState(5000).permutation(np.arange(-128, 128))
    tables = [
        ("rescale", numerics.rescale_table(0.1, 3, 0.07, -5)),
        ("relu", numerics.unary_table(lambda v: max(v, 0.0), 0.05, -7, 0.04, -128)),
        ("any", np.random.RandomState(5001).randint(-128, 128, 256).astype(np.int8)),
    ]
    for name, table in tables:
        y = np.array([table[int(q) + 128] for q in every], np.int8)
        yield vector(name, "lookup", {"count": 256}, [("int8", table)], [every[None]], y[None], [0, 0])


def softmax() -> Iterator[dict]:
    for i, (rows, depth, scale_x, scale_y, zero_y) in enumerate(
        [
            (2, 10, 0.1, 1 / 256, -128),
            (1, 3, 0.02, 1 / 200, -100),
            (3, 2, 0.4, 1 / 256, -128),
            (1, 300, 0.03, 1 / 4096, -128),
            (1, 1, 1.0, 1 / 256, -128),
        ]
    ):
        rng = np.random.RandomState(6000 + i)
        table, factor, fraction = numerics.softmax_constants(scale_x, depth, scale_y)
        x = rng.randint(-128, 128, (rows, depth))
        if i == 0:
            x[1] = 17  # all equal
            x = np.concatenate([x, _decisive_rows(table, factor, fraction, zero_y, depth)])
            rows = len(x)
        y = np.concatenate([numerics.softmax(row[None], table, factor, fraction, zero_y) for row in x])
        attrs = {"rows": rows, "depth": depth, "factor": factor, "fraction": fraction, "out_zero_point": zero_y}
        yield vector(f"{rows} of {depth}", "softmax", attrs, [("int32", table)], [x], y, [11, zero_y])


def _decisive_rows(table: np.ndarray, factor: int, fraction: int, zero_y: int, depth: int) -> np.ndarray:
    """Rows in which the rounding of the sum, the exact reciprocal, and one unit of the factor each decide a byte.

    Out of 40,000 random ones, by the steps of numerics.softmax with one of them changed.
    """
    q = np.random.RandomState(6100).randint(-128, 128, (40000, depth))
    wanted = numerics.softmax(q, table, factor, fraction, zero_y).astype(np.int64)

    def changed(rounded: bool, one: int, more: int) -> np.ndarray:
        t = table.astype(np.int64)[q.max(axis=1, keepdims=True) - q]
        s = t.sum(axis=1, keepdims=True)
        k = np.maximum(np.ceil(np.log2(s + 1)).astype(np.int64) - numerics.SOFTMAX_ROW_BITS, 0)
        s16 = (s + np.where((k > 0) & rounded, 1 << np.maximum(k - 1, 0), 0)) >> k
        bits = 31 + k + fraction
        return np.clip(zero_y + ((t * (one // s16) * (factor + more) + (1 << (bits - 1))) >> bits), -128, 127)

    assert np.array_equal(changed(True, 2**31, 0), wanted)
    rows = []
    for rounded, one, more in ((False, 2**31, 0), (True, 2**31 - 2**16, 0), (True, 2**31, 1)):
        rows += list(np.flatnonzero((changed(rounded, one, more) != wanted).any(axis=1))[:2])
    return q[rows]


def mul() -> Iterator[dict]:
    # name, sizes, strides of a, strides of b, real factor
    plans = [
        ("alike", (1, 3, 2, 5), (30, 10, 5, 1), (30, 10, 5, 1), 0.013),
        ("rows and columns", (2, 3, 2, 4), (12, 4, 0, 1), (4, 0, 2, 0), 0.02),
        ("one factor", (1, 1, 1, 9), (0, 0, 0, 1), (0, 0, 0, 0), 0.7),
        ("clamped", (1, 1, 7, 7), (0, 0, 7, 1), (0, 0, 7, 1), 0.01),
        ("ties", (1, 1, 1, 60), (0, 0, 0, 1), (0, 0, 0, 1), 0.25),
        ("saturating before the shift", (1, 1, 1, 40), (0, 0, 0, 1), (0, 0, 0, 1), None),
        ("every value", (1, 1, 1, 256), (0, 0, 0, 1), (0, 0, 0, 0), 1.0),
    ]
    for i, (name, sizes, strides_a, strides_b, factor) in enumerate(plans):
        rng = np.random.RandomState(8000 + i)
        za, zb, zy = (int(z) for z in rng.randint(-100, 100, 3))
        length_a, length_b = (1 + sum((n - 1) * s for n, s in zip(sizes, strides, strict=True)) for strides in (strides_a, strides_b))
        a, b = rng.randint(-128, 128, length_a), rng.randint(-128, 128, length_b)
        low, high = (-12, 35) if name in ("clamped", "every value") else (-128, 127)
        if name == "ties":
            a, b = np.clip(za + rng.randint(-9, 10, length_a), -128, 127), np.clip(zb + rng.randint(-9, 10, length_b), -128, 127)
        if name == "every value":  # y = a - za + zy, clamped: meets the bounds and the values next to them
            a, b, zy = np.arange(-128, 128), np.array([zb + 1]), 7
        if factor is None:  # shift 16 leaves 16 bits before it: products beyond 32767 saturate
            za, zb, shift, multiplier = 127, 127, 16, 200
            a[::2], b[::2] = -128 + rng.randint(0, 60, a[::2].size), -128 + rng.randint(0, 60, b[::2].size)
        else:
            shift = numerics.layer_shift(np.array([factor]))
            multiplier = int(numerics.multipliers(np.array([factor]), shift)[0])
        y = []
        for at in product(*map(range, sizes)):
            p = int(a[sum(k * s for k, s in zip(at, strides_a, strict=True))]) - za
            q = int(b[sum(k * s for k, s in zip(at, strides_b, strict=True))]) - zb
            y.append(numerics.requantize(np.array(p * q), multiplier, zy, low, high, shift))
        attrs = {f"size_{k}": n for k, n in enumerate(sizes)}
        attrs |= {f"stride_a_{k}": s for k, s in enumerate(strides_a)} | {f"stride_b_{k}": s for k, s in enumerate(strides_b)}
        attrs |= {"zero_point_a": za, "zero_point_b": zb, "multiplier": multiplier, "out_zero_point": zy}
        attrs |= {"clamp_min": low, "clamp_max": high, "shift": shift}
        yield vector(name, "mul", attrs, [], [a, b], np.reshape(y, sizes), [za, zb, zy])


def conv_transpose() -> Iterator[dict]:
    """conv_transpose2d, the way around: every input pixel is added to the output pixels that its taps reach."""
    # name, in (h, w, c), out_c, kernel, stride, dilation, crop (top, left, bottom, right), more rows and columns, groups, kind
    plans = [
        ("doubled", (3, 3, 2), 3, (2, 2), (2, 2), (1, 1), (0, 0, 0, 0), (0, 0), 1, ""),
        ("cropped", (4, 3, 3), 2, (3, 3), (2, 1), (1, 1), (1, 2, 0, 1), (0, 0), 1, ""),
        ("dilation, gaps and groups", (3, 3, 4), 6, (3, 2), (1, 3), (2, 1), (2, 0, 1, 0), (0, 2), 2, ""),
        ("clamped", (3, 3, 2), 2, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1), (0, 0), 1, "clamp"),
        ("ties", (4, 4, 2), 2, (3, 3), (2, 2), (1, 1), (1, 1, 0, 0), (0, 0), 1, "ties"),
        ("shifted", (3, 3, 2), 4, (2, 2), (1, 1), (1, 1), (0, 0, 0, 0), (0, 0), 1, "shift"),
        ("saturating before the shift", (2, 2, 2), 4, (1, 1), (1, 1), (1, 1), (0, 0, 0, 0), (0, 0), 1, "saturate"),
        ("every value", (16, 16, 1), 1, (1, 1), (1, 1), (1, 1), (0, 0, 0, 0), (0, 0), 1, "identity"),
    ]
    for i, (name, (h, w, c), out_c, kernel, stride, dilation, crop, more, groups, kind) in enumerate(plans):
        rng = np.random.RandomState(9000 + i)
        out_h, out_w = (
            (size - 1) * stride[k] + (kernel[k] - 1) * dilation[k] + 1 - crop[k] - crop[k + 2] + more[k] for k, size in enumerate((h, w))
        )
        a = dict(zip(GEOMETRY, (h, w, c, out_h, out_w, out_c, *kernel, *stride, *dilation, crop[0], crop[1]), strict=True))
        zero_x, zero_y = (int(z) for z in rng.randint(-100, 100, 2))
        weights = rng.randint(-127, 128, (out_c, *kernel, c // groups))
        x = rng.randint(-128, 128, (h, w, c))
        if kind == "ties":
            weights = rng.randint(-1, 2, weights.shape)
        if kind == "identity":
            weights, x = np.ones_like(weights), np.arange(-128, 128).reshape(x.shape)
        bias, multiplier, shift, low, high = _epilogue(rng, weights.reshape(out_c, -1), 0, kind)
        zero_y = 7 if kind in ("clamp", "saturate", "identity") else zero_y
        acc = np.tile(np.array(bias, dtype=object), (out_h, out_w, 1))
        for iy, ix, ic, ky, kx in product(range(h), range(w), range(c), range(kernel[0]), range(kernel[1])):
            oy, ox = iy * stride[0] + ky * dilation[0] - crop[0], ix * stride[1] + kx * dilation[1] - crop[1]
            if 0 <= oy < out_h and 0 <= ox < out_w:
                group = ic // (c // groups)
                for oc in range(group * (out_c // groups), (group + 1) * (out_c // groups)):
                    acc[oy, ox, oc] += (int(x[iy, ix, ic]) - zero_x) * int(weights[oc, ky, kx, ic % (c // groups)])
        y = np.empty(acc.shape, np.int8)
        for at in product(*map(range, acc.shape)):
            y[at] = numerics.requantize(np.array(int(acc[at])), multiplier[at[2]], zero_y, low, high, shift)
        a["groups"] = groups
        a.update(in_zero_point=zero_x, out_zero_point=zero_y, clamp_min=low, clamp_max=high, shift=shift)
        constants = [("int8", weights), ("int32", bias), ("int32", multiplier)]
        yield vector(name, "conv_transpose2d", a, constants, [x[None]], y[None], [zero_x, zero_y])


def transpose() -> Iterator[dict]:
    for shape, order in [((3, 5), (1, 0)), ((2, 3, 4), (2, 0, 1)), ((2, 3, 2, 4), (3, 1, 0, 2))]:
        x = np.random.RandomState(len(shape)).randint(-128, 128, shape)
        out = tuple(shape[o] for o in order)
        y = np.empty(out, np.int8)
        for at in product(*map(range, out)):
            source = [0] * len(shape)
            for axis, o in enumerate(order):
                source[o] = at[axis]
            y[at] = x[tuple(source)]
        strides = [int(np.prod(shape[o + 1 :])) for o in order]
        lead = 4 - len(shape)
        attrs = {f"size_{i}": s for i, s in enumerate([1] * lead + list(out))} | {
            f"stride_{i}": s for i, s in enumerate([0] * lead + strides)
        }
        yield vector("x".join(map(str, shape)), "transpose", attrs, [], [x], y, [0, 0])


def argmax(bits: int = 8) -> Iterator[dict]:
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1)
    # name, outer, depth, inner, last, least, values drawn from
    plans = [
        ("a row", 1, 11, 1, 0, 0, (low, high)),
        ("ties", 5, 6, 3, 0, 0, (-2, 1)),
        ("last of ties", 5, 6, 3, 1, 0, (-2, 1)),
        ("least", 4, 5, 2, 0, 1, (high - 2, high)),
        ("last of the least", 4, 5, 2, 1, 1, (low, low + 2)),
        ("beyond a byte", 2, 700, 1, 0, 0, (-128, 20)),
    ]
    if bits == 16:
        plans.append(("high bytes equal", 3, 9, 2, 0, 0, (0x1200, 0x1300)))
    for i, (name, outer, depth, inner, last, least, (low, high)) in enumerate(plans):
        x = np.random.RandomState(9500 + i).randint(low, high, (outer, depth, inner))
        if depth > 256:
            x[0, 650], x[1, 258] = 100, 21
        y = np.empty((outer, inner), np.int64)
        for o, n in product(range(outer), range(inner)):
            row = [int(v) for v in x[o, :, n]]
            wanted = min(row) if least else max(row)
            y[o, n] = [k for k, v in enumerate(row) if v == wanted][-1 if last else 0]
        attrs = {"outer": outer, "depth": depth, "inner": inner, "last": last, "least": least}
        if bits == 8:
            yield vector(name, "argmax", attrs, [], [x], y, [3, 0], "int32")
        else:
            yield vector(name, "argmax_s16", attrs, [], [x], y, [0, 0], "int32", ["int16"])


def table_pool() -> Iterator[dict]:
    """table_pool2d with any table and any ascending thresholds, met exactly, just below and just above."""
    # name, in (h, w, c), kernel, stride, dilation, pad, base, levels, odd_flips, clamp
    plans = [
        ("padding", (5, 4, 3), (3, 3), (1, 1), (1, 1), (1, 1), -128, 255, 0, (-128, 127)),
        ("stride", (7, 6, 2), (3, 2), (2, 1), (1, 1), (0, 1), -60, 90, 0, (-60, 30)),
        ("dilation", (6, 7, 2), (2, 3), (1, 2), (2, 2), (1, 2), 0, 40, 0, (-128, 127)),
        ("signs", (6, 1, 5), (2, 1), (2, 1), (1, 1), (0, 0), 9, 200, 1, (-100, 80)),
        ("one threshold", (3, 3, 1), (2, 2), (1, 1), (1, 1), (0, 0), 126, 1, 0, (-128, 127)),
        ("extreme", (2, 2, 4), (2, 2), (1, 1), (1, 1), (0, 0), -128, 255, 0, (-128, 127)),
    ]
    for i, (name, (h, w, c), kernel, stride, dilation, pad, base, levels, odd, (low, high)) in enumerate(plans):
        rng = np.random.RandomState(9600 + i)
        reach = 2**29 - 1 if name == "extreme" else 4000
        table = rng.randint(-reach, reach, 256)
        x = rng.randint(-128, 128, (h, w, c))
        out_h, out_w = ((n + 2 * p - (k - 1) * d - 1) // s + 1 for n, p, k, d, s in zip((h, w), pad, kernel, dilation, stride, strict=True))
        sums = np.zeros((out_h, out_w, c), np.int64)
        for oy, ox, ch, ky, kx in product(range(out_h), range(out_w), range(c), range(kernel[0]), range(kernel[1])):
            iy, ix = oy * stride[0] - pad[0] + ky * dilation[0], ox * stride[1] - pad[1] + kx * dilation[1]
            if 0 <= iy < h and 0 <= ix < w:
                sums[oy, ox, ch] += int(table[x[iy, ix, ch] + 128])
        near = (sums.reshape(-1)[:, None] + [0, 1, 300]).reshape(-1)
        thresholds = np.sort(rng.choice(near, levels))
        y = np.empty(sums.shape, np.int64)
        for at in product(*map(range, sums.shape)):
            reached = sum(int(t) <= int(sums[at]) for t in thresholds)
            y[at] = min(max(base + (-reached if odd and sums[at] % 2 else reached), low), high)
        a = dict(zip(WINDOW, (h, w, c, out_h, out_w, *kernel, *stride, *pad), strict=True))
        a |= {"dilation_h": dilation[0], "dilation_w": dilation[1], "base": base, "levels": levels, "odd_flips": odd}
        a |= {"clamp_min": low, "clamp_max": high}
        yield vector(name, "table_pool2d", a, [("int32", table), ("int32", thresholds)], [x[None]], y[None], [7, 0])


def div() -> Iterator[dict]:
    # name, sizes, strides of a, strides of b, shift, clamp
    plans = [
        ("alike", (1, 3, 2, 5), (30, 10, 5, 1), (30, 10, 5, 1), 18, (-128, 127)),
        ("rows and columns", (2, 3, 2, 4), (12, 4, 0, 1), (4, 0, 2, 0), 20, (-128, 127)),
        ("by one number", (1, 1, 1, 256), (0, 0, 0, 1), (0, 0, 0, 0), 1, (-12, 35)),
        ("ties", (1, 1, 1, 60), (0, 0, 0, 1), (0, 0, 0, 1), 2, (-128, 127)),
        ("greatest", (1, 1, 4, 9), (0, 0, 9, 1), (0, 0, 9, 1), 30, (-128, 127)),
    ]
    for i, (name, sizes, strides_a, strides_b, shift, (low, high)) in enumerate(plans):
        rng = np.random.RandomState(9700 + i)
        za, zy = (int(z) for z in rng.randint(-100, 100, 2))
        length_a, length_b = (1 + sum((n - 1) * s for n, s in zip(sizes, strides, strict=True)) for strides in (strides_a, strides_b))
        a, b = rng.randint(-128, 128, length_a), rng.randint(-128, 128, length_b)
        table = rng.randint(-(2**22), 2**22 + 1, 256) if shift > 2 else rng.randint(-3, 4, 256)
        if name == "by one number":  # y = a - za + zy, clamped: meets the bounds and the values next to them
            a, zy = np.arange(-128, 128), 7
            table[b[0] + 128] = 2
        if name == "greatest":
            za, a, table = 127, np.where(a > 0, a, -128), np.where(table > 0, 2**22, -(2**22))
        y = []
        for at in product(*map(range, sizes)):
            p = int(a[sum(k * s for k, s in zip(at, strides_a, strict=True))]) - za
            q = int(table[int(b[sum(k * s for k, s in zip(at, strides_b, strict=True))]) + 128])
            y.append(min(max(((p * q + 2 ** (shift - 1)) >> shift) + zy, low), high))
        attrs = {f"size_{k}": n for k, n in enumerate(sizes)}
        attrs |= {f"stride_a_{k}": s for k, s in enumerate(strides_a)} | {f"stride_b_{k}": s for k, s in enumerate(strides_b)}
        attrs |= {"zero_point_a": za, "out_zero_point": zy, "clamp_min": low, "clamp_max": high, "shift": shift}
        yield vector(name, "div", attrs, [("int32", table)], [a, b], np.reshape(y, sizes), [za, 0, zy])


MAKERS: dict[str, Callable[[], Iterator[dict]]] = {
    "conv2d": lambda: windowed("conv2d"),
    "depthwise_conv2d": lambda: windowed("depthwise_conv2d"),
    "dense": dense,
    "add": lambda: add("add"),
    "add_wide": lambda: add("add_wide"),
    "average_pool2d": lambda: pool("average_pool2d"),
    "max_pool2d": lambda: pool("max_pool2d"),
    "lookup": lookup,
    "softmax": softmax,
    "transpose": transpose,
    "argmax": argmax,
    "table_pool2d": table_pool,
    "div": div,
    "strided_copy": moving.strided_copy,
    "concat": moving.concat,
    "pad": moving.pad,
    "gather": moving.gather,
    "constant": moving.constant,
    "mul": mul,
    "minimum": lambda: moving.extremum("minimum"),
    "maximum": lambda: moving.extremum("maximum"),
    "resize": moving.resize,
    "conv_transpose2d": conv_transpose,
    "conv2d_add": sums.conv2d_add,
    "conv2d_s16": wide.conv2d,
    "average_pool2d_s16": wide.average_pool,
    "add_s16": wide.add,
    "rescale_s16": wide.rescale,
    "softmax_s16": wide.softmax,
    "argmax_s16": lambda: argmax(16),
}


def text(opcode: str) -> str:
    """The file of an opcode: one vector a line."""
    lines = [json.dumps(v, separators=(",", ":")) for v in MAKERS[opcode]()]
    return "[\n" + ",\n".join(lines) + "\n]\n"


if __name__ == "__main__":
    for opcode in MAKERS:
        (FOLDER / f"{opcode}.json").write_text(text(opcode))
        print(f"{opcode}.json: {len(list(MAKERS[opcode]()))} vectors")
