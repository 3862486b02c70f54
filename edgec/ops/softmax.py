"""softmax over the last axis: one exact integer form with a table, of int8, and one without, of int8 or int16."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from edgec import numerics
from edgec.ir.core import DTYPE_BITS, Op, Program, Tensor
from edgec.ops.base import Operator, single
from edgec.ops.wide import elements

WORTH_A_TABLE = 256
"""Outputs from which int8 is looked up: the table takes a kilobyte and saves some forty instructions an output."""


class Softmax(Operator):
    """docs/SPEC.md 1.8: T[max − q] from a table, one 32-bit division a row, 64-bit products."""

    opcode, code = "softmax", 9
    onnx = ("Softmax",)
    fields = ("rows", "depth", "factor", "fraction", "out_zero_point")
    roles = ("table",)
    role_dtypes = ("int32",)
    inplace = True

    def check(self, op, inputs, outputs, constants) -> str | None:
        a = op.attrs
        return _check_rows(a, inputs, outputs) or (None if constants[0].data.shape == (256,) else "the table must have 256 entries")

    def golden(self, op, inputs, constants):
        a = op.attrs
        x = np.asarray(inputs[0]).reshape(a["rows"], a["depth"])
        return [numerics.softmax(x, constants[0], a["factor"], a["fraction"], a["out_zero_point"])]

    def lower(self, ctx, node) -> None:
        view = ctx.activation(node, 0)
        rank = len(view.shape)
        axis = node.attributes.get_int("axis", -1) % rank
        order = (*(a for a in range(rank) if a != axis), axis)
        x = ctx.arrange(view, order, node)
        result = ctx.result(node)
        if result.clamp_min > max(-128, result.zero_point) or result.clamp_max < 127:
            raise ctx.refuse(node, "an activation after Softmax is not supported", "its range is already 0 to 1", "remove the activation")
        y = ctx.output(result, order)
        depth = view.shape[axis]
        attrs = {"rows": y.size // depth, "depth": depth, "out_zero_point": y.zero_point}
        try:
            if x.tensor.dtype == "int16" or y.size < WORTH_A_TABLE:
                bits = {"in_bits": DTYPE_BITS[x.tensor.dtype]}
                ctx.emit("softmax_s16", node.name, [x.tensor], y, attrs | _wide_attributes(x.tensor.scale, depth, y.scale) | bits)
                return
            table, factor, fraction = numerics.softmax_constants(x.tensor.scale, depth, y.scale)
        except ValueError as error:
            raise ctx.refuse(node, "this Softmax has no integer form", str(error), "choose an output scale of 1/256") from None
        ctx.emit("softmax", node.name, [x.tensor], y, attrs | {"factor": factor, "fraction": fraction}, [table])

    def cases(self) -> Iterator[Program]:
        for i, (rows, depth, scale_x, scale_y) in enumerate([(1, 12, 0.1, 1 / 256), (3, 10, 0.02, 1 / 256), (1, 2, 0.4, 1 / 200), (2, 1000, 0.05, 1 / 256), (1, 1, 1.0, 1 / 256)]):
            table, factor, fraction = numerics.softmax_constants(scale_x, depth, scale_y)
            name = f"softmax_{i}"
            attrs = {"rows": rows, "depth": depth, "factor": factor, "fraction": fraction, "out_zero_point": -128}
            x = Tensor(f"{name}.x", (rows, depth), scale=scale_x, zero_point=11)
            yield single(self, name, attrs, [x], Tensor(f"{name}.y", (rows, depth), scale=scale_y, zero_point=-128), [table])


def _check_rows(a, inputs, outputs) -> str | None:
    if a["rows"] < 1 or not 1 <= a["depth"] <= 32768:
        return "rows must be positive and depth in 1..32768"
    if inputs[0].size != a["rows"] * a["depth"] or outputs[0].size != a["rows"] * a["depth"]:
        return "input or output size does not follow from the attributes"
    if not 1 <= a["factor"] <= 32768 or not 0 <= a["fraction"] <= 8 or not -128 <= a["out_zero_point"] <= 127:
        return "factor must be in 1..32768, fraction in 0..8, out_zero_point in int8"
    return None


def _wide_attributes(scale_x: float, depth: int, scale_y: float) -> dict[str, int]:
    names = ("multiplier", "shift", "depth_bits", "factor", "fraction")
    return dict(zip(names, numerics.softmax_s16_constants(scale_x, depth, scale_y), strict=True))


class SoftmaxS16(Operator):
    """docs/SPEC.md 1.12: of int16 with zero_point 0 or of int8, powers of two by a polynomial, so without a table; quotients as softmax."""

    opcode, code = "softmax_s16", 33
    fields = ("rows", "depth", "multiplier", "shift", "depth_bits", "factor", "fraction", "out_zero_point", "in_bits")

    def input_dtypes(self, op: Op) -> tuple[str, ...]:
        return (f"int{op.attrs['in_bits']}",)

    def distance(self, op: Op, kernel: str) -> int | None:
        return 0  # an output is written, in no more bytes, once its input has been read for the last time

    def check(self, op, inputs, outputs, constants) -> str | None:
        a = op.attrs
        if a["in_bits"] not in (8, 16):
            return f"in_bits is {a['in_bits']}, not 8 or 16"
        if a["in_bits"] == 16 and inputs[0].zero_point != 0:
            return "an int16 tensor has zero_point 0"
        if not 1 <= a["shift"] <= 47 or a["multiplier"] < 0 or not 0 <= a["depth_bits"] <= 15 or a["depth"] > 2 ** a["depth_bits"]:
            return "shift must be in 1..47, the multiplier not negative, depth_bits in 0..15 and depth at most 2^depth_bits"
        return _check_rows(a, inputs, outputs)

    def golden(self, op, inputs, constants):
        a = op.attrs
        x = elements(inputs[0], a["in_bits"]).reshape(a["rows"], a["depth"])
        powers = numerics.softmax_s16_powers(x, a["multiplier"], a["shift"], a["depth_bits"])
        return [numerics.softmax_of_powers(powers, a["factor"], a["fraction"], a["out_zero_point"])]

    def cases(self) -> Iterator[Program]:
        plans = [(1, 12, 0.0004, 1 / 256), (3, 10, 1e-5, 1 / 256), (1, 2, 0.002, 1 / 200), (2, 1000, 0.0003, 1 / 256), (1, 1, 1.0, 1 / 256), (2, 5, 70000.0, 1 / 256), (4, 3, 1e-12, 1 / 4096)]
        plans += [(1, 12, 0.1, 1 / 256), (3, 10, 0.02, 1 / 256), (2, 2, 0.4, 1 / 200), (1, 1, 1.0, 1 / 256)]  # of int8
        for i, (rows, depth, scale_x, scale_y) in enumerate(plans):
            name, bits = f"softmax_s16_{i}", 16 if i < 7 else 8
            attrs = {"rows": rows, "depth": depth, "out_zero_point": -128, **_wide_attributes(scale_x, depth, scale_y), "in_bits": bits}
            x = Tensor(f"{name}.x", (rows, depth), f"int{bits}", scale=scale_x, zero_point=0 if bits == 16 else 11)
            yield single(self, name, attrs, [x], Tensor(f"{name}.y", (rows, depth), scale=scale_y, zero_point=-128))
