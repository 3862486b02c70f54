"""dense: a fully connected layer, rows of features by a constant matrix."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from edgec import numerics
from edgec.ir.core import Op, Program, Tensor
from edgec.ops import packing_dsp, packing_mve, weights
from edgec.ops.base import CANONICAL, bounds_of_dot, single
from edgec.ops.conv import GEOMETRY, check_epilogue, epilogue, exact_matmul, random_weights
from edgec.ops.layout import physical_positions
from edgec.ops.weights import Weighted


class Dense(Weighted):
    """y[r] = W x[r] + b. Weights [out_features, in_features]; bias has −z_x·Σw folded in."""

    opcode, code = "dense", 3
    onnx = ("Gemm", "MatMul")
    fields = ("rows", "in_features", "out_features", "in_zero_point", "out_zero_point", "clamp_min", "clamp_max", "shift", "weight_bits")
    packings = {"c1": CANONICAL, "n1": weights.row_packing(lambda a: a["in_features"]), **packing_mve.DENSE_ROWS, **packing_dsp.DENSE_ROWS}

    def check(self, op, inputs, outputs, constants) -> str | None:
        a = op.attrs
        if min(a["rows"], a["in_features"], a["out_features"]) < 1:
            return "sizes must be positive"
        if inputs[0].size != a["rows"] * a["in_features"] or outputs[0].size != a["rows"] * a["out_features"]:
            return "input or output size does not follow from the attributes"
        if [c.data.shape for c in constants] != [(a["out_features"], a["in_features"]), (a["out_features"],), (a["out_features"],)]:
            return "shape of weights, bias or multiplier does not follow from the attributes"
        return weights.check_weight_bits(a) or check_epilogue(a)

    def golden(self, op, inputs, constants):
        a = op.attrs
        w, bias, multiplier = constants
        acc = exact_matmul(np.asarray(inputs[0]).reshape(a["rows"], a["in_features"]), w) + bias.astype(np.int64)
        return [numerics.requantize(acc, multiplier, a["out_zero_point"], a["clamp_min"], a["clamp_max"], a["shift"])]

    def macs(self, op: Op) -> int:
        return op.attrs["rows"] * op.attrs["in_features"] * op.attrs["out_features"]

    def accumulator_bounds(self, op, constants):
        return bounds_of_dot(constants[0], constants[1])

    def applies(self, op: Op, kernel: str) -> bool:
        if not weights.fits(op, kernel):
            return False
        if kernel.endswith("__dsp"):
            return packing_dsp.dense_applies(op.attrs)
        return super().applies(op, kernel) or (kernel.endswith("__mve") and packing_mve.dense_applies(op.attrs))

    def scratch(self, op: Op, kernel: str) -> int:
        return packing_mve.dense_scratch(op.attrs) if kernel.endswith("__mve") else 0

    def distance(self, op: Op, kernel: str) -> int | None:
        if kernel.endswith("__dsp"):
            return packing_dsp.dense_distance(op.attrs)
        if kernel.endswith("__mve"):
            return packing_mve.dense_distance(op.attrs)
        if not kernel.endswith("__ref"):
            return None
        a = op.attrs  # a row is read whole for each of its outputs; the next row only after it
        row = np.arange(a["rows"])
        last = row * a["out_features"] + a["out_features"] - 1
        within = last - row * a["in_features"] if a["out_features"] > 1 else np.array([-(2**31)])
        after = last[:-1] + 1 - row[1:] * a["in_features"] if a["rows"] > 1 else np.array([-(2**31)])
        return int(max(within.max(), after.max(), -a["rows"] * a["in_features"]))

    def lower(self, ctx, node) -> None:
        from edgec.ops import wide  # which is built on conv.py and pooling.py

        if ctx.is_activation(node.inputs[1]) or ctx.is_activation(node.inputs[0]) is False and ctx.constant(node.inputs[0]) is not None:
            why = "edgec compiles X·W with an activation X and a constant W"
            raise ctx.refuse(node, f"{node.op_type} of these operands is not supported", why, "compile the part before it with outputs=[…], or write it as a dense layer")
        view = ctx.activation(node, 0)
        stored = ctx.weights(node, 1)
        gemm = node.op_type == "Gemm"
        plain = node.attributes.get_int("transA", 0) == 0 and node.attributes.get_float("alpha", 1.0) == 1.0 and node.attributes.get_float("beta", 1.0) == 1.0
        if stored.values.ndim != 2 or (gemm and not plain):
            raise ctx.refuse(node, "a matrix product of this kind is not supported", "edgec compiles X·W + b with a constant matrix W, alpha = beta = 1 and X not transposed", "fold the factors into the weights")
        out_axis = 0 if gemm and node.attributes.get_int("transB", 0) else 1
        if stored.scale.size > 1 and stored.axis != out_axis:
            raise ctx.refuse(node, "weights quantized along their input axis", f"axis {stored.axis} of {stored.values.shape}", "quantize weights per output feature")
        w = stored.values if out_axis == 0 else stored.values.T
        if view.flattened is not None and view.shape[0] == 1 and len(view.shape) == 2:
            x, w = view.flattened, w[:, physical_positions(view.flattened)]  # the weights move, once, instead of the bytes
        else:
            x = ctx.arrange(view, range(len(view.shape)), node)
        result = ctx.result(node)
        y = ctx.output(result, range(len(result.shape)))
        features = w.shape[1]
        scale = np.broadcast_to(x.tensor.scale * stored.scale, (w.shape[0],))
        bias = ctx.folded_bias(node, 2, scale, x.tensor.zero_point, w.astype(np.int64).sum(axis=1))
        factors = scale / y.scale
        rows = x.tensor.size // features
        pixel = dict.fromkeys(GEOMETRY, 1) | {"in_h": rows, "out_h": rows, "in_c": features, "out_c": w.shape[0], "pad_top": 0, "pad_left": 0, "groups": 1}
        if wide.emit_layer(ctx, node, x.tensor, y, result, pixel, w[:, None, None, :], bias, factors):
            return
        shift = numerics.layer_shift(factors)
        bits = weights.bits_to_store(stored.bits, w, bias)
        attrs = {"rows": rows, "in_features": features, "out_features": w.shape[0], **epilogue(x, y, result), "shift": shift, "weight_bits": bits}
        ctx.emit("dense", node.name, [x.tensor], y, attrs, [w, bias, numerics.multipliers(factors, shift)])

    def cases(self) -> Iterator[Program]:
        shapes = [(1, 64, 12, 0.0), (1, 640, 128, 0.0), (1, 128, 640, 0.0), (5, 33, 17, 0.0), (1, 3, 1, 0.0), (2, 1, 2, 1.7), (1, 256, 2, 0.0), (1, 255, 66, 0.0)]
        for i, (rows, k, n, ratio) in enumerate(shapes):
            yield dense_case(self, f"dense_{i}", rows, k, n, seed=200 + i, ratio=ratio, clamp_min=-128 if i % 2 else -60)
        narrow = [(1, 64, 12), (1, 640, 128), (3, 33, 17), (1, 3, 1), (2, 1, 2), (1, 257, 2), (1, 255, 67), (2, 16, 9), (1, 4, 8)]
        for i, (rows, k, n) in enumerate(narrow):
            ratio = 1.7 if i == 4 else 0.0
            yield dense_case(self, f"dense_int4_{i}", rows, k, n, seed=230 + i, ratio=ratio, clamp_min=-60 if i % 3 == 2 else -128, bits=4)
        yield dense_case(self, "dense_int4_extreme", 1, 200, 10, seed=250, bits=4, extreme=True)


def dense_case(
    operator: Dense, name: str, rows: int, k: int, n: int, *, seed: int, ratio: float = 0.0, clamp_min: int = -128, bits: int = 8, extreme: bool = False
) -> Program:  # fmt: skip
    """A program of one dense layer with random weights; ratio, extreme and bits as in `windowed_case`."""
    rng = np.random.default_rng(seed)
    w = random_weights(rng, (n, k), bits, extreme)
    zero_x, zero_y = (int(z) for z in rng.integers(-100, 100, 2))
    bias = rng.integers(-3000, 3000, n) - zero_x * w.sum(axis=1)
    scales = rng.uniform(0.3, 1.0, n) * (ratio or 100.0 / (k**0.5 * 73 * (73 if bits == 8 else 4.6)))
    shift = numerics.layer_shift(scales)
    attrs = {"rows": rows, "in_features": k, "out_features": n, "in_zero_point": zero_x, "out_zero_point": zero_y}
    attrs.update(clamp_min=clamp_min, clamp_max=127, shift=shift, weight_bits=bits)
    x = Tensor(f"{name}.x", (rows, k), zero_point=zero_x)
    y = Tensor(f"{name}.y", (rows, n), zero_point=zero_y)
    return single(operator, name, attrs, [x], y, [w, bias, numerics.multipliers(scales, shift)])
