"""div: one tensor by another, element by element with broadcasting: a product with a table of reciprocals."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from edgec.ir.core import Program, Tensor
from edgec.ops.base import Operator, single
from edgec.ops.product import AXES, Mul, broadcast_order, broadcast_walks, lower_scalar, operands

RECIPROCAL_BITS = 22
"""|R| ≤ 2^22: (a − z_a)·R and the rounding term then fit int32."""

SHIFT_MAX = 30
BEYOND = 256
"""A quotient of so many output steps for one step of a is beyond int8 whatever a is (but 0)."""


class Div(Operator):
    """y = clamp((((a − z_a)·R[b + 128] + 2^(n−1)) >> n) + z_y) over four axes; a stride of 0 repeats an operand. docs/SPEC.md 1.11."""

    opcode, code = "div", 23
    arity = 2
    fields = (
        *(f"size_{i}" for i in range(AXES)), *(f"stride_a_{i}" for i in range(AXES)), *(f"stride_b_{i}" for i in range(AXES)),
        "zero_point_a", "out_zero_point", "clamp_min", "clamp_max", "shift",
    )  # fmt: skip
    roles = ("reciprocals",)
    role_dtypes = ("int32",)
    onnx = ("Div",)

    def check(self, op, inputs, outputs, constants) -> str | None:
        a = op.attrs
        broken = Mul.check_walks(a, inputs, outputs)
        if broken is not None:
            return broken
        table = constants[0].data
        if table.shape != (256,) or table.min() < -(2**RECIPROCAL_BITS) or table.max() > 2**RECIPROCAL_BITS:
            return "the table must have 256 entries of at most 2^22"
        if not -128 <= a["zero_point_a"] <= 127 or not -128 <= a["out_zero_point"] <= 127 or not 1 <= a["shift"] <= SHIFT_MAX:
            return "a zero_point is outside int8 or the shift outside 1..30"
        return None if -128 <= a["clamp_min"] <= a["clamp_max"] <= 127 else "clamp bounds must satisfy -128 <= clamp_min <= clamp_max <= 127"

    def golden(self, op, inputs, constants):
        a = op.attrs
        left, right = (Mul.walk(a, letter, x).astype(np.int64) for letter, x in zip("ab", inputs, strict=True))
        product = (left - a["zero_point_a"]) * constants[0].astype(np.int64)[right + 128]
        y = ((product + 2 ** (a["shift"] - 1)) >> a["shift"]) + a["out_zero_point"]
        return [np.clip(y, a["clamp_min"], a["clamp_max"]).astype(np.int8)]

    def accumulator_bounds(self, op, constants):
        reach = 255 * int(np.abs(constants[0].astype(np.int64)).max())
        return -reach, reach + 2 ** (op.attrs["shift"] - 1)

    def lower(self, ctx, node) -> None:
        if ctx.constant(node.inputs[1]) is not None:
            Mul().lower(ctx, node)  # by constants: a product with their reciprocals, or a table
            return
        if lower_scalar(ctx, node):
            return
        a, b = operands(ctx, node)
        result = ctx.result(node)
        order = broadcast_order(a, b, len(result.shape))
        y = ctx.output(result, order)
        (a, b), attrs = broadcast_walks(ctx, node, (a, b), result.shape, order)
        table, shift = reciprocals(a.tensor.scale, b.tensor.scale, b.tensor.zero_point, y.scale)
        attrs |= {"zero_point_a": a.tensor.zero_point, "out_zero_point": y.zero_point}
        attrs |= {"clamp_min": result.clamp_min, "clamp_max": result.clamp_max, "shift": shift}
        ctx.emit("div", node.name, [a.tensor, b.tensor], y, attrs, [table])

    def cases(self) -> Iterator[Program]:
        walks = [
            ((1, 4, 5, 7), (140, 35, 7, 1), (140, 35, 7, 1), -128),
            ((1, 4, 5, 7), (0, 35, 7, 1), (0, 0, 0, 1), 127),
            ((2, 3, 4, 5), (0, 4, 1, 0), (60, 20, 5, 1), 3),
        ]
        for i, (sizes, strides_a, strides_b, zb) in enumerate(walks):
            rng = np.random.default_rng(1300 + i)
            za, zy = (int(z) for z in rng.integers(-100, 100, 2))
            table, shift = reciprocals(0.05, 0.02, zb, (0.05, 0.6, 4.0)[i])
            attrs = {f"size_{k}": s for k, s in enumerate(sizes)}
            attrs |= {f"stride_a_{k}": s for k, s in enumerate(strides_a)} | {f"stride_b_{k}": s for k, s in enumerate(strides_b)}
            attrs |= {"zero_point_a": za, "out_zero_point": zy, "clamp_min": -120, "clamp_max": 110, "shift": shift}
            reach = [1 + sum((n - 1) * s for n, s in zip(sizes, strides, strict=True)) for strides in (strides_a, strides_b)]
            name = f"div_{i}"
            inputs = [Tensor(f"{name}.a", (reach[0],), zero_point=za), Tensor(f"{name}.b", (reach[1],), zero_point=zb)]
            yield single(self, name, attrs, inputs, Tensor(f"{name}.y", sizes, zero_point=zy), [table])


def reciprocals(scale_a: float, scale_b: float, zero_b: int, scale_y: float) -> tuple[np.ndarray, int]:
    """R[b + 128] = rint(s_a / (s_b·(b − z_b)·s_y) · 2^n), at most ±256·2^n, and n: int32 [256].

    n ≤ 30 is the largest with |R| ≤ 2^22, at least 14. Division by 0 is by no more than the smallest positive number: R = 2^22.
    """
    unit = Fraction(scale_a) / (Fraction(scale_b) * Fraction(scale_y))
    ratios = {b: min(max(unit / (b - zero_b), Fraction(-BEYOND)), Fraction(BEYOND)) for b in range(-128, 128) if b != zero_b}
    most = max(abs(r) for r in ratios.values())
    shift = SHIFT_MAX
    while round(most * 2**shift) > 2**RECIPROCAL_BITS:
        shift -= 1
    return np.array([round(ratios[b] * 2**shift) if b in ratios else 2**RECIPROCAL_BITS for b in range(-128, 128)], np.int32), shift
