"""mul, minimum and maximum: two tensors element by element, mul with broadcasting."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from edgec import numerics
from edgec.ir.core import Program, Tensor
from edgec.ops.base import Operator, single
from edgec.ops.conv import check_epilogue
from edgec.ops.movement import contiguous_strides, expand
from edgec.ops.unary import lower_table

AXES = 4


class Mul(Operator):
    """y = requantize((a − z_a)·(b − z_b)) over four axes; a stride of 0 repeats an operand (broadcasting)."""

    opcode, code = "mul", 16
    arity = 2
    fields = (
        *(f"size_{i}" for i in range(AXES)), *(f"stride_a_{i}" for i in range(AXES)), *(f"stride_b_{i}" for i in range(AXES)),
        "zero_point_a", "zero_point_b", "multiplier", "out_zero_point", "clamp_min", "clamp_max", "shift",
    )  # fmt: skip
    onnx = ("Mul",)

    @staticmethod
    def check_walks(a, inputs, outputs) -> str | None:
        """A broken rule of the walks over both operands, in words."""
        sizes = [a[f"size_{i}"] for i in range(AXES)]
        if min(sizes) < 1 or outputs[0].size != np.prod(sizes):
            return "output size does not follow from the attributes"
        for letter, tensor in zip("ab", inputs, strict=True):
            strides = [a[f"stride_{letter}_{i}"] for i in range(AXES)]
            if min(strides) < 0 or sum((n - 1) * s for n, s in zip(sizes, strides, strict=True)) >= tensor.size:
                return "the strides reach beyond an input"
        return None

    @staticmethod
    def walk(a, letter: str, x: np.ndarray) -> np.ndarray:
        """Operand `letter`, broadcast to the four sizes."""
        index = np.zeros((), np.int64)
        for i in range(AXES):
            index = index[..., None] + np.arange(a[f"size_{i}"]) * a[f"stride_{letter}_{i}"]
        return np.asarray(x).reshape(-1)[index]

    def check(self, op, inputs, outputs, constants) -> str | None:
        a = op.attrs
        broken = self.check_walks(a, inputs, outputs)
        if broken is not None:
            return broken
        if not all(-128 <= a[f"zero_point_{letter}"] <= 127 for letter in "ab") or not 0 <= a["multiplier"] <= numerics.MULTIPLIER_MAX:
            return "a zero_point is outside int8 or the multiplier out of range"
        return check_epilogue(a)

    def golden(self, op, inputs, constants):
        a = op.attrs
        left, right = (self.walk(a, letter, x).astype(np.int64) - a[f"zero_point_{letter}"] for letter, x in zip("ab", inputs, strict=True))
        acc = left * right
        return [numerics.requantize(acc, a["multiplier"], a["out_zero_point"], a["clamp_min"], a["clamp_max"], a["shift"])]

    def accumulator_bounds(self, op, constants):
        return -255 * 255, 255 * 255

    def lower(self, ctx, node) -> None:
        if lower_scalar(ctx, node):
            return
        a, b = operands(ctx, node)
        result = ctx.result(node)
        order = broadcast_order(a, b, len(result.shape))
        y = ctx.output(result, order)
        multiply(ctx, node, (a, b), result.shape, order, y, (result.clamp_min, result.clamp_max))

    def cases(self) -> Iterator[Program]:
        walks = [
            ((1, 4, 5, 7), (140, 35, 7, 1), (140, 35, 7, 1)),
            ((1, 4, 5, 7), (0, 35, 7, 1), (0, 0, 0, 1)),
            ((2, 3, 4, 5), (60, 20, 5, 1), (0, 4, 1, 0)),
            ((1, 1, 1, 9), (0, 0, 0, 1), (0, 0, 0, 0)),
        ]
        for i, (sizes, strides_a, strides_b) in enumerate(walks):
            rng = np.random.default_rng(700 + i)
            za, zb, zy = (int(z) for z in rng.integers(-100, 100, 3))
            factor = np.array([0.013 if i else 0.7])
            shift = numerics.layer_shift(factor)
            attrs = {f"size_{k}": s for k, s in enumerate(sizes)}
            attrs |= {f"stride_a_{k}": s for k, s in enumerate(strides_a)} | {f"stride_b_{k}": s for k, s in enumerate(strides_b)}
            attrs |= {"zero_point_a": za, "zero_point_b": zb, "multiplier": int(numerics.multipliers(factor, shift)[0])}
            attrs |= {"out_zero_point": zy, "clamp_min": -128, "clamp_max": 100, "shift": shift}
            reach = [1 + sum((n - 1) * s for n, s in zip(sizes, strides, strict=True)) for strides in (strides_a, strides_b)]
            name = f"mul_{i}"
            inputs = [Tensor(f"{name}.a", (reach[0],), zero_point=za), Tensor(f"{name}.b", (reach[1],), zero_point=zb)]
            yield single(self, name, attrs, inputs, Tensor(f"{name}.y", sizes, zero_point=zy))


class Minimum(Operator):
    """y = min(a, b); scales are equal, so no requantization."""

    opcode, code = "minimum", 17
    arity = 2
    fields = ("count",)
    inplace = True
    onnx = ("Min", "Max")
    pick = staticmethod(np.minimum)

    def check(self, op, inputs, outputs, constants) -> str | None:
        return "tensors of different size" if any(t.size != op.attrs["count"] for t in (*inputs, *outputs)) else None

    def golden(self, op, inputs, constants):
        return [self.pick(*(np.asarray(x).reshape(-1) for x in inputs))]

    def lower(self, ctx, node) -> None:
        if len(node.inputs) == 2 and lower_scalar(ctx, node):
            return
        if len(node.inputs) != 2:
            raise ctx.refuse(node, f"{node.op_type} of {len(node.inputs)} tensors", "edgec compiles it for two", "nest them two by two")
        a, b = operands(ctx, node)
        result = ctx.result(node)
        order = broadcast_order(a, b, len(result.shape))
        views = [ctx.arrange(expand(ctx, node, v, result.shape), order, node) for v in (a, b)]
        views = [v if (v.tensor.scale, v.tensor.zero_point) == (result.scale, result.zero_point) else ctx.rescale(v, result.scale, result.zero_point, node) for v in views]
        y = ctx.output(result, order)
        ctx.emit("minimum" if node.op_type == "Min" else "maximum", node.name, [v.tensor for v in views], y, {"count": y.size})

    def cases(self) -> Iterator[Program]:
        name = f"{self.opcode}_0"
        yield single(self, name, {"count": 77}, [Tensor(f"{name}.a", (77,)), Tensor(f"{name}.b", (77,))], Tensor(f"{name}.y", (77,)))


class Maximum(Minimum):
    """y = max(a, b)."""

    opcode, code = "maximum", 18
    onnx = ()
    pick = staticmethod(np.maximum)


def broadcast_walks(ctx, node, views, shape, order):
    """Two views broadcast to `shape`, whose bytes will lie in `order`: the views arranged, and sizes and strides as attributes."""
    rank, sides = len(shape), []
    for view in views:
        lead = rank - len(view.shape)
        view = replace(view, shape=(1,) * lead + tuple(view.shape), order=(*range(lead), *(o + lead for o in view.order)))
        sides.append(ctx.arrange(view, order, node))
    walks = []
    for view in sides:
        own = [view.shape[o] for o in order]
        walks.append([s if n != 1 else 0 for n, s in zip(own, contiguous_strides(own), strict=True)])
    sizes, strides_a, strides_b = merge_pairs([shape[o] for o in order], *walks)
    if len(sizes) > AXES:
        raise ctx.refuse(node, "this broadcasting is too scattered", f"{len(sizes)} axes do not merge; at most {AXES} are defined", "expand one operand in the model")
    lead = AXES - len(sizes)
    attrs = {f"size_{i}": s for i, s in enumerate([1] * lead + sizes)}
    attrs |= {f"stride_a_{i}": s for i, s in enumerate([0] * lead + strides_a)}
    attrs |= {f"stride_b_{i}": s for i, s in enumerate([0] * lead + strides_b)}
    return sides, attrs


def multiply(ctx, node, views, shape, order, y: Tensor, clamp: tuple[int, int]) -> None:
    """Emit y = a·b: two views broadcast to `shape`, whose bytes lie in `order` in y."""
    sides, attrs = broadcast_walks(ctx, node, views, shape, order)
    factor = np.array([sides[0].tensor.scale * sides[1].tensor.scale / y.scale])
    shift = numerics.layer_shift(factor)
    attrs |= {"zero_point_a": sides[0].tensor.zero_point, "zero_point_b": sides[1].tensor.zero_point}
    attrs |= {"multiplier": int(numerics.multipliers(factor, shift)[0]), "out_zero_point": y.zero_point}
    attrs |= {"clamp_min": clamp[0], "clamp_max": clamp[1], "shift": shift}
    ctx.emit("mul", node.name, [sides[0].tensor, sides[1].tensor], y, attrs)


def lower_prelu(ctx, node) -> None:
    """PRelu with one slope a channel: max(x, 0) + slope · min(x, 0). Both halves are exact, the product has the output's scale."""
    x = ctx.straight(node, 0)
    result = ctx.result(node)
    if ctx.constant(node.inputs[1]) is None:
        raise ctx.refuse(node, "PRelu with a computed slope is not supported", "the slope must be constant", "use a constant slope")
    t, q = x.tensor, np.arange(-128, 128)
    halves = []
    for part, table in (("positive", np.maximum(q, t.zero_point)), ("negative", np.minimum(q, t.zero_point))):
        tensor = ctx.tensor(f"{t.name}.{part}", t.shape, t.scale, t.zero_point)
        ctx.emit("lookup", f"{node.name}.{part}", [t], tensor, {"count": t.size}, [table])
        halves.append(replace(x, tensor=tensor))
    slope = ctx.constant_view(node, 1, halves[1])
    order = broadcast_order(x, slope, len(result.shape))
    product = ctx.tensor(f"{result.name}.product", tuple(result.shape[a] for a in order), result.scale, result.zero_point)
    multiply(ctx, node, (halves[1], slope), result.shape, order, product, (-128, 127))
    y = ctx.output(result, order)
    ma, mb, c, n, wide = numerics.add_constants(t.scale / y.scale, 1.0, t.zero_point, result.zero_point, y.zero_point)
    attrs = {"count": y.size, "multiplier_a": ma, "multiplier_b": mb, "offset": c, "shift": n, "clamp_min": result.clamp_min, "clamp_max": result.clamp_max}
    ctx.emit("add_wide" if wide else "add", f"{node.name}.sum", [ctx.arrange(halves[0], order, node).tensor, product], y, attrs)


