"""table_pool2d: a table summed over windows, and any monotone function of the sum: norms (LpPool, ReduceL2, …), products (ReduceProd), dilated averages."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from edgec import numerics
from edgec.ir.core import Program, Tensor
from edgec.ops.base import Operator, single
from edgec.ops.pooling import DILATED_WINDOW, WINDOW, lower_reduction, lower_window

COARSEST = 8
"""Steps of the input whose power may vanish in the table; beyond it the operator is refused."""


MOST_FACTORS = 64
"""Factors of a product: their logarithms then have 14 fraction bits."""


class TablePool2d(Operator):
    """acc = Σ table[q + 128] over a window's taps inside; y = clamp(base ± the number of thresholds ≤ acc). docs/SPEC.md 1.10.

    The sign is +, but − where `odd_flips` is 1 and acc is odd.
    """

    opcode, code = "table_pool2d", 22
    onnx = ("LpPool", "GlobalLpPool", "ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceProd")
    fields = (*DILATED_WINDOW, "base", "levels", "odd_flips", "clamp_min", "clamp_max")
    roles = ("table", "thresholds")
    role_dtypes = ("int32", "int32")

    def check(self, op, inputs, outputs, constants) -> str | None:
        a = op.attrs
        if min(a[k] for k in (*DILATED_WINDOW, "levels") if not k.startswith("pad")) < 1 or min(a["pad_top"], a["pad_left"]) < 0:
            return "sizes, strides and dilations must be positive and padding not negative"
        if inputs[0].size != a["in_h"] * a["in_w"] * a["channels"] or outputs[0].size != a["out_h"] * a["out_w"] * a["channels"]:
            return "input or output size does not follow from the attributes"
        for pad, k in (("pad_top", "h"), ("pad_left", "w")):
            if a[pad] > (a[f"kernel_{k}"] - 1) * a[f"dilation_{k}"] or (a[f"out_{k}"] - 1) * a[f"stride_{k}"] - a[pad] >= a[f"in_{k}"]:
                return "a window lies wholly in the padding"
        table, thresholds = (c.data for c in constants)
        if table.shape != (256,) or thresholds.shape != (a["levels"],) or np.any(np.diff(thresholds.astype(np.int64)) < 0):
            return "the table must have 256 entries and the thresholds must ascend"
        if not -128 <= a["base"] <= 127 or a["levels"] > 255 or a["odd_flips"] not in (0, 1):
            return "base must be an int8, there are at most 255 thresholds, and odd_flips is 0 or 1"
        return None if -128 <= a["clamp_min"] <= a["clamp_max"] <= 127 else "clamp bounds must satisfy -128 <= clamp_min <= clamp_max <= 127"

    def golden(self, op, inputs, constants):
        a = op.attrs
        table, thresholds = (c.astype(np.int64) for c in constants)
        powers = table[np.asarray(inputs[0]).reshape(a["in_h"], a["in_w"], a["channels"]).astype(np.int64) + 128]
        rows, cols = (np.arange(a[f"out_{k}"]) * a[f"stride_{k}"] - a[pad] for k, pad in (("h", "pad_top"), ("w", "pad_left")))
        acc = np.zeros((a["out_h"], a["out_w"], a["channels"]), np.int64)
        for i, j in np.ndindex(a["kernel_h"], a["kernel_w"]):
            y, x = rows + i * a["dilation_h"], cols + j * a["dilation_w"]
            inside = np.logical_and.outer((y >= 0) & (y < a["in_h"]), (x >= 0) & (x < a["in_w"]))
            acc += powers[np.clip(y, 0, a["in_h"] - 1)[:, None], np.clip(x, 0, a["in_w"] - 1)] * inside[:, :, None]
        reached = np.searchsorted(thresholds, acc, side="right")
        signed = np.where(acc & a["odd_flips"], -reached, reached)
        return [np.clip(a["base"] + signed, a["clamp_min"], a["clamp_max"]).astype(np.int8)]

    def accumulator_bounds(self, op, constants):
        taps, table = op.attrs["kernel_h"] * op.attrs["kernel_w"], constants[0].astype(np.int64)
        return taps * min(int(table.min()), 0), taps * max(int(table.max()), 0)

    def lower(self, ctx, node) -> None:
        if node.op_type == "ReduceProd":
            lower_product(ctx, node)
            return
        if node.op_type.startswith("Reduce"):
            p = 1 if node.op_type == "ReduceL1" else 2
            x, result, y, attrs = lower_reduction(ctx, node)
            attrs |= {"dilation_h": 1, "dilation_w": 1}
        else:
            p = node.attributes.get_int("p", 2)
            x, result, y, attrs = lower_window(ctx, node, DILATED_WINDOW)
        taps = attrs["kernel_h"] * attrs["kernel_w"]
        try:
            table, exponent = power_table(x.tensor.zero_point, p, taps)
        except ValueError as error:
            raise ctx.refuse(node, f"{node.op_type} with p = {p} over {taps} values is not supported", str(error), "use a smaller p or a smaller window") from None
        root = 1 if node.op_type == "ReduceSumSquare" else p
        thresholds = root_thresholds(x.tensor.scale, y.scale, y.zero_point, p, root, exponent, result.clamp_min, result.clamp_max)
        ctx.emit("table_pool2d", node.name, [x.tensor], y, attrs | from_the_least(result, thresholds), [table, thresholds])

    def cases(self) -> Iterator[Program]:
        # in, channels, kernel, stride, dilation, pad, p, root, clamp
        plans = [
            ((5, 6), 3, (3, 2), (2, 1), (1, 1), (1, 0), 2, 2, (-128, 127)),
            ((7, 7), 2, (2, 3), (1, 2), (2, 2), (1, 2), 1, 1, (-100, 90)),
            ((1, 40), 1, (1, 40), (1, 1), (1, 1), (0, 0), 2, 1, (-128, 127)),
            ((4, 4), 5, (2, 2), (2, 2), (1, 1), (0, 0), 4, 4, (-128, 127)),
        ]
        for i, ((h, w), c, kernel, stride, dilation, pad, p, root, (low, high)) in enumerate(plans):
            rng = np.random.default_rng(1200 + i)
            zx, zy = int(rng.integers(-100, 100)), int(rng.integers(-128, -60))
            out = [(n + 2 * q - (k - 1) * d - 1) // s + 1 for n, q, k, d, s in zip((h, w), pad, kernel, dilation, stride, strict=True)]
            table, exponent = power_table(zx, p, kernel[0] * kernel[1])
            most = 0.05 ** (p / root) * (kernel[0] * kernel[1]) ** (1 / root) * 120 ** (p / root)
            thresholds = root_thresholds(0.05, most / 200, zy, p, root, exponent, low, high)
            attrs = dict(zip(WINDOW, (h, w, c, *out, *kernel, *stride, *pad), strict=True))
            attrs |= {"dilation_h": dilation[0], "dilation_w": dilation[1], "base": low, "levels": thresholds.size}
            attrs |= {"odd_flips": 0, "clamp_min": low, "clamp_max": high}
            name = f"table_pool2d_{i}"
            x, y = Tensor(f"{name}.x", (1, h, w, c), zero_point=zx), Tensor(f"{name}.y", (1, *out, c), zero_point=zy)
            yield single(self, name, attrs, [x], y, [table, thresholds])
        table, thresholds = logarithms(-3, 5), product_thresholds(0.05, 0.05**5 * 3e5, 5)
        attrs = dict(zip(DILATED_WINDOW, (15, 1, 2, 3, 1, 5, 1, 5, 1, 0, 0, 1, 1), strict=True))
        attrs |= {"base": 4, "levels": thresholds.size, "odd_flips": 1, "clamp_min": -100, "clamp_max": 127}
        x, y = Tensor("table_pool2d_p.x", (3, 5, 2), zero_point=-3), Tensor("table_pool2d_p.y", (3, 2), zero_point=4)
        yield single(self, "table_pool2d_p", attrs, [x], y, [table, thresholds])


def from_the_least(result, thresholds: np.ndarray) -> dict[str, int]:
    """Attributes of an output that counts from its least value."""
    return {"base": result.clamp_min, "levels": thresholds.size, "odd_flips": 0, "clamp_min": result.clamp_min, "clamp_max": result.clamp_max}


def power_table(zero_point: int, p: int, taps: int) -> tuple[np.ndarray, int]:
    """⌊|q − z|^p / 2^e + 1/2⌋ for each q, and e: the smallest for which `taps` of them stay below 2^31 − 1. int32 [256].

    Raises:
        ValueError: p < 1, or more than COARSEST steps of the input would count as nothing.
    """
    if p < 1:
        raise ValueError("p must be at least 1")
    powers = [abs(q - zero_point) ** p for q in range(-128, 128)]
    exponent = 0
    while taps * _scaled(max(powers), exponent) > numerics.INT32_MAX - 1:
        exponent += 1
    lost = 2 ** ((exponent - 1) / p) if exponent else 0.0
    if lost > COARSEST:
        raise ValueError(f"in 32-bit sums, values of up to {math.ceil(lost) - 1} steps would count as nothing, and edgec allows {COARSEST}")
    return np.array([_scaled(v, exponent) for v in powers], np.int32), exponent


def _scaled(value: int, exponent: int) -> int:
    return value if exponent == 0 else (value + 2 ** (exponent - 1)) >> exponent


def lower_dilated_average(ctx, node) -> None:
    """AveragePool with dilation: Σ (q − z_x) over the taps inside by a table, divided by all taps of the window."""
    x, result, y, a = lower_window(ctx, node, DILATED_WINDOW)
    full = all((a[f"out_{k}"] - 1) * a[f"stride_{k}"] - a[pad] + (a[f"kernel_{k}"] - 1) * a[f"dilation_{k}"] < a[f"in_{k}"] for k, pad in (("h", "pad_top"), ("w", "pad_left")))
    padded = not full or a["pad_top"] > 0 or a["pad_left"] > 0
    if padded and (not node.attributes.get_int("count_include_pad", 0) or node.attributes.get_int("ceil_mode", 0)):
        why = "then positions divide by different counts; edgec compiles dilated averages without padding or with count_include_pad alone"
        raise ctx.refuse(node, "a dilated AveragePool over padding that does not count", why, "pad with a Pad node first, or export with count_include_pad")
    step = Fraction(y.scale) * a["kernel_h"] * a["kernel_w"] / Fraction(x.tensor.scale)
    thresholds = [math.ceil((v - y.zero_point - Fraction(1, 2)) * step) for v in range(result.clamp_min + 1, result.clamp_max + 1)]
    limits = numerics.INT32_MIN, numerics.INT32_MAX
    thresholds = np.clip(thresholds or [numerics.INT32_MAX], *limits).astype(np.int32)
    ctx.emit("table_pool2d", node.name, [x.tensor], y, a | from_the_least(result, thresholds), [np.arange(-128, 128) - x.tensor.zero_point, thresholds])


def lower_product(ctx, node) -> None:
    """ReduceProd by logarithms: their sum gives the magnitude, the number of negative factors its sign."""
    x, result, y, attrs = lower_reduction(ctx, node)
    count = attrs["kernel_h"]
    if count > MOST_FACTORS:
        why = f"in 32-bit sums the logarithms of more than {MOST_FACTORS} factors are too coarse, and no int8 scale holds such products"
        raise ctx.refuse(node, f"a product of {count} factors is not supported", why, "multiply fewer values, or add their logarithms")
    thresholds = product_thresholds(x.tensor.scale, y.scale, count)
    attrs |= {"dilation_h": 1, "dilation_w": 1, "base": y.zero_point, "levels": thresholds.size, "odd_flips": 1}
    attrs |= {"clamp_min": result.clamp_min, "clamp_max": result.clamp_max}
    ctx.emit("table_pool2d", node.name, [x.tensor], y, attrs, [logarithms(x.tensor.zero_point, count), thresholds])


def logarithm_bits(count: int) -> int:
    """f: logarithms of `count` factors have f fraction bits, so that a zero outweighs all others and zeros alone fit int32."""
    return 26 - 2 * math.ceil(math.log2(count)) if count > 1 else 26


def logarithms(zero_point: int, count: int) -> np.ndarray:
    """2·⌊log2|q − z|·2^(f−1) + 1/2⌋, and 1 more for q < z; −2·⌊2^30 / count⌋ for q = z, since a product with 0 is 0. int32 [256]."""
    scale = 2.0 ** (logarithm_bits(count) - 1)
    table = []
    for d in range(-128 - zero_point, 128 - zero_point):
        if d == 0:
            table.append(-2 * (2**30 // count))
        else:
            table.append(2 * numerics.decided(math.log2(abs(d)) * scale, lambda d=d: _exact_log2(abs(d)) * scale) + (d < 0))
    return np.array(table, np.int32)


def product_thresholds(scale_x: float, scale_y: float, count: int) -> np.ndarray:
    """For each magnitude m in 1 … 255 the least sum of logarithms that reaches m − 1/2 output steps. int32 [255]."""
    scale = 2.0 ** logarithm_bits(count)
    offset = math.log2(scale_y) - count * math.log2(scale_x)
    thresholds = []
    for m in range(1, 256):
        v = (math.log2(m - 0.5) + offset) * scale
        exact = lambda m=m: -(_exact_log2(m - 0.5) + _exact_log2(scale_y) - count * _exact_log2(scale_x)) * scale - 0.5  # noqa: E731
        thresholds.append(-numerics.decided(-v - 0.5, exact))  # ⌈v⌉ = −⌊−v⌋
    return np.clip(thresholds, 0, numerics.INT32_MAX).astype(np.int32)  # sums without a zero are never negative, others always


def _exact_log2(v: float):
    import mpmath

    return mpmath.log(mpmath.mpf(v), 2)


def root_thresholds(scale_x: float, scale_y: float, zero_y: int, p: int, root: int, exponent: int, low: int, high: int) -> np.ndarray:
    """For each output y in low + 1 … high the least sum that gives it: int32 [high − low] (one unreachable entry where low = high).

    y is ⌊(s_x^p · acc · 2^e)^(1/root) / s_y + 1/2⌋ + z_y, decided in exact rational arithmetic.
    """
    unit = Fraction(scale_x) ** p * 2**exponent
    thresholds = []
    for y in range(low + 1, high + 1):
        edge = (Fraction(y - zero_y) - Fraction(1, 2)) * Fraction(scale_y)
        thresholds.append(min(math.ceil(edge**root / unit), numerics.INT32_MAX) if edge > 0 else 0)
    return np.array(thresholds or [numerics.INT32_MAX], np.int32)
