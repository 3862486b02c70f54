"""argmax: where along an axis the greatest (or least) value lies. Its int32 output leaves the network; nothing reads it on the device."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from edgec.ir.core import Op, Program, Tensor
from edgec.ops.base import Operator, single
from edgec.ops.wide import elements


class ArgMax(Operator):
    """Index along the middle axis of outer × depth × inner bytes of the greatest q, first of equal ones; int32 [outer, inner].

    `last` 1 takes the last of equal ones; `least` 1 looks for the least q.
    """

    opcode, code = "argmax", 21
    onnx = ("ArgMax", "ArgMin")
    fields = ("outer", "depth", "inner", "last", "least")
    output_dtype = "int32"
    bits = 8
    """Of the values that are compared."""

    def input_dtypes(self, op: Op) -> tuple[str, ...]:
        return (f"int{self.bits}",)

    def check(self, op, inputs, outputs, constants) -> str | None:
        a = op.attrs
        if min(a["outer"], a["depth"], a["inner"]) < 1 or not {a["last"], a["least"]} <= {0, 1}:
            return "sizes must be positive, last and least 0 or 1"
        if inputs[0].size != a["outer"] * a["depth"] * a["inner"] or outputs[0].size != a["outer"] * a["inner"]:
            return "input or output size does not follow from the attributes"
        return None if (outputs[0].scale, outputs[0].zero_point) == (1.0, 0) else "an index has scale 1 and zero_point 0"

    def golden(self, op, inputs, constants):
        a = op.attrs
        x = elements(inputs[0], self.bits).reshape(a["outer"], a["depth"], a["inner"])
        x = ~x if a["least"] else x
        found = a["depth"] - 1 - x[:, ::-1].argmax(axis=1) if a["last"] else x.argmax(axis=1)
        return [found.astype(np.int32)]

    def lower(self, ctx, node) -> None:
        view = ctx.straight(node, 0)
        rank = len(view.shape)
        axis = node.attributes.get_int("axis", 0) % rank
        at = view.order.index(axis)
        keep = node.attributes.get_int("keepdims", 1) == 1
        kept = [a for a in range(rank) if keep or a != axis]
        shape = tuple(1 if a == axis else view.shape[a] for a in kept)
        y = ctx.output_indices(node, shape, [kept.index(a) for a in view.order if a in kept])
        outer = int(np.prod([view.shape[a] for a in view.order[:at]], dtype=np.int64))
        inner = int(np.prod([view.shape[a] for a in view.order[at + 1 :]], dtype=np.int64))
        attrs = {"outer": outer, "depth": view.shape[axis], "inner": inner}
        attrs |= {"last": node.attributes.get_int("select_last_index", 0), "least": int(node.op_type == "ArgMin")}
        ctx.emit("argmax_s16" if view.tensor.dtype == "int16" else "argmax", node.name, [view.tensor], y, attrs)

    def cases(self) -> Iterator[Program]:
        shapes = [(1, 10, 1, 0, 0), (6, 4, 1, 1, 0), (2, 3, 5, 0, 1), (3, 300, 2, 1, 1), (1, 1, 7, 0, 0)]
        for i, (outer, depth, inner, last, least) in enumerate(shapes):
            name = f"{self.opcode}_{i}"
            attrs = {"outer": outer, "depth": depth, "inner": inner, "last": last, "least": least}
            x = Tensor(f"{name}.x", (outer, depth, inner), f"int{self.bits}", zero_point=5 if self.bits == 8 else 0)
            yield single(self, name, attrs, [x], Tensor(f"{name}.y", (outer, inner), "int32"))


class ArgMaxS16(ArgMax):
    """argmax of int16 with zero_point 0."""

    opcode, code = "argmax_s16", 34
    onnx = ()
    bits = 16