ONNX_PRODUCT = {"PRelu": lower_prelu}
"""ONNX types that are several operators."""


def broadcast_order(a, b, rank: int) -> tuple[int, ...]:
    """Physical order of the result of two views broadcast to `rank` axes: that of the one with more elements."""
    order = a.order if a.tensor.size >= b.tensor.size else b.order
    return (*range(rank - len(order)), *(o + rank - len(order) for o in order))


def lower_scalar(ctx, node) -> bool:
    """Lower node as a table where one operand is a constant of one number; False where it is not."""
    for i in (0, 1):
        values = None if ctx.is_activation(node.inputs[i]) else ctx.constant(node.inputs[i])
        if values is None or np.size(values) != 1 or not ctx.is_activation(node.inputs[1 - i]):
            continue
        view = ctx.activation(node, 1 - i)
        if tuple(int(d) for d in node.outputs[0].shape) != view.shape:
            return False
        constant = float(np.asarray(values).reshape(()))
        if node.op_type == "Div" and i == 1 and constant == 0.0:
            raise ctx.refuse(node, "division by 0", "the divisor is the constant 0", "repair the model")
        lower_table(ctx, node, view, *SCALAR[node.op_type](constant, i == 0))
        return True
    return False


SCALAR = {
    "Add": lambda c, first: (lambda x: x + c,) * 2,
    "Sub": lambda c, first: (lambda x: c - x if first else x - c,) * 2,
    "Mul": lambda c, first: (lambda x: x * c,) * 2,
    "Div": lambda c, first: (lambda x: (c / x if x else math.copysign(math.inf, c)) if first else x / c,) * 2,
    "Min": lambda c, first: (lambda x: min(x, c),) * 2,
    "Max": lambda c, first: (lambda x: max(x, c),) * 2,
}
"""ONNX type → for a constant and whether it comes first, the function of the other operand, on floats and on mpmath numbers."""


