"""conv2d_add: a convolution and the addition of a residual, rounded once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from edgec import numerics
from edgec.ir.core import DTYPE_BITS, Op, Program, Tensor
from edgec.ops import wide
from edgec.ops.base import bounds_of_dot, single
from edgec.ops.conv import Conv2d, ConvLayer, epilogue, layer_of, windowed_case

ACCUMULATOR_BITS = 31
"""Less the layer shift: so many bits hold every accumulator. Then the shift never saturates, and a kernel may keep one fractional bit more."""


class Conv2dAdd(Conv2d):
    """y = clamp((a + q·R + C) >> 12); a: the convolution's accumulator, requantized to 12 fractional bits; q: the second input.

    Weights of 8 bits as in conv2d. C = z_y·2^12 + 2^11 − z_q·R. The layer shift never saturates.
    """

    opcode, code = "conv2d_add", 24
    built_on = "conv2d"
    onnx = ()
    arity = 2
    fields = (*Conv2d.fields, "residual_multiplier", "residual_offset")

    def check(self, op, inputs, outputs, constants) -> str | None:
        a, r = op.attrs, op.attrs["residual_multiplier"]
        if inputs[1].size != outputs[0].size:
            return "residual and output are of different size"
        if a["weight_bits"] != 8:
            return f"weight_bits is {a['weight_bits']}, not 8"
        if abs(r) > numerics.RESIDUAL_MULTIPLIER_MAX:
            return f"residual_multiplier must be within ±{numerics.RESIDUAL_MULTIPLIER_MAX}"
        fraction = numerics.SUM_FRACTION
        if a["residual_offset"] != (a["out_zero_point"] << fraction) + (1 << (fraction - 1)) - inputs[1].zero_point * r:
            return "residual_offset does not follow from the zero_points"
        return super().check(op, inputs, outputs, constants)

    def accumulator_bits(self, op: Op) -> int:
        return ACCUMULATOR_BITS - op.attrs["shift"]

    def golden(self, op, inputs, constants):
        a = op.attrs
        w, bias, multiplier = constants
        acc = self.accumulators(a, inputs[0], w, bias)
        residual = np.asarray(inputs[1]).reshape(acc.shape)
        r, c = a["residual_multiplier"], a["residual_offset"]
        return [numerics.requantize_sum(acc, multiplier, residual, r, c, a["clamp_min"], a["clamp_max"], a["shift"])]

    def over_second(self, op: Op, kernel: str) -> bool:
        return True

    def cases(self) -> Iterator[Program]:
        shapes = [  # in_h, in_w, in_c, out_c, kernel, stride, dilation, pads (top, left, bottom, right), groups; s_residual / s_y
            (8, 8, 16, 16, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1), 1, 0.9),
            (9, 7, 3, 8, (3, 3), (2, 2), (1, 1), (0, 0, 1, 1), 1, 0.4),
            (6, 5, 8, 16, (1, 1), (1, 1), (1, 1), (0, 0, 0, 0), 1, -0.7),
            (7, 7, 16, 33, (1, 1), (2, 2), (1, 1), (0, 0, 0, 0), 1, 1.3),
            (20, 10, 1, 9, (10, 4), (2, 2), (1, 1), (4, 1, 5, 1), 1, 1.0),
            (9, 9, 5, 7, (3, 2), (1, 2), (2, 1), (2, 1, 2, 0), 1, 0.013),
            (5, 6, 8, 12, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1), 4, -1.9),
            (1, 30, 40, 17, (1, 3), (1, 1), (1, 1), (0, 0, 0, 0), 1, 0.5),
            (1, 1, 64, 3, (1, 1), (1, 1), (1, 1), (0, 0, 0, 0), 1, 0.8),
            (4, 4, 130, 5, (3, 3), (1, 1), (1, 1), (2, 2, 2, 2), 1, 11.0),
            (12, 12, 64, 64, (1, 1), (1, 1), (1, 1), (0, 0, 0, 0), 1, 0.61),
            (6, 8, 64, 6, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1), 1, 0.99),
        ]
        for i, (*shape, ratio) in enumerate(shapes):
            yield sum_case(self, f"conv2d_add_{i}", ratio, *shape, seed=800 + i)
        small = (6, 6, 4, 8, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1), 1)
        yield sum_case(self, "conv2d_add_relu", 0.8, *small, seed=820, clamp=(-100, 90))
        yield sum_case(self, "conv2d_add_shift", 0.7, 6, 6, 1, 8, (1, 1), (1, 1), (1, 1), (0, 0, 0, 0), 1, seed=821, ratio=6.0)
        yield sum_case(self, "conv2d_add_without_shift", 0.7, 3, 3, 256, 6, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1), 1, seed=822, ratio=0.0001)
        yield sum_case(self, "conv2d_add_extreme", -1.0, 5, 5, 32, 16, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1), 1, seed=823, extreme=True)
        yield sum_case(self, "conv2d_add_largest", 256.0, *small, seed=824)
        yield sum_case(self, "conv2d_add_nothing", 0.0, *small, seed=825, clamp=(-70, 60))


def sum_case(operator: Conv2dAdd, name: str, residual_ratio: float, *shape, seed: int, **more) -> Program:
    """windowed_case with a residual of s_residual / s_y = residual_ratio (negative: subtracted)."""
    given = windowed_case(Conv2d(), name, *shape, seed=seed, **more)
    attrs, (w, bias, multiplier) = dict(given.ops[0].attrs), given.values(given.ops[0])
    factors = multiplier * 2.0 ** (attrs["shift"] - 32 + numerics.SUM_FRACTION)
    attrs["shift"] = numerics.layer_shift(factors)
    x, y = (given.tensors[t] for t in (*given.ops[0].inputs, *given.ops[0].outputs))
    residual = replace(y, name=f"{name}.r", zero_point=int(np.random.default_rng(seed).integers(-100, 100)))
    attrs["residual_multiplier"], attrs["residual_offset"] = numerics.residual_constants(residual_ratio, residual.zero_point, y.zero_point)
    return single(operator, name, attrs, [x, residual], y, [w, bias, numerics.multipliers(factors, attrs["shift"])])


def reader_of(ctx, node):
    """The Add or Sub that takes the output of this Conv node as it is, not quantized, to an activation of its shape; or None."""
    value = node.outputs[0]
    uses = list(value.uses())
    if node.op_type != "Conv" or len(uses) != 1 or value.is_graph_output():
        return None
    reader, index = uses[0]
    if reader.op_type not in ("Add", "Sub") or reader.op_type == "Sub" and index == 1:
        return None
    other = reader.inputs[1 - index]
    if other is value or ctx.constant(other) is not None or other.shape != value.shape:
        return None
    return reader


def lower_sum(ctx, node) -> bool:
    """Lowers an Add or Sub with the convolution that it reads unquantized; False where there is none."""
    convs = [v.producer() for v in node.inputs if v.producer() is not None and v not in ctx.views and reader_of(ctx, v.producer()) is node]
    if not convs:
        return False
    for other in convs[:-1]:
        ctx.result(other)  # of two, one must be quantized: refused as everywhere
    conv = convs[-1]
    layer = layer_of(ctx, conv)
    residual = ctx.arrange(ctx.activation(node, 1 if node.inputs[0] is conv.outputs[0] else 0), layer.order, node).tensor
    result = ctx.result(node)
    y = ctx.output(result, layer.order)
    sign = -1.0 if node.op_type == "Sub" else 1.0
    attrs = sum_attributes(layer, residual, y, sign)
    if attrs is None:
        _lower_wide(ctx, node, conv, layer, residual, y, result, sign)
        return True
    factors = layer.scale / y.scale * 2.0**numerics.SUM_FRACTION
    attrs |= layer.geometry | epilogue(layer.x, y, result) | {"weight_bits": 8}
    ctx.emit("conv2d_add", conv.name, [layer.x.tensor, residual], y, attrs, [layer.weights, layer.bias, numerics.multipliers(factors, attrs["shift"])])
    return True


def sum_attributes(layer: ConvLayer, residual: Tensor, y: Tensor, sign: float) -> dict[str, int] | None:
    """shift, residual_multiplier and residual_offset, or None where a conv2d_add cannot hold the numbers: 16 bits, a residual of far
    larger steps, or sums that the layer shift would saturate."""
    if {layer.x.tensor.dtype, residual.dtype, y.dtype} != {"int8"}:
        return None
    r, c = numerics.residual_constants(sign * residual.scale / y.scale, residual.zero_point, y.zero_point)
    try:
        shift = numerics.layer_shift(layer.scale / y.scale * 2.0**numerics.SUM_FRACTION)
    except ValueError:
        return None
    low, high = bounds_of_dot(layer.weights, layer.bias)
    limit = 2 ** (ACCUMULATOR_BITS - 1 - shift)
    if abs(r) > numerics.RESIDUAL_MULTIPLIER_MAX or low < -limit or high >= limit:
        return None
    return {"shift": shift, "residual_multiplier": r, "residual_offset": c}


def _lower_wide(ctx, node, conv, layer: ConvLayer, residual: Tensor, y: Tensor, result, sign: float) -> None:
    """The same as a convolution to 16 bits and an addition, for what a conv2d_add cannot hold.

    A sum inside the range of y has no summand beyond the ranges of y and of the residual together.
    """
    reach = sum((2.0 ** DTYPE_BITS[t.dtype] - 1) * t.scale for t in (y, residual))
    low, high = wide.reach(16)
    between = ctx.tensor(conv.outputs[0].name or conv.name, y.shape, float(np.float32(reach / high)), 0, "int16")
    whole = replace(result, clamp_min=low, clamp_max=high)
    wide.emit_layer(ctx, conv, layer.x.tensor, between, whole, layer.geometry, layer.weights, layer.bias, layer.scale / between.scale)
    operands = (between, residual) if node.inputs[0] is conv.outputs[0] else (residual, between)
    wide.emit_add(ctx, node, *operands, y, result, sign)
