"""One-operator programs of the kernel families that are about bytes, not products, at shapes that exported networks have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from edgec import numerics
from edgec.ir.core import Program, Tensor
from edgec.ops import OPERATORS
from edgec.ops.base import single
from edgec.ops.conv import GEOMETRY
from edgec.ops.division import reciprocals
from edgec.ops.layout import Transpose
from edgec.ops.movement import StridedCopy
from edgec.ops.pooling import DILATED_WINDOW, WINDOW
from edgec.ops.resize import axis_table
from edgec.ops.table_pool import power_table, root_thresholds

CLAMP = {"clamp_min": -128, "clamp_max": 127}


def one(opcode: str, what: str, attrs: dict[str, int], shapes: Sequence[tuple[int, ...]], out: tuple[int, ...], constants=()) -> Program:
    """Inputs of `shapes` with the zero_points the attributes name."""
    zero = attrs.get("in_zero_point", 0)
    names = [attrs.get("zero_point_a", zero), attrs.get("zero_point_b", zero)]
    inputs = [Tensor(f"x{i}", shape, zero_point=names[i]) for i, shape in enumerate(shapes)]
    y = Tensor("y", out, OPERATORS[opcode].output_dtype, zero_point=attrs.get("out_zero_point", 0))
    return single(OPERATORS[opcode], f"{opcode} {what}", attrs, inputs, y, constants)


def numbered(**values: Sequence[int]) -> dict[str, int]:
    return {f"{name}_{i}": int(v) for name, group in values.items() for i, v in enumerate(group)}


def products() -> Iterator[Program]:
    for what, size, a, b in (
        ("8840 by 8840", (1, 1, 1, 8840), (0, 0, 0, 1), (0, 0, 0, 1)),
        ("16x16x16 by channel", (1, 1, 256, 16), (0, 0, 16, 1), (0, 0, 0, 1)),
        ("8x8x24 by channel", (1, 1, 64, 24), (0, 0, 24, 1), (0, 0, 0, 1)),
        ("28x28x72 by channel", (1, 1, 784, 72), (0, 0, 72, 1), (0, 0, 0, 1)),
    ):
        walks = numbered(size=size, stride_a=a, stride_b=b) | {"zero_point_a": -11, "out_zero_point": -90} | CLAMP
        shapes = [(1 + sum((n - 1) * s for n, s in zip(size, strides, strict=True)),) for strides in (a, b)]
        yield one("mul", what, walks | {"zero_point_b": -128, "multiplier": 32786208, "shift": 0}, shapes, size)
        table, shift = reciprocals(0.05, 0.02, -128, 0.05)
        yield one("div", what, walks | {"shift": shift}, shapes, size, [table])
    for opcode in ("minimum", "maximum"):
        yield one(opcode, "16x16x64", {"count": 16384}, [(16384,)] * 2, (16384,))
    ma, mb, c, n, wide = numerics.add_constants(100.0, 3.0, 5, -7, 11)
    yield one("add_wide" if wide else "add", "16x16x64", {"count": 16384, "multiplier_a": ma, "multiplier_b": mb, "offset": c, "shift": n} | CLAMP, [(16384,)] * 2, (16384,))


def rows() -> Iterator[Program]:
    for count in (384, 1024, 12288):
        table = np.random.default_rng(1).integers(-128, 128, 256)
        yield one("lookup", str(count), {"count": count}, [(count,)], (count,), [table])
    for outer, depth in ((4420, 2), (1, 12), (1, 1000), (64, 64), (196, 196)):
        table, factor, fraction = numerics.softmax_constants(0.05, depth, 1 / 256)
        attrs = {"rows": outer, "depth": depth, "factor": factor, "fraction": fraction, "out_zero_point": -128}
        yield one("softmax", f"{outer} rows of {depth}", attrs, [(outer, depth)], (outer, depth), [table])
    for outer, depth, inner in ((1, 10, 1), (1, 1000, 1), (1024, 21, 1), (1, 21, 1024)):
        attrs = {"outer": outer, "depth": depth, "inner": inner, "last": 0, "least": 0}
        yield one("argmax", f"{outer}x{depth}x{inner}", attrs, [(outer, depth, inner)], (outer, inner))


def moves() -> Iterator[Program]:
    for outer, a, b in ((4420, 2, 2), (1024, 12, 8), (64, 12, 6), (64, 8, 8), (1200, 32, 16), (196, 96, 32), (1, 14400, 2400)):
        attrs = {"outer": outer, "inner_a": a, "inner_b": b}
        yield one("concat", f"{outer} of {a} and {b}", attrs, [(outer, a), (outer, b)], (outer, a + b))
    for outer, size, count, inner in ((1, 1000, 64, 32), (256, 16, 16, 1), (64, 4, 8, 12)):
        index = np.random.default_rng(2).integers(0, size, count)
        attrs = {"outer": outer, "size": size, "count": count, "inner": inner}
        yield one("gather", f"{outer} of {count} from {size}, {inner} each", attrs, [(outer, size, inner)], (outer, count, inner), [index])
    for what, size, stride, offset, whole in (
        ("2 of 4, 4420 rows", (4420, 2), (4, 1), 2, 17680), ("8 of 16, 64 rows", (64, 8), (16, 1), 8, 1024), ("every second of 4096", (2048,), (2,), 0, 4096),
        ("20 of 40, 784 rows", (784, 20), (40, 1), 20, 31360), ("reversed 16x16x12", (16, 16, 12), (192, -12, 1), 180, 3072), ("one, 4096 times", (4096,), (0,), 3, 16),
    ):  # fmt: skip
        yield one("strided_copy", what, StridedCopy.attrs_for(size, stride, offset), [(whole,)], size)
    for what, shape, order in (("8x8x16 to channels first", (1, 8, 8, 16), (0, 3, 1, 2)), ("shuffle of 2 x 8", (64, 2, 8, 1), (0, 2, 1, 3)), ("64x96x4 heads", (1, 64, 4, 24), (0, 2, 1, 3))):
        yield one("transpose", what, Transpose.attrs_for(shape, order), [shape], tuple(shape[o] for o in order))
    for mode, what in ((0, "32x32x16 by 1"), (1, "32x32x16 reflected")):
        attrs = numbered(size=(1, 32, 32, 16), before=(0, 1, 1, 0), after=(0, 1, 1, 0)) | {"mode": mode, "value": 3}
        yield one("pad", what, attrs, [(1, 32, 32, 16)], (1, 34, 34, 16))
    for h, c, nearest in ((16, 12, None), (16, 64, None), (4, 16, "floor")):
        tables = [axis_table(h, 2 * h, 2.0, "half_pixel", nearest)] * 2
        attrs = {"in_h": h, "in_w": h, "channels": c, "out_h": 2 * h, "out_w": 2 * h}
        yield one("resize", f"{h}x{h}x{c} {nearest or 'linear'}", attrs, [(1, h, h, c)], (1, 2 * h, 2 * h, c), tables)


def windows() -> Iterator[Program]:
    for h, c, kernel, stride, pad in ((28, 32, 3, 1, 1), (14, 64, 3, 2, 1), (28, 32, 2, 2, 0), (7, 64, 5, 1, 2)):
        out = (h + 2 * pad - kernel) // stride + 1
        window = dict(zip(WINDOW, (h, h, c, out, out, kernel, kernel, stride, stride, pad, pad), strict=True))
        what, shapes, result = f"{h}x{h}x{c} {kernel}x{kernel}/{stride}" + (" padded" if pad else ""), [(1, h, h, c)], (1, out, out, c)
        counts = np.arange(1, kernel * kernel + 1) if pad else np.array([kernel * kernel])
        shift = numerics.layer_shift(0.9 / counts)
        attrs = window | {"in_zero_point": -7, "out_zero_point": 9, "shift": shift, "multipliers": len(counts)} | CLAMP
        yield one("average_pool2d", what, attrs, shapes, result, [numerics.multipliers(0.9 / counts, shift)])
        yield one("max_pool2d", what, window | CLAMP, shapes, result)
        table, exponent = power_table(-7, 2, kernel * kernel)
        thresholds = root_thresholds(0.05, 0.2, -128, 2, 2, exponent, -128, 127)
        dilated = dict(zip(DILATED_WINDOW, (*window.values(), 1, 1), strict=True)) | {"base": -128, "levels": thresholds.size, "odd_flips": 0} | CLAMP
        yield one("table_pool2d", what, dilated, shapes, result, [table, thresholds])


def transposed() -> Iterator[Program]:
    """conv_transpose2d: products, but of no layer in LAYERS."""
    for h, c, n, kernel, stride in ((16, 12, 12, 2, 2), (8, 64, 32, 4, 2)):
        pad = (kernel - stride) // 2
        out = (h - 1) * stride + kernel - 2 * pad
        rng = np.random.default_rng(3)
        weights = rng.integers(-127, 128, (n, kernel, kernel, c))
        scales = rng.uniform(0.3, 1.0, n) * 100.0 / (weights[0].size ** 0.5 * 73 * 73)
        attrs = dict(zip(GEOMETRY, (h, h, c, out, out, n, kernel, kernel, stride, stride, 1, 1, pad, pad), strict=True)) | {"groups": 1, "in_zero_point": 3, "out_zero_point": 7} | CLAMP
        shift = numerics.layer_shift(scales)
        constants = [weights, rng.integers(-2000, 2000, n), numerics.multipliers(scales, shift)]
        yield one("conv_transpose2d", f"{h}x{h}x{c} {kernel}x{kernel}/{stride} to {n}", attrs | {"shift": shift}, [(1, h, h, c)], (1, out, out, n), constants)


def all_cases() -> Iterator[Program]:
    for group in (products, rows, moves, windows, transposed):
        yield from group()