def operands(ctx, node):
    """Both inputs as views; a constant is quantized by its own range and brought into the arena."""
    views = [ctx.straight(node, i) if ctx.is_activation(node.inputs[i]) else None for i in (0, 1)]
    for i in (0, 1):
        if views[i] is None:
            values = ctx.constant(node.inputs[i])
            other = views[1 - i]
            if values is None or other is None:
                raise ctx.refuse(node, f"{node.op_type} of two constants or of something not quantized", f"input {i} is neither an activation nor a constant", "quantize this tensor, or let edgec quantize the float model")
            if node.op_type == "Div" and i == 1 and not np.all(values):
                raise ctx.refuse(node, "division by 0", "the divisor holds a 0", "repair the model")
            views[i] = ctx.constant_view(node, i, other, reciprocal=node.op_type == "Div" and i == 1)
    return views[0], views[1]


def merge_pairs(sizes, strides_a, strides_b):
    """`merge_axes` for two walks over the same sizes."""
    merged: list[tuple[int, int, int]] = []
    for n, a, b in zip(sizes, strides_a, strides_b, strict=True):
        if n == 1:
            continue
        if merged and merged[-1][1] == n * a and merged[-1][2] == n * b:
            merged[-1] = (merged[-1][0] * n, a, b)
        else:
            merged.append((n, a, b))
    merged = merged or [(1, 0, 0)]
    return [m[0] for m in merged], [m[1] for m in merged], [m[2] for m in merged]
