"""Vectors of the operators with activations of 16 bits; sums tap by tap in Python's integers, as in make.py."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np

from edgec import numerics
from tests.vectors.form import vector

GEOMETRY = "in_h in_w in_c out_h out_w out_c kernel_h kernel_w stride_h stride_w dilation_h dilation_w pad_top pad_left".split()
WINDOW = "in_h in_w channels out_h out_w kernel_h kernel_w stride_h stride_w pad_top pad_left".split()
REACH = {8: (-128, 127), 16: (-32768, 32767)}


def _zeros(rng: np.random.RandomState, *bits: int) -> list[int]:
    return [int(z) if b == 8 else 0 for z, b in zip(rng.randint(-90, 90, len(bits)), bits, strict=True)]


def _values(rng: np.random.RandomState, shape: tuple[int, ...], bits: int, kind: str) -> np.ndarray:
    low, high = REACH[bits]
    x = rng.randint(low, high + 1, shape)
    return np.where(rng.random_sample(shape) < 0.5, low, high) if kind == "extreme" else x


def conv2d() -> Iterator[dict]:
    plans = [  # name, in (h, w, c), out_c, kernel, stride, dilation, pads (top, left, bottom, right), groups, in bits, out bits, narrow, ratio, kind
        ("16 to 8, padding", (5, 4, 3), 3, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1), 1, 16, 8, 0, 2e-6, ""),
        ("8 to 16, padding and zero_point", (5, 4, 3), 2, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1), 1, 8, 16, 0, 0.11, ""),
        ("16 to 16, stride, dilation, groups", (6, 7, 4), 6, (2, 3), (1, 2), (2, 1), (1, 0, 0, 1), 2, 16, 16, 0, 0.003, ""),
        ("depthwise", (4, 5, 3), 3, (3, 3), (2, 2), (1, 1), (0, 1, 1, 1), 3, 16, 8, 0, 4e-6, ""),
        ("narrowed", (1, 1, 40), 4, (1, 1), (1, 1), (1, 1), (0, 0, 0, 0), 1, 16, 16, 3, 0.02, "extreme"),
        ("narrowed ties", (1, 1, 4), 4, (1, 1), (1, 1), (1, 1), (0, 0, 0, 0), 1, 16, 16, 4, 0.4, "ties"),
        ("saturating before the shift", (1, 1, 4), 3, (1, 1), (1, 1), (1, 1), (0, 0, 0, 0), 1, 16, 8, 0, 90.0, "extreme"),
        ("clamped", (3, 3, 4), 4, (1, 1), (1, 1), (1, 1), (0, 0, 0, 0), 1, 16, 16, 0, 0.002, "clamp"),
        ("dilation along columns", (3, 7, 2), 2, (2, 3), (1, 1), (1, 2), (0, 2, 0, 2), 1, 16, 16, 0, 0.003, ""),
        ("narrowed and saturating", (1, 1, 1200), 2, (1, 1), (1, 1), (1, 1), (0, 0, 0, 0), 1, 16, 16, 1, 6e-6, "all"),
    ]
    for i, (name, (h, w, c), out_c, kernel, stride, dilation, pads, groups, in_bits, out_bits, narrow, ratio, kind) in enumerate(plans):
        rng = np.random.RandomState(5000 + i)
        out = [(n + pads[k] + pads[k + 2] - (kernel[k] - 1) * dilation[k] - 1) // stride[k] + 1 for k, n in enumerate((h, w))]
        a = dict(zip(GEOMETRY, (h, w, c, *out, out_c, *kernel, *stride, *dilation, *pads[:2]), strict=True))
        zero_x, zero_y = _zeros(rng, in_bits, out_bits)
        x = _values(rng, (h, w, c), in_bits, kind)
        weights = rng.randint(-2, 3, (out_c, *kernel, c // groups)) if kind == "ties" else rng.randint(-127, 128, (out_c, *kernel, c // groups))
        if kind == "all":  # the greatest and the least sum there can be
            x, weights = np.full(x.shape, 32767), np.stack([np.full((*kernel, c), 127), np.full((*kernel, c), -127)])
        bias = rng.randint(-9000, 9000, out_c) - zero_x * weights.reshape(out_c, -1).sum(axis=1)
        scales = rng.uniform(0.5, 1.0, out_c) * ratio * 2.0**narrow
        shift = numerics.layer_shift(scales)
        multiplier = numerics.multipliers(scales, shift)
        low, high = REACH[out_bits]
        if kind == "clamp":
            low, high = zero_y, 9000
        y = np.zeros((*out, out_c), np.int64)
        for oy, ox, oc in product(range(out[0]), range(out[1]), range(out_c)):
            acc = int(bias[oc])
            for ky, kx, k in product(range(kernel[0]), range(kernel[1]), range(c // groups)):
                iy, ix = oy * stride[0] - pads[0] + ky * dilation[0], ox * stride[1] - pads[1] + kx * dilation[1]
                inside = 0 <= iy < h and 0 <= ix < w
                value = int(x[iy, ix, oc // (out_c // groups) * (c // groups) + k]) if inside else zero_x
                acc += value * int(weights[oc, ky, kx, k])
            if narrow:
                acc = min(max((acc + 2 ** (narrow - 1)) >> narrow, -(2**31)), 2**31 - 1)
            y[oy, ox, oc] = numerics.requantize(acc, multiplier[oc], zero_y, low, high, shift, out_bits)
        attrs = a | {"groups": groups, "in_zero_point": zero_x, "out_zero_point": zero_y, "clamp_min": low, "clamp_max": high}
        attrs |= {"narrow": narrow, "shift": shift, "in_bits": in_bits, "out_bits": out_bits}
        constants = [("int8", weights), ("int32", bias), ("int32", multiplier)]
        yield vector(name, "conv2d_s16", attrs, constants, [x], y, [zero_x, zero_y], f"int{out_bits}", [f"int{in_bits}"])


def average_pool() -> Iterator[dict]:
    plans = [("8 to 16", (4, 3, 2), (4, 3), (1, 1), (0, 0), 8, 16, ""), ("16 to 16, padding", (4, 5, 2), (3, 3), (1, 2), (1, 1), 16, 16, ""),
             ("16 to 8", (4, 4, 3), (2, 2), (2, 2), (0, 0), 16, 8, ""), ("clamped", (3, 9, 4), (3, 3), (1, 1), (0, 0), 16, 16, "clamp")]  # fmt: skip
    for i, (name, (h, w, c), kernel, stride, pad, in_bits, out_bits, kind) in enumerate(plans):
        rng = np.random.RandomState(5100 + i)
        out = [(n + 2 * p - k) // s + 1 for n, k, s, p in zip((h, w), kernel, stride, pad, strict=True)]
        zero_x, zero_y = _zeros(rng, in_bits, out_bits)
        x = _values(rng, (h, w, c), in_bits, kind)
        taps = kernel[0] * kernel[1]
        whole = 0.83 * 2.0 ** (out_bits - in_bits)
        scales = np.array([whole / n for n in range(1, taps + 1)] if pad[0] else [whole / taps])
        shift = numerics.layer_shift(scales)
        multiplier = numerics.multipliers(scales, shift)
        low, high = (-2000, 2000) if kind == "clamp" else REACH[out_bits]
        y = np.zeros((*out, c), np.int64)
        for oy, ox, ch in product(range(out[0]), range(out[1]), range(c)):
            values = [
                int(x[oy * stride[0] - pad[0] + ky, ox * stride[1] - pad[1] + kx, ch]) - zero_x
                for ky, kx in product(range(kernel[0]), range(kernel[1]))
                if 0 <= oy * stride[0] - pad[0] + ky < h and 0 <= ox * stride[1] - pad[1] + kx < w
            ]
            m = multiplier[len(values) - 1] if pad[0] else multiplier[0]
            y[oy, ox, ch] = numerics.requantize(sum(values), m, zero_y, low, high, shift, out_bits)
        attrs = dict(zip(WINDOW, (h, w, c, *out, *kernel, *stride, *pad), strict=True))
        attrs |= {"in_zero_point": zero_x, "out_zero_point": zero_y, "clamp_min": low, "clamp_max": high, "shift": shift}
        attrs |= {"multipliers": len(multiplier), "in_bits": in_bits, "out_bits": out_bits}
        yield vector(name, "average_pool2d_s16", attrs, [("int32", multiplier)], [x], y, [zero_x, zero_y], f"int{out_bits}", [f"int{in_bits}"])


def add() -> Iterator[dict]:
    plans = [("16 and 16", 16, 16, 16, 0.61, 0.42, ""), ("16 and 8", 16, 8, 16, 0.9, 180.0, ""), ("8 and 16 to 8", 8, 16, 8, 0.5, -0.003, ""),
             ("clamped", 16, 16, 8, 0.003, 0.004, "clamp"), ("extreme", 16, 16, 16, 1.0, -1.0, "extreme"),
             ("low word of the offset above 2^31", 8, 8, 16, 120.0, 100.0, "word"),
             ("beside the bounds", 16, 16, 8, 1.0, 1.0, "sweep")]  # fmt: skip
    for i, (name, a_bits, b_bits, out_bits, ratio_a, ratio_b, kind) in enumerate(plans):
        rng = np.random.RandomState(5200 + i)
        zero_a, zero_b, zero_y = _zeros(rng, a_bits, b_bits, out_bits)
        a, b = _values(rng, (3, 7), a_bits, kind), _values(rng, (3, 7), b_bits, kind)
        if kind == "sweep":
            a, b = np.arange(21).reshape(3, 7) + 119 - zero_y, np.zeros((3, 7), np.int64)
            a[0] = -120 - zero_y - np.arange(7) * 2
        shift = 22 if max(abs(ratio_a), abs(ratio_b)) > 2 else 29
        ma, mb = int(np.rint(ratio_a * 2.0**shift)), int(np.rint(ratio_b * 2.0**shift))
        if kind == "word":
            zero_b = next(z for z in range(-128, 0) if (2 ** (shift - 1) - zero_a * ma - z * mb) % 2**32 >= 2**31)
        offset = zero_y * 2**shift + 2 ** (shift - 1) - zero_a * ma - zero_b * mb
        offset -= 2 ** (shift - 1) + 1 if kind == "sweep" else 0  # every sum lies one below a whole number
        low, high = (zero_y, 100) if kind == "clamp" else REACH[out_bits]
        y = [min(max((int(p) * ma + int(q) * mb + offset) >> shift, low), high) for p, q in zip(a.reshape(-1), b.reshape(-1), strict=True)]
        word = offset % 2**32
        attrs = {"count": 21, "multiplier_a": ma, "multiplier_b": mb, "offset_high": (offset - word) >> 32}
        attrs |= {"offset_low": word - 2**32 if word >= 2**31 else word, "shift": shift, "clamp_min": low, "clamp_max": high}
        attrs |= {"a_bits": a_bits, "b_bits": b_bits, "out_bits": out_bits}
        shaped = np.array(y).reshape(3, 7)
        yield vector(name, "add_s16", attrs, [], [a, b], shaped, [zero_a, zero_b, zero_y], f"int{out_bits}", [f"int{a_bits}", f"int{b_bits}"])


def rescale() -> Iterator[dict]:
    plans = [("16 to 8", 16, 8, 0.0037, ""), ("8 to 16", 8, 16, 200.3, ""), ("16 to 16", 16, 16, 1.7, ""), ("clamped", 16, 8, 0.004, "clamp"), ("ties", 16, 8, 0.25, "ties")]
    for i, (name, in_bits, out_bits, ratio, kind) in enumerate(plans):
        rng = np.random.RandomState(5300 + i)
        zero_x, zero_y = _zeros(rng, in_bits, out_bits)
        x = np.arange(-20, 20) if kind == "ties" else _values(rng, (40,), in_bits, kind)
        shift = numerics.layer_shift(np.array([ratio]))
        m = int(numerics.multipliers(np.array([ratio]), shift)[0])
        low, high = (zero_y, 50) if kind == "clamp" else REACH[out_bits]
        y = np.array([int(numerics.requantize(int(v) - zero_x, m, zero_y, low, high, shift, out_bits)) for v in x])
        attrs = {"count": 40, "in_zero_point": zero_x, "out_zero_point": zero_y, "clamp_min": low, "clamp_max": high, "multiplier": m}
        attrs |= {"shift": shift, "in_bits": in_bits, "out_bits": out_bits}
        yield vector(name, "rescale_s16", attrs, [], [x], y, [zero_x, zero_y], f"int{out_bits}", [f"int{in_bits}"])


def softmax() -> Iterator[dict]:
    plans = [  # rows, depth, M, shift, output scale, zero_point; M / 2^(shift + 14) octaves a step
        (2, 10, 1_239_000_000, 26, 1 / 256, -128),
        (1, 3, 1_900_000_000, 29, 1 / 200, -100),
        (3, 2, 1_100_000_000, 24, 1 / 256, -128),
        (1, 300, 1_500_000_000, 29, 1 / 4096, -128),
        (1, 1, 1_239_000_000, 26, 1 / 256, -128),
        (1, 5, 2**31 - 1, 1, 1 / 256, -128),
        (1, 300, 1_500_000_000, 27, 1 / 256, -128),
        (2, 10, 1_239_000_000, 19, 1 / 256, -128),  # from here on of int8
        (3, 2, 1_900_000_000, 21, 1 / 200, -100),
    ]
    for i, (rows, depth, multiplier, shift, scale_y, zero_y) in enumerate(plans):
        rng = np.random.RandomState(5400 + i)
        bits = 16 if i < 7 else 8
        x = rng.randint(*((-32768, 32768) if bits == 16 else (-128, 128)), (rows, depth))
        depth_bits = (depth - 1).bit_length()
        a = {"multiplier": multiplier, "shift": shift, "depth_bits": depth_bits, "factor": round(256 / scale_y), "fraction": 8, "out_zero_point": zero_y}
        while a["factor"] > 2**15:
            a["fraction"] -= 1
            a["factor"] = round(2 ** a["fraction"] / scale_y)
        if i == 0:
            x[1] = -32768  # all equal
            x = np.concatenate([x, _decisive(a, rng.randint(-32768, -15000, (20000, depth)))])
        if i == 6:  # entries around 2^-21, whose power is 1 or nothing, and three that count
            many = rng.randint(500, 2700, (2000, depth))
            many[:, ::100] = rng.randint(28_000, 32_768, (2000, 3))
            x = np.concatenate([x, _decisive(a, many, "small")])
        rows = len(x)
        y = _softmax(x, a)
        name, zero_x = f"{rows} of {depth}" + " int8" * (bits == 8), 0 if bits == 16 else 11
        yield vector(name, "softmax_s16", {"rows": rows, "depth": depth, **a, "in_bits": bits}, [], [x], y, [zero_x, zero_y], "int8", [f"int{bits}"])


CHANGES = ("half", "whole", "c0", "c1", "c2", "c3")


def _softmax(x: np.ndarray, a: dict, change: str = "") -> np.ndarray:
    """By docs/SPEC.md 1.12; `change` leaves one thing of it out or makes it a little different."""
    half = {"half": 0, "whole": 2}.get(change, 1) << (a["shift"] - 1)
    octaves = ((x.max(axis=1, keepdims=True) - x).astype(np.int64) * a["multiplier"] + half) >> a["shift"]
    n, f = octaves // 2**14 + a["depth_bits"], octaves % 2**14
    r = np.int64(0)
    for k, c in reversed(list(enumerate((181679, 62768, 13948, 1788)))):
        r = (c + 16 * (change == f"c{k}")) - r * f // 2**14
    t = ((2**31 - r * f // 2) // 2 ** np.minimum(n, 30) + (change != "small")) // 2
    t = np.where(n > 30, 0, t)
    s = t.sum(axis=1, keepdims=True)
    k = np.array([max(0, int(v).bit_length() - 16) for v in s[:, 0]])[:, None]
    short = np.where(k > 0, (s + 2**k // 2) // 2**k, s)
    y = (t * (2**31 // short) * a["factor"] + 2 ** (30 + k + a["fraction"])) // 2 ** (31 + k + a["fraction"])
    return np.clip(y + a["out_zero_point"], -128, 127)


def _decisive(a: dict, x: np.ndarray, *changes: str) -> np.ndarray:
    """Of many rows those few in which one of the changes gives another byte."""
    wanted, rows = _softmax(x, a), []
    for change in changes or CHANGES:
        at = np.flatnonzero((_softmax(x, a, change) != wanted).any(axis=1))[:2]
        assert len(at), f"no row decides {change}"
        rows += list(at)
    return x[rows]
