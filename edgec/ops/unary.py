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


def _hard_sigmoid(x, alpha=0.2, beta=0.5):
    return max(0, min(1, alpha * x + beta))


def _hard_swish(x):
    return x * max(0, min(1, x / 6 + 0.5))


def _softplus(x: float) -> float:
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def _exact_softplus(x):
    import mpmath

    return mpmath.log(1 + mpmath.exp(x))


def _gelu(x: float) -> float:
    return 0.5 * x * (1.0 + math.erf(x / math.sqrt(2.0)))


def _exact_gelu(x):
    import mpmath

    return x * (1 + mpmath.erf(x / mpmath.sqrt(2))) / 2


def _log(x: float) -> float:
    return math.log(x) if x > 0 else -math.inf


def _exact_log(x):
    import mpmath

    return mpmath.log(x) if x > 0 else mpmath.mpf(-(2**40))


def _sqrt(x: float) -> float:
    return math.sqrt(max(x, 0.0))


def _exact_sqrt(x):
    import mpmath

    return mpmath.sqrt(max(x, 0))


def _sign(x):
    return (x > 0) - (x < 0)


def _mish(x: float) -> float:
    return x * math.tanh(_softplus(x))


def _exact_mish(x):
    return x * _mp("tanh")(_exact_softplus(x))


def _reciprocal(x):
    return 1 / x if x else math.inf


FUNCTIONS = {
    "Abs": (abs, abs),
    "Atan": (math.atan, _mp("atan")),
    "Ceil": (math.ceil, _mp("ceil")),
    "Cos": (math.cos, _mp("cos")),
    "Erf": (math.erf, _mp("erf")),
    "Exp": (math.exp, _mp("exp")),
    "Floor": (math.floor, _mp("floor")),
    "HardSwish": (_hard_swish, _hard_swish),
    "Log": (_log, _exact_log),
    "Mish": (_mish, _exact_mish),
    "Neg": (lambda x: -x, lambda x: -x),
    "Reciprocal": (_reciprocal, _reciprocal),
    "Round": (round, lambda x: _mp("nint")(x)),
    "Sigmoid": (_sigmoid, _exact_sigmoid),
    "Sign": (_sign, _sign),
    "Sin": (math.sin, _mp("sin")),
    "Softplus": (_softplus, _exact_softplus),
    "Softsign": (lambda x: x / (1 + abs(x)), lambda x: x / (1 + abs(x))),
    "Sqrt": (_sqrt, _exact_sqrt),
    "Tanh": (math.tanh, _mp("tanh")),
}
"""ONNX type → the function on float64 and the same on mpmath numbers (for values near a tie)."""


def with_attributes(node):
    """(function, exact) of an ONNX type whose function depends on attributes; None for any other."""
    number = node.attributes.get_float
    if node.op_type == "LeakyRelu":
        slope = number("alpha", 0.01)
        return (lambda x: x if x >= 0 else slope * x,) * 2
    if node.op_type == "HardSigmoid":
        alpha, beta = number("alpha", 0.2), number("beta", 0.5)
        return (lambda x: _hard_sigmoid(x, alpha, beta),) * 2
    if node.op_type in ("Elu", "Celu"):
        alpha = number("alpha", 1.0)
        inner = alpha if node.op_type == "Celu" else 1.0
        return lambda x: x if x >= 0 else alpha * math.expm1(x / inner), lambda x: x if x >= 0 else alpha * _mp("expm1")(x / inner)
    if node.op_type == "Selu":
        alpha, gamma = number("alpha", 1.67326319217681884765625), number("gamma", 1.05070102214813232421875)
        return lambda x: gamma * (x if x >= 0 else alpha * math.expm1(x)), lambda x: gamma * (x if x >= 0 else alpha * _mp("expm1")(x))
    if node.op_type == "ThresholdedRelu":
        threshold = number("alpha", 1.0)
        return (lambda x: x if x > threshold else 0,) * 2
    if node.op_type == "Shrink":
        bias, bound = number("bias", 0.0), number("lambd", 0.5)
        return (lambda x: x + bias if x < -bound else x - bias if x > bound else 0,) * 2
    if node.op_type == "Swish":
        beta = number("alpha", 1.0)
        return lambda x: x * _sigmoid(beta * x), lambda x: x * _exact_sigmoid(beta * x)
    if node.op_type == "Gelu":
        if node.attributes.get_string("approximate", "none") == "none":
            return _gelu, _exact_gelu
        inner = math.sqrt(2.0 / math.pi)
        return (
            lambda x: 0.5 * x * (1.0 + math.tanh(inner * (x + 0.044715 * x**3))),
            lambda x: x * (1 + _mp("tanh")(inner * (x + 0.044715 * x**3))) / 2,
        )
    return None


