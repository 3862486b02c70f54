"""Programs whose rows are longer than a vector, with what is left over: for host kernels that the operators' own cases are too small for."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bench.byte_kernels import CLAMP, numbered, one
from edgec import numerics
from edgec.ir.core import Program
from edgec.ops.division import reciprocals
from edgec.ops.movement import StridedCopy
from edgec.ops.pooling import DILATED_WINDOW, WINDOW
from edgec.ops.resize import axis_table
from edgec.ops.table_pool import power_table, root_thresholds
from tests import programs


def operators() -> Iterator[Program]:
    """One operator each."""
    size, strides = (1, 2, 3, 37), ((0, 111, 37, 1), (0, 0, 37, 1), (0, 111, 37, 1), (0, 0, 0, 0))
    table, shift = reciprocals(0.05, 0.02, -3, 0.05)
    for i, b in enumerate(strides):
        walks = numbered(size=size, stride_a=strides[0], stride_b=b) | {"zero_point_a": -11, "out_zero_point": -20, "clamp_min": -120, "clamp_max": 119}
        shapes = [(1 + sum((n - 1) * s for n, s in zip(size, steps, strict=True)),) for steps in (strides[0], b)]
        yield one("mul", f"wide {i}", walks | {"zero_point_b": -3, "multiplier": 32786208, "shift": i}, shapes, size)
        yield one("div", f"wide {i}", walks | {"shift": shift}, shapes, size, [table])
    for count in (64, 145):
        yield one("lookup", f"wide {count}", {"count": count}, [(count,)], (count,), [np.random.default_rng(1).integers(-128, 128, 256)])
    for rows, depth, scale in ((130, 3, 0.05), (5, 37, 0.05), (6, 37, 0.6), (2, 1024, 0.05), (2, 1500, 0.05)):
        entries, factor, fraction = numerics.softmax_constants(scale, depth, 1 / 256)
        attrs = {"rows": rows, "depth": depth, "factor": factor, "fraction": fraction, "out_zero_point": -128}
        yield one("softmax", f"{rows} of {depth} by {scale}", attrs, [(rows, depth)], (rows, depth), [entries])
    for i, (outer, depth, inner) in enumerate(((3, 40, 1), (2, 200, 1), (2, 5, 37), (3, 7, 9), (1, 3, 64))):
        for last, least in ((0, i % 2), (1, 1 - i % 2)):
            attrs = {"outer": outer, "depth": depth, "inner": inner, "last": last, "least": least}
            yield one("argmax", f"{outer}x{depth}x{inner} {last}", attrs, [(outer, depth, inner)], (outer, inner))
    for outer, a, b in ((5, 1, 2), (4, 3, 6), (3, 12, 8), (3, 40, 17), (2, 100, 70)):
        yield one("concat", f"{outer} of {a} and {b}", {"outer": outer, "inner_a": a, "inner_b": b}, [(outer, a), (outer, b)], (outer, a + b))
    for run in (1, 2, 3, 8, 12, 33, 64):
        index = [4, 0, 2, 3, 2]
        yield one("gather", f"runs of {run}", {"outer": 2, "size": 5, "count": 5, "inner": run}, [(2, 5, run)], (2, 5, run), [np.array(index)])
        for sizes, steps in (((6, run), (2 * run, 1)), ((2, 3, run), (7 * run, 2 * run, 1)), ((6, run), (-run, 1))):
            offset, whole = (5 * run, 6 * run) if steps[0] < 0 else (run, 14 * run)
            yield one("strided_copy", f"{sizes} {steps}", StridedCopy.attrs_for(sizes, steps, offset), [(whole,)], sizes)
    for before, after in (((0, 1, 2, 0), (0, 2, 1, 0)), ((1, 0, 0, 3), (0, 0, 1, 2)), ((0, 1, 0, 0), (1, 0, 0, 0)), ((0, 0, 0, 0), (0, 0, 0, 0))):
        out = tuple(b + n + a for b, n, a in zip(before, (2, 3, 4, 5), after, strict=True))
        yield one("pad", f"{before} {after}", numbered(size=(2, 3, 4, 5), before=before, after=after) | {"mode": 0, "value": -7}, [(2, 3, 4, 5)], out)
    for c in (12, 23):
        tables = [axis_table(4, 7, 7 / 4, "half_pixel", None)] * 2
        yield one("resize", f"wide {c}", {"in_h": 4, "in_w": 4, "channels": c, "out_h": 7, "out_w": 7}, [(1, 4, 4, c)], (1, 7, 7, c), tables)
    yield from windows()


def windows() -> Iterator[Program]:
    """Pools whose windows reach into the padding on some sides: every count of taps, several rows of each."""
    for h, w, c, kernel, stride, pad in ((7, 9, 5, (3, 3), (1, 1), (1, 1)), (8, 6, 19, (3, 2), (2, 1), (1, 0)), (6, 13, 24, (5, 4), (1, 2), (2, 3)), (5, 5, 37, (2, 2), (2, 2), (1, 1)),
                                         (9, 1, 70, (3, 1), (1, 1), (2, 0))):  # fmt: skip
        out = [-(-(n + 2 * p - k) // s) + 1 for n, p, k, s in zip((h, w), pad, kernel, stride, strict=True)]
        out = [min(o, (n + p - 1) // s + 1) for o, n, p, s in zip(out, (h, w), pad, stride, strict=True)]  # ceil_mode: beyond the padding too
        window = dict(zip(WINDOW, (h, w, c, *out, *kernel, *stride, *pad), strict=True))
        what, shapes, result, taps = f"{h}x{w}x{c} {kernel} {stride} {pad}", [(1, h, w, c)], (1, *out, c), kernel[0] * kernel[1]
        for counts in (np.arange(1, taps + 1), np.array([taps])):
            shift = numerics.layer_shift(0.9 / counts)
            attrs = window | {"in_zero_point": -37, "out_zero_point": 9, "shift": shift, "multipliers": len(counts)} | CLAMP
            yield one("average_pool2d", f"{what} {len(counts)}", attrs, shapes, result, [numerics.multipliers(0.9 / counts, shift)])
        table, exponent = power_table(-7, 2, taps)
        thresholds = root_thresholds(0.05, 0.07, -128, 2, 2, exponent, -100, 90)
        dilated = dict(zip(DILATED_WINDOW, (*window.values(), 1, 1), strict=True)) | {"base": -100, "levels": thresholds.size, "odd_flips": 0, "clamp_min": -100, "clamp_max": 90}
        yield one("table_pool2d", what, dilated, shapes, result, [table, thresholds])
        yield one("table_pool2d", f"{what} odd", dilated | {"base": 0, "odd_flips": 1}, shapes, result, [table, thresholds])


def joined() -> Iterator[Program]:
    """concat between layers with layouts of their own: padded, split by a stride, narrow pixels, a flat input beside them."""
    for c, d in ((12, 8), (5, 3), (64, 20), (8, 8)):
        b = programs.Builder(f"joined {c} {d}", (1, 6, 8, 4), seed=c)
        left, right = b.conv(b.inputs[0], c), b.conv(b.inputs[0], d)

        def concat(x: str, y: str, b: programs.Builder = b) -> str:
            (_, h, w, cx), cy = b.tensors[x].shape, b.tensors[y].shape[-1]
            return b._op("concat", (x, y), (1, h, w, cx + cy), {"outer": h * w, "inner_a": cx, "inner_b": cy}, zero_point=3)

        both = concat(left, right)
        more = concat(b.lookup(both), b.inputs[0])
        outputs = [b.conv(both, 7), b.depthwise(both, (3, 3), (2, 2)), b.max_pool(more, (2, 2)), b.dense(concat(both, left), 5), b.transpose(both, (0, 3, 1, 2))]
        yield b.program(*outputs, left)
    b = programs.Builder("joined vectors", (1, 9), seed=1)
    x = b.dense(b.inputs[0], 20)
    y = b._op("concat", (x, b.inputs[0]), (1, 29), {"outer": 1, "inner_a": 20, "inner_b": 9}, zero_point=3)
    yield b.program(b.dense(y, 6), b.softmax(y))


def wide_programs() -> list[Program]:
    return [*operators(), *joined()]
