"""add and add_wide: the sum or difference of two tensors of one shape, each with its own scale."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from edgec import numerics
from edgec.ir.core import Op, Program, Tensor
from edgec.ops.base import Operator, single
from edgec.ops.movement import expand
from edgec.ops.product import broadcast_order, lower_scalar, operands

INT16_MAX = 32767


class Add(Operator):
    """y = clamp((a·Ma + b·Mb + C) >> n); |Ma|, |Mb| ≤ 32767, so that one SMLAD or vpmaddwd does it."""

    opcode, code = "add", 4
    arity = 2
    onnx = ("Add", "Sub")
    fields = ("count", "multiplier_a", "multiplier_b", "offset", "shift", "clamp_min", "clamp_max")
    inplace = True
    limit = 32767

    def check(self, op, inputs, outputs, constants) -> str | None:
        a = op.attrs
        if any(t.size != a["count"] for t in (*inputs, *outputs)):
            return "tensors of different size"
        if not 1 <= a["shift"] <= numerics.ADD_SHIFT_MAX or max(abs(a["multiplier_a"]), abs(a["multiplier_b"])) > self.limit:
            return "shift must be in 1..22 and the multipliers within the opcode's limit"
        if not -128 <= a["clamp_min"] <= a["clamp_max"] <= 127:
            return "clamp bounds must satisfy -128 <= clamp_min <= clamp_max <= 127"
        return None

    def applies(self, op: Op, kernel: str) -> bool:
        if kernel.endswith("__dsp"):  # sums must fit 16 bits once they are shifted
            low, high = self.accumulator_bounds(op, ())
            return self.opcode == "add" and -INT16_MAX <= low >> op.attrs["shift"] and high >> op.attrs["shift"] < INT16_MAX
        return kernel.endswith(("__ref", "__mve"))

    def golden(self, op, inputs, constants):
        a = op.attrs
        x, y = (np.asarray(v).reshape(-1) for v in inputs)
        return [numerics.add(x, y, a["multiplier_a"], a["multiplier_b"], a["offset"], a["shift"], a["clamp_min"], a["clamp_max"])]

    def accumulator_bounds(self, op, constants):
        a = op.attrs
        reach = 128 * (abs(a["multiplier_a"]) + abs(a["multiplier_b"]))
        return a["offset"] - reach, a["offset"] + reach

    def lower(self, ctx, node) -> None:
        from edgec.ops import conv_add, wide  # which are built on conv.py and pooling.py

        if lower_scalar(ctx, node) or conv_add.lower_sum(ctx, node):
            return
        a, b = operands(ctx, node)
        result = ctx.result(node)
        order = broadcast_order(a, b, len(result.shape))
        a, b = (ctx.arrange(expand(ctx, node, v, result.shape), order, node) for v in (a, b))
        y = ctx.output(result, order)
        sign = -1.0 if node.op_type == "Sub" else 1.0
        if wide.emit_add(ctx, node, a.tensor, b.tensor, y, result, sign):
            return
        ma, mb, c, n, wide = numerics.add_constants(
            a.tensor.scale / y.scale, sign * b.tensor.scale / y.scale, a.tensor.zero_point, b.tensor.zero_point, y.zero_point
        )
        attrs = {"count": y.size, "multiplier_a": ma, "multiplier_b": mb, "offset": c, "shift": n, "clamp_min": result.clamp_min, "clamp_max": result.clamp_max}
        ctx.emit("add_wide" if wide else "add", node.name, [a.tensor, b.tensor], y, attrs)

    def cases(self) -> Iterator[Program]:
        ratios = [(0.5, 0.7), (0.31, 1.9), (1.0, 1.0), (0.013, 0.97), (0.8, -0.8), (0.3, 0.4)] if self.opcode == "add" else [(100.0, 3.0), (40.0, -41.0)]
        for i, (ra, rb) in enumerate(ratios):
            rng = np.random.default_rng(300 + i)
            za, zb, zy = (int(z) for z in rng.integers(-100, 100, 3))
            ma, mb, c, n, wide = numerics.add_constants(ra, rb, za, zb, zy)
            assert wide == (self.opcode == "add_wide")
            name = f"{self.opcode}_{i}"
            shape = (1, 1, 1, 11) if i == 5 else (1, 5, 7, 3) if i % 2 else (1, 8, 8, 16)
            attrs = {"count": int(np.prod(shape)), "multiplier_a": ma, "multiplier_b": mb, "offset": c, "shift": n}
            attrs.update(clamp_min=zy if i in (1, 3) else -128, clamp_max=127 if i % 3 else 120)
            tensors = [Tensor(f"{name}.{t}", shape, zero_point=z) for t, z in (("a", za), ("b", zb), ("y", zy))]
            yield single(self, name, attrs, tensors[:2], tensors[2])


class AddWide(Add):
    """The same with multipliers up to 2^22 in sum, for ratios so large that 16 bits would round too coarsely."""

    opcode, code = "add_wide", 5
    onnx = ()
    limit = 2**22
