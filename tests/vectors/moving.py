"""Vectors of the operators that move or pick bytes: strided_copy, concat, pad, gather, constant, minimum, maximum, resize."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np

from tests.vectors.form import vector

AXES = 6
RESIZE_BITS = 11


def strided_copy() -> Iterator[dict]:
    # name, input size, sizes, strides, offset
    plans = [
        ("reversed columns", 24, (1, 1, 1, 1, 4, 6), (0, 0, 0, 0, 6, -1), 5),
        ("every second of every third", 35, (1, 1, 1, 1, 2, 3), (0, 0, 0, 0, 14, 2), 8),
        ("repeated", 7, (1, 1, 1, 3, 7, 2), (0, 0, 0, 0, 1, 0), 0),
        ("six axes", 2 * 3 * 2 * 3 * 2 * 4, (3, 2, 2, 4, 2, 3), (48, 144, 24, 1, 4, 8), 0),
    ]
    for i, (name, size, sizes, strides, offset) in enumerate(plans):
        x = np.random.RandomState(7000 + i).randint(-128, 128, size)
        y = [x[offset + sum(a * s for a, s in zip(at, strides, strict=True))] for at in product(*map(range, sizes))]
        attrs = {f"size_{k}": s for k, s in enumerate(sizes)} | {f"stride_{k}": s for k, s in enumerate(strides)} | {"offset": offset}
        yield vector(name, "strided_copy", attrs, [], [x], np.reshape(y, sizes), [-3, -3])


def concat() -> Iterator[dict]:
    for i, (outer, a, b) in enumerate([(1, 5, 9), (4, 3, 1), (3, 1, 17)]):
        rng = np.random.RandomState(7100 + i)
        first, second = rng.randint(-128, 128, (outer, a)), rng.randint(-128, 128, (outer, b))
        y = np.array([[*p, *q] for p, q in zip(first, second, strict=True)])
        attrs = {"outer": outer, "inner_a": a, "inner_b": b}
        yield vector(f"{outer} times {a} and {b}", "concat", attrs, [], [first, second], y, [5, 5, 5])


def _source(at: int, size: int, mode: int) -> int | None:
    """Input index of position `at` along an axis of `size`, None where the value goes; `at` may be negative or beyond."""
    if 0 <= at < size:
        return at
    if mode == 0:
        return None
    if mode == 1:
        return -at if at < 0 else 2 * (size - 1) - at
    if mode == 2:
        return 0 if at < 0 else size - 1
    return at % size


def pad() -> Iterator[dict]:
    plans = [  # shape, before, after
        ((1, 3, 4, 2), (0, 1, 2, 0), (0, 2, 1, 0)),
        ((2, 3, 2, 4), (1, 0, 1, 2), (0, 1, 1, 3)),
        ((2, 2, 3, 3), (1, 1, 0, 2), (1, 0, 2, 0)),
    ]
    names = ("constant", "reflect", "edge", "wrap")
    for (i, (shape, before, after)), mode in product(enumerate(plans), range(4)):
        x = np.random.RandomState(7200 + i).randint(-128, 128, shape)
        value = (-9, 77, -128)[i]
        y = np.full([b + n + e for b, n, e in zip(before, shape, after, strict=True)], value)
        for at in product(*map(range, y.shape)):
            source = [_source(k - b, n, mode) for k, b, n in zip(at, before, shape, strict=True)]
            if None not in source:
                y[at] = x[tuple(source)]
        attrs = {f"size_{k}": n for k, n in enumerate(shape)} | {f"before_{k}": n for k, n in enumerate(before)}
        attrs |= {f"after_{k}": n for k, n in enumerate(after)} | {"mode": mode, "value": value}
        yield vector(f"{names[mode]} {i}", "pad", attrs, [], [x], y, [value, value])


def gather() -> Iterator[dict]:
    for i, (outer, size, index, inner) in enumerate([(1, 7, [6, 0, 3, 3, 5], 4), (3, 5, [4], 1), (2, 4, [0, 1, 2, 3, 2, 1], 6)]):
        x = np.random.RandomState(7300 + i).randint(-128, 128, (outer, size, inner))
        y = np.array([[part[k] for k in index] for part in x])
        attrs = {"outer": outer, "size": size, "count": len(index), "inner": inner}
        yield vector(f"{len(index)} of {size}", "gather", attrs, [("int32", np.array(index))], [x], y, [0, 0])


def constant() -> Iterator[dict]:
    for i, count in enumerate((37, 1, 16)):
        values = np.random.RandomState(7400 + i).randint(-128, 128, count)
        yield vector(f"{count} values", "constant", {"count": count}, [("int8", values)], [np.array([i])], values, [0, 0])


def extremum(opcode: str) -> Iterator[dict]:
    """minimum and maximum."""
    pick = min if opcode == "minimum" else max
    every = np.arange(-128, 128)
    rng = np.random.RandomState(7500 + (opcode == "maximum"))
    for name, a, b in (
        ("beside each other", every, np.clip(every + rng.randint(-1, 2, 256), -128, 127)),
        ("any", rng.randint(-128, 128, 61), rng.randint(-128, 128, 61)),
    ):
        y = np.array([pick(int(p), int(q)) for p, q in zip(a, b, strict=True)])
        yield vector(name, opcode, {"count": a.size}, [], [a, b], y, [9, 9, 9])


def resize() -> Iterator[dict]:
    one = 1 << RESIZE_BITS
    halves = [(0, 0, 0), (0, 1, one // 2), (1, 1, 0), (1, 2, one // 2), (2, 2, one)]
    rng = np.random.RandomState(7600)

    def table(size: int, out: int) -> list[tuple[int, int, int]]:
        return [(rng.randint(size), rng.randint(size), rng.randint(one + 1)) for _ in range(out)]

    plans = [
        ("nearest", (3, 4, 2), [(i, i, 0) for i in (0, 0, 1, 1, 2, 2)], [(i, i, 0) for i in (0, 1, 1, 2, 3)]),
        ("halves, with ties", (3, 3, 2), halves, halves),
        ("any weights", (4, 5, 3), table(4, 7), table(5, 6)),
        ("one pixel", (1, 1, 5), [(0, 0, 0), (0, 0, 700)], [(0, 0, one)]),
        ("a row", (1, 6, 1), [(0, 0, 0)], [(i // 2, min(i // 2 + 1, 5), 512 + 1024 * (i % 2)) for i in range(12)]),
    ]
    for name, shape, rows, cols in plans:
        x = rng.randint(-128, 128, shape)
        y = np.empty((len(rows), len(cols), shape[2]), np.int64)
        for (i, (r0, r1, v)), (j, (c0, c1, h)), ch in product(enumerate(rows), enumerate(cols), range(shape[2])):
            upper = int(x[r0, c0, ch]) * (one - h) + int(x[r0, c1, ch]) * h
            lower = int(x[r1, c0, ch]) * (one - h) + int(x[r1, c1, ch]) * h
            y[i, j, ch] = (upper * (one - v) + lower * v + one * one // 2) // (one * one)
        attrs = dict(zip("in_h in_w channels out_h out_w".split(), (*shape, len(rows), len(cols)), strict=True))
        yield vector(name, "resize", attrs, [("int32", np.array(rows)), ("int32", np.array(cols))], [x[None]], y[None], [4, 4])
