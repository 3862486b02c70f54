"""Operators with activations of 16 bits: conv2d_s16, average_pool2d_s16, add_s16, rescale_s16.

For the few tensors that lose too much at 8 bits. An int16 tensor has zero_point 0. `in_bits` and `out_bits` (8 or 16) say what is
read and written, so that a network enters 16 bits and leaves them inside the layers it has anyway. One opcode serves
convolutions, depthwise convolutions (groups = in_c) and dense layers (a window of one pixel).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from edgec import numerics
from edgec.ir.core import DTYPE_BITS, Constant, Op, Program, Tensor
from edgec.ops import packing_wide
from edgec.ops.base import CANONICAL, Operator, bounds_of_dot, single
from edgec.ops.conv import GEOMETRY, check_window, exact_matmul, patches, window_reach
from edgec.ops.pooling import WINDOW, check_pool_window, window_counts, window_sums

WIDE_OPERATORS = ("Conv", "Gemm", "MatMul", "Add", "Sub", "AveragePool", "GlobalAveragePool", "ReduceMean")
"""ONNX operators that read and give activations of 16 bits."""

WIDE_READERS = (*WIDE_OPERATORS, "Softmax", "ArgMax", "ArgMin")
"""ONNX operators that read them."""

EPILOGUE = ("in_zero_point", "out_zero_point", "clamp_min", "clamp_max", "narrow", "shift", "in_bits", "out_bits")
INT32_BITS = 32
WEIGHT_MAX = 127
WORTH_A_KERNEL = 2**11
"""MACs below which the reference kernel runs on devices too: the others are 2 to 3 KB larger and save some five instructions a MAC."""


def elements(stored: np.ndarray, bits: int) -> np.ndarray:
    """The values of a tensor in memory, flat: int8, or little-endian int16 from its bytes."""
    flat = np.ascontiguousarray(stored, np.int8).reshape(-1)
    return flat if bits == 8 else flat.view("<i2").astype(np.int16)


def reach(bits: int) -> tuple[int, int]:
    return -(2 ** (bits - 1)), 2 ** (bits - 1) - 1


def narrowing(low: int, high: int) -> int:
    """The least right shift that brings every value of [low, high], rounded half up, into int32."""
    shift = 0
    while (low + (1 << shift >> 1)) >> shift < numerics.INT32_MIN or (high + (1 << shift >> 1)) >> shift > numerics.INT32_MAX:
        shift += 1
    return shift


def narrowed(acc: np.ndarray, shift: int) -> np.ndarray:
    """clamp((acc + 2^(shift − 1)) >> shift) to int32; shift 0 leaves acc as it is."""
    acc = np.asarray(acc, np.int64)
    return acc if shift == 0 else np.clip((acc + (1 << (shift - 1))) >> shift, numerics.INT32_MIN, numerics.INT32_MAX)


def check_types(a, inputs: Sequence[Tensor], outputs: Sequence[Tensor], fields: Sequence[str]) -> str | None:
    """dtypes, zero_points and clamp bounds that go with the bits named in `fields` (one an input, then the output)."""
    for name, tensor in zip(fields, (*inputs, *outputs), strict=True):
        if a[name] not in (8, 16) or tensor.dtype != f"int{a[name]}":
            return f"{name} is {a[name]}, the tensor {tensor.dtype}"
        if tensor.dtype == "int16" and tensor.zero_point != 0:
            return "an int16 tensor has zero_point 0"
    low, high = reach(a["out_bits"])
    if not low <= a["clamp_min"] <= a["clamp_max"] <= high:
        return f"clamp bounds must satisfy {low} <= clamp_min <= clamp_max <= {high}"
    return None


class _Wide(Operator):
    def input_dtypes(self, op: Op) -> tuple[str, ...]:
        return (f"int{op.attrs['in_bits']}",)

    def output_dtype_of(self, op: Op) -> str:
        return f"int{op.attrs['out_bits']}"


class Conv2dS16(_Wide):
    """acc = bias + Σ w·x in int64, narrowed to int32, requantized by multiplier to 8 or 16 bits.

    Weights int8 [out_c, kernel_h, kernel_w, in_c / groups]; bias has −z_x·Σw folded in.
    """

    opcode, code = "conv2d_s16", 28
    fields = (*GEOMETRY, "groups", *EPILOGUE)
    roles = ("weights", "bias", "multiplier")
    role_dtypes = ("int8", "int32", "int32")
    packings = {"c1": CANONICAL, **packing_wide.CONV2D}

    def applies(self, op: Op, kernel: str) -> bool:
        return super().applies(op, kernel) or packing_wide.conv2d_applies(op.attrs, kernel)

    def worth(self, op: Op, kernel: str) -> bool:
        return kernel.endswith("__ref") or self.macs(op) >= WORTH_A_KERNEL

    def scratch(self, op: Op, kernel: str) -> int:
        return 0 if kernel.endswith("__ref") else packing_wide.conv2d_scratch(op.attrs, kernel)

    def distance(self, op: Op, kernel: str) -> int | None:
        return None if kernel.endswith("__ref") else packing_wide.conv2d_distance(op.attrs, kernel, window_reach(op.attrs))

    def check(self, op, inputs, outputs, constants: Sequence[Constant]) -> str | None:
        a = op.attrs
        if a["groups"] < 1 or a["in_c"] % a["groups"] or a["out_c"] % a["groups"]:
            return "groups must divide in_c and out_c"
        if not 0 <= a["narrow"] <= 24 or not 0 <= a["shift"] <= 24:
            return "narrow and shift must be in 0..24"
        shape = (a["out_c"], a["kernel_h"], a["kernel_w"], a["in_c"] // a["groups"])
        return check_window(a, inputs, outputs, constants, shape) or check_types(a, inputs, outputs, ("in_bits", "out_bits"))

    def golden(self, op, inputs, constants):
        a = op.attrs
        w, bias, multiplier = constants
        x = patches(elements(inputs[0], a["in_bits"]).reshape(a["in_h"], a["in_w"], a["in_c"]), a)
        per, out = a["in_c"] // a["groups"], a["out_c"] // a["groups"]
        acc = [
            exact_matmul(x[..., g * per : (g + 1) * per].reshape(a["out_h"], a["out_w"], -1), w[g * out : (g + 1) * out].reshape(out, -1))
            for g in range(a["groups"])
        ]
        acc = narrowed(np.concatenate(acc, axis=-1) + bias.astype(np.int64), a["narrow"])
        y = numerics.requantize(acc, multiplier, a["out_zero_point"], a["clamp_min"], a["clamp_max"], a["shift"], a["out_bits"])
        return [y]

    def macs(self, op: Op) -> int:
        a = op.attrs
        return a["out_h"] * a["out_w"] * a["out_c"] * a["kernel_h"] * a["kernel_w"] * (a["in_c"] // a["groups"])

    def accumulator_bits(self, op: Op) -> int:
        return INT32_BITS if op.attrs["narrow"] == 0 else 64

    def accumulator_bounds(self, op, constants):
        return bounds_of_dot(constants[0], constants[1], *reach(op.attrs["in_bits"]))

    def cases(self) -> Iterator[Program]:
        shapes = [  # in_h, in_w, in_c, out_c, kernel, stride, pads (top, left, bottom, right), groups, in bits, out bits, ratio
            (6, 5, 8, 6, (3, 3), (1, 1), (1, 1, 1, 1), 1, 16, 8, 0.0),
            (6, 5, 8, 6, (3, 3), (1, 1), (1, 1, 1, 1), 1, 8, 16, 0.0),
            (5, 7, 3, 4, (3, 2), (2, 1), (0, 1, 1, 0), 1, 16, 16, 0.0),
            (7, 6, 6, 6, (3, 3), (2, 2), (1, 0, 1, 1), 6, 16, 8, 0.0),
            (1, 1, 64, 10, (1, 1), (1, 1), (0, 0, 0, 0), 1, 16, 16, 0.0),
            (1, 1, 700, 3, (1, 1), (1, 1), (0, 0, 0, 0), 1, 16, 8, 0.0),
            (3, 3, 4, 4, (2, 2), (1, 1), (0, 0, 1, 1), 2, 8, 16, 1.7),
            (5, 9, 8, 8, (3, 3), (1, 1), (1, 1, 1, 1), 8, 8, 16, 0.0),
            (6, 6, 12, 12, (3, 3), (1, 1), (1, 1, 1, 1), 12, 16, 16, 2.2),
            (7, 6, 5, 5, (5, 2), (1, 1), (2, 1, 2, 0), 5, 8, 16, 0.0),
            (6, 7, 16, 5, (3, 3), (1, 1), (1, 1, 1, 1), 1, 16, 16, 3.1),
            (5, 5, 3, 8, (3, 3), (2, 2), (0, 0, 1, 1), 1, 8, 16, 0.0),
            (4, 5, 24, 9, (1, 1), (1, 1), (0, 0, 0, 0), 1, 16, 8, 0.0),
            (2, 9, 6, 7, (1, 3), (1, 1), (0, 0, 0, 2), 1, 8, 16, 0.0),
            (6, 5, 10, 6, (3, 3), (2, 1), (1, 1, 1, 1), 1, 16, 16, 0.0),
            (6, 6, 4, 6, (3, 3), (1, 1), (1, 1, 1, 1), 1, 8, 16, 0.0),
        ]
        for i, shape in enumerate(shapes):
            yield conv_case(self, f"conv2d_s16_{i}", *shape, seed=700 + i, extreme=i == 5)


class AveragePool2dS16(_Wide):
    """acc = Σq − n·z, requantized to 8 or 16 bits; multipliers as in average_pool2d."""

    opcode, code = "average_pool2d_s16", 29
    fields = (*WINDOW, "in_zero_point", "out_zero_point", "clamp_min", "clamp_max", "shift", "multipliers", "in_bits", "out_bits")
    roles = ("multiplier",)
    role_dtypes = ("int32",)

    def applies(self, op: Op, kernel: str) -> bool:
        return super().applies(op, kernel) or packing_wide.average_pool_applies(op.attrs, kernel)

    def check(self, op, inputs, outputs, constants) -> str | None:
        a = op.attrs
        if a["multipliers"] not in (1, a["kernel_h"] * a["kernel_w"]) or constants[0].data.shape != (a["multipliers"],):
            return "one multiplier, or one for each count of taps"
        if a["kernel_h"] * a["kernel_w"] > 2**15:
            return "a window of more than 2^15 taps"
        if not 0 <= a["shift"] <= 24:
            return "shift must be in 0..24"
        return check_pool_window(a, inputs, outputs) or check_types(a, inputs, outputs, ("in_bits", "out_bits"))

    def golden(self, op, inputs, constants):
        a = op.attrs
        x = elements(inputs[0], a["in_bits"]).reshape(a["in_h"], a["in_w"], a["channels"])
        acc, count = window_sums(x.astype(np.int64) - a["in_zero_point"], a), window_counts(a)
        multiplier = constants[0][count - 1] if a["multipliers"] > 1 else constants[0][0]
        return [numerics.requantize(acc, multiplier, a["out_zero_point"], a["clamp_min"], a["clamp_max"], a["shift"], a["out_bits"])]

    def cases(self) -> Iterator[Program]:
        plans = [((4, 4, 5), (4, 4), (1, 1), (0, 0), 8, 16), ((6, 5, 3), (3, 3), (1, 1), (1, 1), 16, 16), ((4, 6, 2), (2, 2), (2, 2), (0, 0), 16, 8)]
        for i, ((h, w, c), kernel, stride, pad, in_bits, out_bits) in enumerate(plans):
            rng = np.random.default_rng(740 + i)
            out = [(n + 2 * p - k) // s + 1 for n, k, s, p in zip((h, w), kernel, stride, pad, strict=True)]
            a = dict(zip(WINDOW, (h, w, c, *out, *kernel, *stride, *pad), strict=True))
            taps = kernel[0] * kernel[1]
            factors = np.array([0.9 * 2.0 ** (out_bits - in_bits) / (n + 1) for n in range(taps)] if pad[0] else [0.9 * 2.0 ** (out_bits - in_bits) / taps])
            shift = numerics.layer_shift(factors)
            zero_x, zero_y = (int(z) if bits == 8 else 0 for z, bits in zip(rng.integers(-90, 90, 2), (in_bits, out_bits), strict=True))
            low, high = reach(out_bits)
            a.update(in_zero_point=zero_x, out_zero_point=zero_y, clamp_min=zero_y if i == 1 else low, clamp_max=high, shift=shift)
            a.update(multipliers=len(factors), in_bits=in_bits, out_bits=out_bits)
            name = f"average_pool2d_s16_{i}"
            x = Tensor(f"{name}.x", (1, h, w, c), f"int{in_bits}", zero_point=zero_x)
            y = Tensor(f"{name}.y", (1, *out, c), f"int{out_bits}", zero_point=zero_y)
            yield single(self, name, a, [x], y, [numerics.multipliers(factors, shift)])


class AddS16(Operator):
    """y = clamp((a·Ma + b·Mb + C) >> n) in int64; C = z_y·2^n + 2^(n−1) − z_a·Ma − z_b·Mb is offset_high·2^32 + offset_low (unsigned)."""

    opcode, code = "add_s16", 30
    arity = 2
    fields = ("count", "multiplier_a", "multiplier_b", "offset_high", "offset_low", "shift", "clamp_min", "clamp_max", "a_bits", "b_bits", "out_bits")

    def applies(self, op: Op, kernel: str) -> bool:
        return super().applies(op, kernel) or packing_wide.add_applies(op.attrs, kernel)

    def distance(self, op: Op, kernel: str) -> int | None:
        return packing_wide.elementwise_distance(op.attrs, op.attrs["a_bits"], kernel)

    def over_second(self, op: Op, kernel: str) -> bool:
        return not kernel.endswith("__ref") and op.attrs["b_bits"] == op.attrs["out_bits"]

    def input_dtypes(self, op: Op) -> tuple[str, ...]:
        return f"int{op.attrs['a_bits']}", f"int{op.attrs['b_bits']}"

    def output_dtype_of(self, op: Op) -> str:
        return f"int{op.attrs['out_bits']}"

    def check(self, op, inputs, outputs, constants) -> str | None:
        a = op.attrs
        if any(t.size != a["count"] for t in (*inputs, *outputs)):
            return "tensors of different size"
        if not 1 <= a["shift"] <= ADD_SHIFT_MAX:
            return f"shift must be in 1..{ADD_SHIFT_MAX}"
        return check_types(a, inputs, outputs, ("a_bits", "b_bits", "out_bits"))

    def golden(self, op, inputs, constants):
        a = op.attrs
        x, y = (elements(v, a[bits]).astype(np.int64) for v, bits in zip(inputs, ("a_bits", "b_bits"), strict=True))
        offset = a["offset_high"] * 2**32 + a["offset_low"] % 2**32
        total = (x * a["multiplier_a"] + y * a["multiplier_b"] + offset) >> a["shift"]
        return [np.clip(total, a["clamp_min"], a["clamp_max"]).astype(np.int8 if a["out_bits"] == 8 else np.int16)]

    def cases(self) -> Iterator[Program]:
        plans = [(16, 16, 16, 0.5, 0.7), (16, 8, 16, 0.9, 200.0), (8, 16, 8, 0.4, -0.004), (16, 16, 8, 0.002, 0.003), (8, 8, 16, 120.0, 100.0)]
        for i, (a_bits, b_bits, out_bits, ratio_a, ratio_b) in enumerate(plans):
            rng = np.random.default_rng(760 + i)
            zeros = [int(z) if bits == 8 else 0 for z, bits in zip(rng.integers(-90, 90, 3), (a_bits, b_bits, out_bits), strict=True)]
            shape = (1, 4, 3, 5)
            low, high = reach(out_bits)
            attrs = {"count": 60, **add_attributes(ratio_a, ratio_b, *zeros), "clamp_min": zeros[2] if i == 1 else low, "clamp_max": high}
            attrs.update(a_bits=a_bits, b_bits=b_bits, out_bits=out_bits)
            name = f"add_s16_{i}"
            tensors = [
                Tensor(f"{name}.{t}", shape, f"int{bits}", zero_point=z) for t, bits, z in zip("aby", (a_bits, b_bits, out_bits), zeros, strict=True)
            ]
            yield single(self, name, attrs, tensors[:2], tensors[2])


ADD_SHIFT_MAX = 30


def add_attributes(ratio_a: float, ratio_b: float, zero_a: int, zero_b: int, zero_y: int) -> dict[str, int]:
    """Multipliers, offset and shift of y = a·ratio_a + b·ratio_b: the largest n ≤ 30 with both |M| < 2^30."""
    shift = ADD_SHIFT_MAX
    while shift > 1 and max(abs(ratio_a), abs(ratio_b)) * 2.0**shift >= 2.0**30:
        shift -= 1
    ma, mb = (int(np.rint(r * 2.0**shift)) for r in (ratio_a, ratio_b))
    offset = zero_y * 2**shift + 2 ** (shift - 1) - zero_a * ma - zero_b * mb
    low = offset % 2**32
    return {
        "multiplier_a": ma, "multiplier_b": mb, "offset_high": (offset - low) >> 32, "offset_low": low - 2**32 if low >= 2**31 else low,
        "shift": shift,
    }  # fmt: skip


def rescale_attributes(x: Tensor, y: Tensor) -> dict[str, int]:
    """Attributes of the rescale_s16 from x to y."""
    factor = np.array([x.scale / y.scale])
    shift = numerics.layer_shift(factor)
    in_bits, out_bits = DTYPE_BITS[x.dtype], DTYPE_BITS[y.dtype]
    low, high = reach(out_bits)
    return {
        "count": x.size, "in_zero_point": x.zero_point, "out_zero_point": y.zero_point, "clamp_min": low, "clamp_max": high,
        "multiplier": int(numerics.multipliers(factor, shift)[0]), "shift": shift, "in_bits": in_bits, "out_bits": out_bits,
    }  # fmt: skip


def emit_layer(ctx, node, x: Tensor, y: Tensor, result, geometry: dict[str, int], weights: np.ndarray, bias: np.ndarray, factors: np.ndarray) -> bool:
    """Emits a convolution or dense layer as conv2d_s16 where 16 bits go in or out; False where neither does.

    geometry: GEOMETRY and groups; weights int8 [out_c, kernel_h, kernel_w, in_c / groups]; bias at the accumulator's scale with
    −z_x·Σw folded in; factors: s_x·s_w / s_y of each channel.
    """
    if "int16" not in (x.dtype, y.dtype):
        return False
    in_bits, out_bits = DTYPE_BITS[x.dtype], DTYPE_BITS[y.dtype]
    narrow = narrowing(*bounds_of_dot(weights, bias, *reach(in_bits)))
    factors = factors * 2.0**narrow
    shift = numerics.layer_shift(factors)
    attrs = geometry | {"in_zero_point": x.zero_point, "out_zero_point": y.zero_point, "clamp_min": result.clamp_min, "clamp_max": result.clamp_max}
    attrs |= {"narrow": narrow, "shift": shift, "in_bits": in_bits, "out_bits": out_bits}
    ctx.emit("conv2d_s16", node.name, [x], y, attrs, [weights, bias, numerics.multipliers(factors, shift)])
    return True


def emit_average(ctx, node, x: Tensor, y: Tensor, attrs: dict[str, int], factors: np.ndarray) -> bool:
    """Emits an average_pool2d_s16 where 16 bits go in or out; attrs as of average_pool2d, factors one a multiplier."""
    if "int16" not in (x.dtype, y.dtype):
        return False
    bits = {"in_bits": DTYPE_BITS[x.dtype], "out_bits": DTYPE_BITS[y.dtype]}
    ctx.emit("average_pool2d_s16", node.name, [x], y, attrs | bits, [numerics.multipliers(factors, attrs["shift"])])
    return True


def emit_add(ctx, node, a: Tensor, b: Tensor, y: Tensor, result, sign: float) -> bool:
    """Emits an add_s16 where 16 bits go in or out; sign −1 subtracts b."""
    if "int16" not in (a.dtype, b.dtype, y.dtype):
        return False
    attrs = {"count": y.size, **add_attributes(a.scale / y.scale, sign * b.scale / y.scale, a.zero_point, b.zero_point, y.zero_point)}
    attrs |= {"clamp_min": result.clamp_min, "clamp_max": result.clamp_max}
    attrs |= {"a_bits": DTYPE_BITS[a.dtype], "b_bits": DTYPE_BITS[b.dtype], "out_bits": DTYPE_BITS[y.dtype]}
    ctx.emit("add_s16", node.name, [a, b], y, attrs)
    return True


class RescaleS16(_Wide):
    """y = requantize(q − z_x): the same numbers with another scale, from 8 or 16 bits to 8 or 16."""

    opcode, code = "rescale_s16", 31
    fields = ("count", "in_zero_point", "out_zero_point", "clamp_min", "clamp_max", "multiplier", "shift", "in_bits", "out_bits")

    def applies(self, op: Op, kernel: str) -> bool:
        return super().applies(op, kernel) or kernel.endswith("__mve") or op.attrs["shift"] <= packing_wide.MAX_SHIFT

    def distance(self, op: Op, kernel: str) -> int | None:
        return packing_wide.elementwise_distance(op.attrs, op.attrs["in_bits"], kernel)

    def check(self, op, inputs, outputs, constants) -> str | None:
        a = op.attrs
        if any(t.size != a["count"] for t in (*inputs, *outputs)):
            return "tensors of different size"
        if not 0 <= a["shift"] <= 24 or a["multiplier"] < 0:
            return "shift must be in 0..24 and the multiplier not negative"
        return check_types(a, inputs, outputs, ("in_bits", "out_bits"))

    def golden(self, op, inputs, constants):
        a = op.attrs
        x = elements(inputs[0], a["in_bits"]).astype(np.int64) - a["in_zero_point"]
        return [numerics.requantize(x, a["multiplier"], a["out_zero_point"], a["clamp_min"], a["clamp_max"], a["shift"], a["out_bits"])]

    def cases(self) -> Iterator[Program]:
        for i, (in_bits, out_bits, ratio) in enumerate([(16, 8, 0.0041), (8, 16, 190.0), (16, 16, 0.37), (16, 8, 0.6)]):
            zero_x, zero_y = (-17 if in_bits == 8 else 0), (33 if out_bits == 8 else 0)
            shift = numerics.layer_shift(np.array([ratio]))
            low, high = reach(out_bits)
            attrs = {"count": 77, "in_zero_point": zero_x, "out_zero_point": zero_y, "clamp_min": zero_y if i == 2 else low, "clamp_max": high}
            attrs.update(multiplier=int(numerics.multipliers(np.array([ratio]), shift)[0]), shift=shift, in_bits=in_bits, out_bits=out_bits)
            name = f"rescale_s16_{i}"
            x, y = Tensor(f"{name}.x", (7, 11), f"int{in_bits}", zero_point=zero_x), Tensor(f"{name}.y", (7, 11), f"int{out_bits}", zero_point=zero_y)
            yield single(self, name, attrs, [x], y)


def conv_case(
    operator: Conv2dS16, name: str, in_h: int, in_w: int, in_c: int, out_c: int, kernel, stride, pads, groups: int, in_bits: int, out_bits: int,
    ratio: float, *, seed: int, extreme: bool,
) -> Program:  # fmt: skip
    rng = np.random.default_rng(seed)
    out_h, out_w = ((n + pads[i] + pads[i + 2] - kernel[i]) // stride[i] + 1 for i, n in enumerate((in_h, in_w)))
    attrs = dict(zip(GEOMETRY, (in_h, in_w, in_c, out_h, out_w, out_c, *kernel, *stride, 1, 1, pads[0], pads[1]), strict=True)) | {"groups": groups}
    shape = (out_c, *kernel, in_c // groups)
    w = np.where(rng.random(shape) < 0.5, -WEIGHT_MAX, WEIGHT_MAX) if extreme else rng.integers(-WEIGHT_MAX, WEIGHT_MAX + 1, shape)
    zero_x, zero_y = (int(z) if bits == 8 else 0 for z, bits in zip(rng.integers(-90, 90, 2), (in_bits, out_bits), strict=True))
    bias = rng.integers(-20000, 20000, out_c) - zero_x * w.reshape(out_c, -1).sum(axis=1)
    narrow = narrowing(*bounds_of_dot(w, bias, *reach(in_bits)))
    taps = w[0].size
    scales = rng.uniform(0.3, 1.0, out_c) * (ratio or 100.0 / (taps**0.5 * 73 * 73)) * 2.0 ** (out_bits - in_bits + narrow)
    shift = numerics.layer_shift(scales)
    low, high = reach(out_bits)
    least = zero_y if seed % 3 == 1 else zero_y - 1 if seed % 6 == 5 else low
    attrs.update(in_zero_point=zero_x, out_zero_point=zero_y, clamp_min=least, clamp_max=high)
    attrs.update(narrow=narrow, shift=shift, in_bits=in_bits, out_bits=out_bits)
    x = Tensor(f"{name}.x", (1, in_h, in_w, in_c), f"int{in_bits}", zero_point=zero_x)
    y = Tensor(f"{name}.y", (1, out_h, out_w, out_c), f"int{out_bits}", zero_point=zero_y)
    return single(operator, name, attrs, [x], y, [w, bias, numerics.multipliers(scales, shift)])
