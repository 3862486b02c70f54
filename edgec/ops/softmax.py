"""softmax over the last axis: one exact integer form."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from edgec import numerics
from edgec.ir.core import Program, Tensor
from edgec.ops.base import Operator, single


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
        if a["rows"] < 1 or not 1 <= a["depth"] <= 32768:
            return "rows must be positive and depth in 1..32768"
        if inputs[0].size != a["rows"] * a["depth"] or outputs[0].size != a["rows"] * a["depth"]:
            return "input or output size does not follow from the attributes"
        if not 1 <= a["factor"] <= 32768 or not 0 <= a["fraction"] <= 8 or not -128 <= a["out_zero_point"] <= 127:
            return "factor must be in 1..32768, fraction in 0..8, out_zero_point in int8"
        return None if constants[0].data.shape == (256,) else "the table must have 256 entries"

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
        try:
            table, factor, fraction = numerics.softmax_constants(x.tensor.scale, view.shape[axis], y.scale)
        except ValueError as error:
            raise ctx.refuse(node, "this Softmax has no integer form", str(error), "choose an output scale of 1/256") from None
        attrs = {"rows": y.size // view.shape[axis], "depth": view.shape[axis], "factor": factor, "fraction": fraction, "out_zero_point": y.zero_point}
        ctx.emit("softmax", node.name, [x.tensor], y, attrs, [table])

    def cases(self) -> Iterator[Program]:
        for i, (rows, depth, scale_x, scale_y) in enumerate([(1, 12, 0.1, 1 / 256), (3, 10, 0.02, 1 / 256), (1, 2, 0.4, 1 / 200), (2, 1000, 0.05, 1 / 256), (1, 1, 1.0, 1 / 256)]):
            table, factor, fraction = numerics.softmax_constants(scale_x, depth, scale_y)
            name = f"softmax_{i}"
            attrs = {"rows": rows, "depth": depth, "factor": factor, "fraction": fraction, "out_zero_point": -128}
            x = Tensor(f"{name}.x", (rows, depth), scale=scale_x, zero_point=11)
            yield single(self, name, attrs, [x], Tensor(f"{name}.y", (rows, depth), scale=scale_y, zero_point=-128), [table])
