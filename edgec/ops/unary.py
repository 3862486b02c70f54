"""lookup: every function of one int8 value, as a 256-byte table. Rescales are lookups too."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from edgec import numerics
from edgec.ir.core import Program, Tensor
from edgec.ops.base import Operator, single


def _mp(name: str):
    """A function of mpmath by name, found when it is needed."""

    def exact(x):
        import mpmath

        return getattr(mpmath, name)(x)

    return exact


def _sigmoid(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x)) if x >= 0 else math.exp(x) / (1.0 + math.exp(x))


def _exact_sigmoid(x):
    import mpmath

    return 1 / (1 + mpmath.exp(-x))


FUNCTIONS = {
    "Sigmoid": (_sigmoid, _exact_sigmoid),
    "Tanh": (math.tanh, _mp("tanh")),
}
"""ONNX type → the function on float64 and the same on mpmath numbers (for values near a tie)."""


class Lookup(Operator):
    """y = table[q + 128]."""

    opcode, code = "lookup", 8
    onnx = ("Relu", "Clip", *FUNCTIONS)
    fields = ("count",)
    roles = ("table",)
    role_dtypes = ("int8",)
    inplace = True

    def check(self, op, inputs, outputs, constants) -> str | None:
        if inputs[0].size != op.attrs["count"] or outputs[0].size != op.attrs["count"]:
            return "tensors of different size"
        return None if constants[0].data.shape == (256,) else "the table must have 256 entries"

    def golden(self, op, inputs, constants):
        return [constants[0][np.asarray(inputs[0]).reshape(-1).astype(np.int16) + 128]]

    def lower(self, ctx, node) -> None:
        view = ctx.activation(node, 0)
        result = ctx.result(node)
        x = view.tensor
        if node.op_type in FUNCTIONS:
            function, exact = FUNCTIONS[node.op_type]
            table = numerics.unary_table(function, x.scale, x.zero_point, result.scale, result.zero_point, exact)
        else:
            low, high = (0.0, math.inf) if node.op_type == "Relu" else ctx.clip_bounds(node)
            table = numerics.rescale_table(x.scale, x.zero_point, result.scale, result.zero_point)
            bounds = [int(np.clip(np.rint(b / result.scale) + result.zero_point, -128, 127)) for b in (low, high)]
            table = np.clip(table, *bounds)
        table = np.clip(table, result.clamp_min, result.clamp_max)
        y = ctx.output_like(result, view)
        ctx.emit("lookup", node.name, [x], y, {"count": x.size}, [table])

    def cases(self) -> Iterator[Program]:
        for i, count in enumerate((1, 63, 640)):
            table = np.random.default_rng(500 + i).integers(-128, 128, 256) if i else numerics.rescale_table(0.1, 3, 0.07, -5)
            name = f"lookup_{i}"
            yield single(self, name, {"count": count}, [Tensor(f"{name}.x", (1, count))], Tensor(f"{name}.y", (1, count)), [table])