def power(x, power: float):
    if x == 0 and power < 0 or x < 0 and power != int(power):
        return 0.0 * x  # the float model gives an infinity or NaN here, which int8 does not have
    return x ** (int(power) if power == int(power) else power)


ATTRIBUTED = ("LeakyRelu", "HardSigmoid", "Elu", "Celu", "Selu", "ThresholdedRelu", "Shrink", "Swish", "Gelu")


def total(function):
    """function, but an infinity or zero (for NaN) where a float operator would overflow or be undefined."""

    def everywhere(x: float) -> float:
        try:
            y = function(x)
        except OverflowError:
            return math.inf
        except (ValueError, ZeroDivisionError):
            return 0.0
        return 0.0 if y != y else y

    return everywhere


def lower_table(ctx, node, view, function, exact) -> None:
    """Emit the table of node's function of one activation."""
    result = ctx.result(node)
    x = view.tensor
    table = numerics.unary_table(total(function), x.scale, x.zero_point, result.scale, result.zero_point, exact)
    emit_table(ctx, node, view, result, table)


def emit_table(ctx, node, view, result, table) -> None:
    y = ctx.output_like(result, view)
    ctx.emit("lookup", node.name, [view.tensor], y, {"count": y.size}, [np.clip(table, result.clamp_min, result.clamp_max)])


class Lookup(Operator):
    """y = table[q + 128]."""

    opcode, code = "lookup", 8
    onnx = ("Relu", "Clip", "Pow", *FUNCTIONS, *ATTRIBUTED)
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
        if node.op_type in FUNCTIONS:
            lower_table(ctx, node, view, *FUNCTIONS[node.op_type])
        elif node.op_type in ATTRIBUTED:
            lower_table(ctx, node, view, *with_attributes(node))
        elif node.op_type == "Pow":
            exponent = ctx.constant(node.inputs[1])
            if exponent is None or np.size(exponent) != 1:
                raise ctx.refuse(node, "Pow with a computed exponent is not supported", "the exponent must be one constant number", "use a constant exponent")
            number = float(np.asarray(exponent).reshape(()))
            lower_table(ctx, node, view, *(lambda x: power(x, number),) * 2)
        else:
            low, high = (0.0, math.inf) if node.op_type == "Relu" else ctx.clip_bounds(node)
            result, x = ctx.result(node), view.tensor
            table = numerics.rescale_table(x.scale, x.zero_point, result.scale, result.zero_point)
            bounds = [int(np.clip(np.rint(b / result.scale) + result.zero_point, -128, 127)) for b in (low, high)]
            emit_table(ctx, node, view, result, np.clip(table, *bounds))

    def cases(self) -> Iterator[Program]:
        for i, count in enumerate((1, 63, 640)):
            table = np.random.default_rng(500 + i).integers(-128, 128, 256) if i else numerics.rescale_table(0.1, 3, 0.07, -5)
            name = f"lookup_{i}"
            yield single(self, name, {"count": count}, [Tensor(f"{name}.x", (1, count))], Tensor(f"{name}.y", (1, count)), [table])
