"""ONNX operators in torch, on tensors [samples, *ONNX shape]: ONNX operator type → (node, may overwrite) → function of the inputs.

The operators of JOINT also take [samples, *ONNX shape without its leading 1], where `works_joint` says so of the node. What does not depend on the values (axes, pads, constant shapes) is read from the node once. Float constants arrive as tensors
without the batch axis, other constants as None.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import onnx_ir as ir
import torch
import torch.nn.functional as F
from torch import Tensor

from edgec.graph.constant_propagation import clip_bounds
from edgec.graph.edit import constant, integer, ints, number, pads_of, shape_of, string
from edgec.ops.movement import Pad as PadOperator
from edgec.ops.resize import axis_neighbours

Function = Callable[[Sequence[Tensor | None]], "Tensor | tuple[Tensor, ...]"]


class Unsupported(Exception):
    """This form of the operator has no counterpart; the message says why."""


def _fixed(node: ir.Node, index: int, name: str) -> np.ndarray | None:
    """A constant input; None where it is absent."""
    if index >= len(node.inputs) or node.inputs[index] is None:
        return None
    array = constant(node.inputs[index])
    if array is None:
        raise Unsupported(f"its {name} must be constant")
    return array


def _activation(node: ir.Node, index: int) -> bool:
    return constant(node.inputs[index]) is None


def _more_outputs(node: ir.Node) -> bool:
    """Whether anybody reads an output after the first."""
    return any(list(o.uses()) or o.is_graph_output() for o in node.outputs[1:])


def _reshaped(x: Tensor, shape: Sequence[int]) -> Tensor:
    return x.reshape(x.shape[0], *shape)


def _windowed(function: Function, spatial: int) -> Function:
    """function of [samples, channels, spatial…], also for [samples, 1, channels, spatial…]."""

    def run(xs: Sequence[Tensor | None]) -> Tensor:
        x = xs[0]
        if x.ndim == spatial + 2:
            return function(xs)
        return function([x.flatten(0, 1), *xs[1:]]).unflatten(0, x.shape[:2])

    return run


# --- layers with weights --------------------------------------------------------------------------------------------------


def _conv(node: ir.Node, overwrite: bool) -> Function:
    shape, kernel = shape_of(node.inputs[0]), shape_of(node.inputs[1])[2:]
    rank = len(kernel)
    if rank not in (1, 2) or not _activation(node, 0):
        raise Unsupported("1-D and 2-D convolutions of an activation")
    pads = pads_of(node, kernel, shape[2:])
    strides, dilations, groups = ints(node, "strides", (1,) * rank), ints(node, "dilations", (1,) * rank), integer(node, "group", 1)
    begin, end = pads[:rank], pads[rank:]
    same, fill = begin == end, [p for pair in zip(begin[::-1], end[::-1], strict=True) for p in pair]
    convolve = F.conv2d if rank == 2 else F.conv1d
    if min(pads) < 0:
        raise Unsupported("negative padding")

    def run(xs: Sequence[Tensor | None]) -> Tensor:
        x, w, b = xs[0], xs[1], xs[2] if len(xs) > 2 else None
        x = x if same else F.pad(x, fill)
        return convolve(x, w, b, strides, begin if same else 0, dilations, groups)

    return _windowed(run, rank)


def _conv_transpose(node: ir.Node, overwrite: bool) -> Function:
    kernel = shape_of(node.inputs[1])[2:]
    rank = len(kernel)
    shape, out = shape_of(node.inputs[0])[2:], shape_of(node.outputs[0])[2:]
    strides, dilations, groups = ints(node, "strides", (1,) * rank), ints(node, "dilations", (1,) * rank), integer(node, "group", 1)
    mode, pads = string(node, "auto_pad", "NOTSET"), ints(node, "pads", (0,) * (2 * rank))
    extra = ints(node, "output_padding", (0,) * rank)
    full = [(n - 1) * s + (k - 1) * d + 1 for n, s, k, d in zip(shape, strides, kernel, dilations, strict=True)]
    total = [max(0, f + e - o) for f, e, o in zip(full, extra, out, strict=True)]
    begin = list(pads[:rank]) if mode in ("NOTSET", "", "VALID") and not node.attributes.get("output_shape") else [t // 2 if mode == "SAME_UPPER" else t - t // 2 for t in total]
    if rank not in (1, 2) or min(begin) < 0:
        raise Unsupported("1-D and 2-D transposed convolutions without negative padding")
    convolve = F.conv_transpose2d if rank == 2 else F.conv_transpose1d
    fill = [p for o, f, b in zip(out[::-1], full[::-1], begin[::-1], strict=True) for p in (-b, o + b - f)]

    def run(xs: Sequence[Tensor | None]) -> Tensor:
        x, w, b = xs[0], xs[1], xs[2] if len(xs) > 2 else None
        y = F.pad(convolve(x, w, None, strides, 0, 0, groups, dilations), fill)
        return y if b is None else y + b.reshape(-1, *(1,) * rank)

    return _windowed(run, rank)


def _gemm(node: ir.Node, overwrite: bool) -> Function:
    alpha, beta = number(node, "alpha", 1.0), number(node, "beta", 1.0)
    turn_a, turn_b = integer(node, "transA", 0), integer(node, "transB", 0)

    def run(xs: Sequence[Tensor | None]) -> Tensor:
        a, b = (x.transpose(-1, -2) if turn else x for x, turn in zip(xs[:2], (turn_a, turn_b), strict=True))
        y = torch.matmul(a, b)
        y = y if alpha == 1.0 else alpha * y
        return y if len(xs) < 3 or xs[2] is None else y + (xs[2] if beta == 1.0 else beta * xs[2])

    return run


def _matmul(node: ir.Node, overwrite: bool) -> Function:
    ranks = [len(shape_of(v)) for v in node.inputs[:2]]
    if min(ranks) < 2:
        raise Unsupported("products of matrices; one operand is a vector")
    return _aligned(node, torch.matmul)


# --- element by element ---------------------------------------------------------------------------------------------------


def _aligned(node: ir.Node, function: Callable[..., Tensor]) -> Function:
    """function of operands broadcast by ONNX's rules: an activation of lower rank gets its axes of 1 behind the batch axis."""
    rank = max(len(shape_of(node.outputs[0])), *(len(_shape(v)) for v in node.inputs))
    shapes = [None if not _activation(node, i) or len(_shape(v)) == rank else (1,) * (rank - len(_shape(v))) + tuple(_shape(v)) for i, v in enumerate(node.inputs)]

    if all(shape is None for shape in shapes):
        return lambda xs: function(*xs)

    def run(xs: Sequence[Tensor | None]) -> Tensor:
        return function(*(x if shape is None else _reshaped(x, shape) for x, shape in zip(xs, shapes, strict=True)))

    return run


def _shape(value: ir.Value) -> tuple[int, ...]:
    array = constant(value)
    return shape_of(value) if array is None else array.shape


def _binary(function: Callable[..., Tensor]) -> Callable[[ir.Node, bool], Function]:
    return lambda node, overwrite: _aligned(node, function)


def _variadic(function: Callable[[Tensor, Tensor], Tensor], mean: bool = False) -> Callable[[ir.Node, bool], Function]:
    def build(node: ir.Node, overwrite: bool) -> Function:
        def reduce(*xs: Tensor) -> Tensor:
            y = xs[0]
            for x in xs[1:]:
                y = function(y, x)
            return y / len(xs) if mean else y

        return _aligned(node, reduce)

    return build


def _unary(function: Callable[[Tensor], Tensor]) -> Callable[[ir.Node, bool], Function]:
    return lambda node, overwrite: lambda xs: function(xs[0])


def _relu(node: ir.Node, overwrite: bool) -> Function:
    return lambda xs: F.relu(xs[0], inplace=overwrite)


def _clip(node: ir.Node, overwrite: bool) -> Function:
    bounds = clip_bounds(node)
    if bounds is None:
        raise Unsupported("its bounds must be constant")
    low, high = bounds
    if math.isinf(low) and math.isinf(high):
        return _identity(node, overwrite)
    return lambda xs: torch.clamp(xs[0], None if math.isinf(low) else low, None if math.isinf(high) else high)


def _leaky(node: ir.Node, overwrite: bool) -> Function:
    slope = number(node, "alpha", 0.01)
    return lambda xs: F.leaky_relu(xs[0], slope)


def _elu(node: ir.Node, overwrite: bool) -> Function:
    alpha = number(node, "alpha", 1.0)
    return lambda xs: F.elu(xs[0], alpha)


def _selu(node: ir.Node, overwrite: bool) -> Function:
    alpha, gamma = number(node, "alpha", 1.6732632), number(node, "gamma", 1.050701)
    return lambda xs: gamma * F.elu(xs[0], alpha)


def _celu(node: ir.Node, overwrite: bool) -> Function:
    alpha = number(node, "alpha", 1.0)
    return lambda xs: F.celu(xs[0], alpha)


def _hard_sigmoid(node: ir.Node, overwrite: bool) -> Function:
    alpha, beta = number(node, "alpha", 0.2), number(node, "beta", 0.5)
    return lambda xs: torch.clamp(alpha * xs[0] + beta, 0.0, 1.0)


def _swish(node: ir.Node, overwrite: bool) -> Function:
    alpha = number(node, "alpha", 1.0)
    return lambda xs: xs[0] * torch.sigmoid(alpha * xs[0])


def _gelu(node: ir.Node, overwrite: bool) -> Function:
    form = string(node, "approximate", "none")
    return lambda xs: F.gelu(xs[0], approximate=form)


def _prelu(node: ir.Node, overwrite: bool) -> Function:
    return _aligned(node, lambda x, slope: torch.clamp(x, min=0.0) + slope * torch.clamp(x, max=0.0))


def _batch_norm(node: ir.Node, overwrite: bool) -> Function:
    if integer(node, "training_mode", 0) or _more_outputs(node):
        raise Unsupported("batch normalization in inference only")
    epsilon, tail = number(node, "epsilon", 1e-5), (1,) * (len(shape_of(node.inputs[0])) - 2)

    def run(xs: Sequence[Tensor | None]) -> Tensor:
        x, scale, bias, mean, variance = (v if i == 0 else v.reshape(-1, *tail) for i, v in enumerate(xs[:5]))
        return (x - mean) * (scale / torch.sqrt(variance + epsilon)) + bias

    return run


# --- windows and reductions -----------------------------------------------------------------------------------------------


def _pool(node: ir.Node, overwrite: bool) -> Function:
    shape, out = shape_of(node.inputs[0])[2:], shape_of(node.outputs[0])[2:]
    rank = len(shape)
    kernel = ints(node, "kernel_shape", ())
    strides, dilations = ints(node, "strides", (1,) * rank), ints(node, "dilations", (1,) * rank)
    pads = pads_of(node, kernel, shape)
    if rank not in (1, 2) or _more_outputs(node):
        raise Unsupported("1-D and 2-D pooling without indices")
    if node.op_type == "AveragePool" and (any(d != 1 for d in dilations) or integer(node, "ceil_mode", 0) and integer(node, "count_include_pad", 0)):
        raise Unsupported("average pooling without dilation, and without ceil_mode together with count_include_pad")
    # every window that ONNX has, explicitly: what is missing at the far side is padded, what is too much never read
    far = [max(0, (o - 1) * s + (k - 1) * d + 1 - n - b) for o, s, k, d, n, b in zip(out, strides, kernel, dilations, shape, pads[:rank], strict=True)]
    fill = [p for b, f in zip(pads[:rank][::-1], far[::-1], strict=True) for p in (b, f)]
    padded, greatest = any(fill), node.op_type == "MaxPool"
    cut = tuple(slice(0, o) for o in out)
    counts = None
    average = F.avg_pool2d if rank == 2 else F.avg_pool1d
    if not greatest and padded and not integer(node, "count_include_pad", 0):
        counts = average(F.pad(torch.ones(1, 1, *shape), fill), kernel, strides)[(..., *cut)]

    def run(xs: Sequence[Tensor | None]) -> Tensor:
        x = xs[0]
        if padded:
            x = F.pad(x, fill, value=-math.inf if greatest else 0.0)
        if greatest:
            y = F.max_pool2d(x, kernel, strides, 0, dilations) if rank == 2 else F.max_pool1d(x, kernel, strides, 0, dilations)
        else:
            y = average(x, kernel, strides)
        y = y[(..., *cut)]
        return y if counts is None else y / counts

    return _windowed(run, rank)


def _global_pool(function: Callable[..., Tensor]) -> Callable[[ir.Node, bool], Function]:
    def build(node: ir.Node, overwrite: bool) -> Function:
        axes = tuple(range(3, len(shape_of(node.inputs[0])) + 1))
        return lambda xs: function(xs[0], axes, True)

    return build


REDUCTIONS: dict[str, Callable[..., Tensor]] = {
    "ReduceMean": torch.mean,
    "ReduceSum": torch.sum,
    "ReduceMax": torch.amax,
    "ReduceMin": torch.amin,
    "ReduceL1": lambda x, axes, keep: torch.sum(torch.abs(x), axes, keep),
    "ReduceL2": lambda x, axes, keep: torch.sqrt(torch.sum(x * x, axes, keep)),
    "ReduceSumSquare": lambda x, axes, keep: torch.sum(x * x, axes, keep),
    "ReduceLogSumExp": torch.logsumexp,
}


def _reduce(node: ir.Node, overwrite: bool) -> Function:
    rank = len(shape_of(node.inputs[0]))
    given = _fixed(node, 1, "axes")
    axes = ints(node, "axes", ()) if given is None else tuple(int(a) for a in given.reshape(-1))
    if not axes:
        if integer(node, "noop_with_empty_axes", 0):
            return lambda xs: xs[0]
        axes = tuple(range(rank))
    along, keep = tuple(a % rank + 1 for a in axes), bool(integer(node, "keepdims", 1))
    function = REDUCTIONS[node.op_type]
    return lambda xs: function(xs[0], along, keep)


def _softmax(function: Callable[..., Tensor]) -> Callable[[ir.Node, bool], Function]:
    def build(node: ir.Node, overwrite: bool) -> Function:
        axis = integer(node, "axis", -1) % len(shape_of(node.inputs[0])) + 1
        return lambda xs: function(xs[0], axis)

    return build


# --- layout ---------------------------------------------------------------------------------------------------------------


def _reshape(node: ir.Node, overwrite: bool) -> Function:
    shape = shape_of(node.outputs[0])
    return lambda xs: _reshaped(xs[0], shape)


def _transpose(node: ir.Node, overwrite: bool) -> Function:
    rank = len(shape_of(node.inputs[0]))
    order = (0, *(a + 1 for a in ints(node, "perm", tuple(range(rank))[::-1])))
    return lambda xs: xs[0].permute(order)


def _concat(node: ir.Node, overwrite: bool) -> Function:
    axis = integer(node, "axis", 0) % len(shape_of(node.outputs[0])) + 1
    fixed = [not _activation(node, i) for i in range(len(node.inputs))]

    def run(xs: Sequence[Tensor | None]) -> Tensor:
        samples = next(x.shape[0] for x, known in zip(xs, fixed, strict=True) if not known)
        return torch.cat([x.expand(samples, *x.shape) if known else x for x, known in zip(xs, fixed, strict=True)], axis)

    return run


def _slice(node: ir.Node, overwrite: bool) -> Function:
    shape = shape_of(node.inputs[0])
    starts, ends = (_fixed(node, i, "bounds") for i in (1, 2))
    axes, steps = _fixed(node, 3, "axes"), _fixed(node, 4, "steps")
    axes = range(len(starts)) if axes is None else axes.reshape(-1)
    steps = np.ones(len(starts), np.int64) if steps is None else steps.reshape(-1)
    taken = []
    for start, end, axis, step in zip(starts.reshape(-1), ends.reshape(-1), axes, steps, strict=True):
        taken.append((int(axis) % len(shape) + 1, torch.arange(*slice(int(start), int(end), int(step)).indices(shape[int(axis) % len(shape)]))))

    def run(xs: Sequence[Tensor | None]) -> Tensor:
        y = xs[0]
        for axis, index in taken:
            y = y.index_select(axis, index)
        return y

    return run


def _split(node: ir.Node, overwrite: bool) -> Function:
    axis = integer(node, "axis", 0) % len(shape_of(node.inputs[0]))
    sizes = [shape_of(o)[axis] for o in node.outputs]
    return lambda xs: torch.split(xs[0], sizes, axis + 1)


def _gather(node: ir.Node, overwrite: bool) -> Function:
    axis = integer(node, "axis", 0) % len(shape_of(node.inputs[0]))
    at = _fixed(node, 1, "indices")
    out = shape_of(node.outputs[0])
    index = torch.from_numpy(np.asarray(at, np.int64).reshape(-1) % shape_of(node.inputs[0])[axis])
    return lambda xs: _reshaped(xs[0].index_select(axis + 1, index), out)


def _pad(node: ir.Node, overwrite: bool) -> Function:
    shape, mode = shape_of(node.inputs[0]), string(node, "mode", "constant")
    modes = {"constant": 0, "reflect": 1, "edge": 2, "wrap": 3}
    pads, value, axes = _fixed(node, 1, "pads"), _fixed(node, 2, "value"), _fixed(node, 3, "axes")
    axes = range(len(shape)) if axes is None else [int(a) % len(shape) for a in axes.reshape(-1)]
    real = 0.0 if value is None or not value.size else float(value.reshape(-1)[0])
    each = [(a, int(b), int(e)) for a, b, e in zip(axes, pads.reshape(2, -1)[0], pads.reshape(2, -1)[1], strict=True) if b or e]
    if mode not in modes or mode != "constant" and any(min(b, e) < 0 for _, b, e in each):
        raise Unsupported(f"modes {', '.join(modes)}, negative pads only in constant mode")
    if mode == "constant":
        sides = {a: (b, e) for a, b, e in each}
        fill = [p for a in reversed(range(len(shape))) for p in sides.get(a, (0, 0))]
        return lambda xs: F.pad(xs[0], fill, value=real)
    taken = [(a + 1, torch.from_numpy(PadOperator.source_index(shape[a], b, e, modes[mode]))) for a, b, e in each]

    def run(xs: Sequence[Tensor | None]) -> Tensor:
        y = xs[0]
        for axis, index in taken:
            y = y.index_select(axis, index)
        return y

    return run


def _expand(node: ir.Node, overwrite: bool) -> Function:
    shape, old = shape_of(node.outputs[0]), shape_of(node.inputs[0])
    lead = (1,) * (len(shape) - len(old))
    return lambda xs: _reshaped(xs[0], (*lead, *old)).expand(-1, *shape)


def _tile(node: ir.Node, overwrite: bool) -> Function:
    repeats = [int(r) for r in _fixed(node, 1, "repeats").reshape(-1)]
    return lambda xs: xs[0].repeat(1, *repeats)


def _depth_to_space(node: ir.Node, overwrite: bool) -> Function:
    n, c, h, w = shape_of(node.inputs[0])
    b, out = integer(node, "blocksize", 1), shape_of(node.outputs[0])
    if string(node, "mode", "DCR") == "DCR":
        split, order = (n, b, b, c // (b * b), h, w), (0, 1, 4, 5, 2, 6, 3)
    else:
        split, order = (n, c // (b * b), b, b, h, w), (0, 1, 2, 5, 3, 6, 4)
    return lambda xs: _reshaped(_reshaped(xs[0], split).permute(order), out)


def _space_to_depth(node: ir.Node, overwrite: bool) -> Function:
    n, c, h, w = shape_of(node.inputs[0])
    b, out = integer(node, "blocksize", 1), shape_of(node.outputs[0])
    return lambda xs: _reshaped(_reshaped(xs[0], (n, c, h // b, b, w // b, b)).permute(0, 1, 4, 6, 2, 3, 5), out)


def _resize(node: ir.Node, overwrite: bool) -> Function:
    """Along one axis after the other: two neighbours and a weight."""
    shape, out = shape_of(node.inputs[0]), shape_of(node.outputs[0])
    mode = string(node, "mode", "nearest")
    upsample = node.op_type == "Upsample"
    if mode not in ("nearest", "linear") or integer(node, "antialias", 0):
        raise Unsupported("modes nearest and linear without antialias")
    transform = "asymmetric" if upsample else string(node, "coordinate_transformation_mode", "half_pixel")
    rounding = "floor" if upsample else string(node, "nearest_mode", "round_prefer_floor")
    scales = _fixed(node, 1 if upsample else 2, "scales")
    axes = [a % len(shape) for a in ints(node, "axes", tuple(range(len(shape))))]
    tables = []
    for axis in range(len(shape)):
        stated = axis in axes and scales is not None and scales.size == len(axes)
        scale = float(scales.reshape(-1)[axes.index(axis)]) if stated else out[axis] / shape[axis]
        if shape[axis] == out[axis] and scale == 1.0:
            continue
        try:
            first, second, weight = axis_neighbours(shape[axis], out[axis], scale, transform, rounding if mode == "nearest" else None)
        except KeyError as error:
            raise Unsupported(f"coordinates or rounding {error}") from None
        weight = torch.from_numpy(weight.astype(np.float32)).reshape(-1, *(1,) * (len(shape) - 1 - axis))
        tables.append((axis + 1, *(torch.from_numpy(at.astype(np.int64)) for at in (first, second)), weight))

    def run(xs: Sequence[Tensor | None]) -> Tensor:
        y = xs[0]
        for axis, first, second, weight in tables:
            y = y.index_select(axis, first) * (1 - weight) + y.index_select(axis, second) * weight
        return y

    return run


def _identity(node: ir.Node, overwrite: bool) -> Function:
    if _more_outputs(node):
        raise Unsupported("without a mask")
    return lambda xs: xs[0]


def works_joint(node: ir.Node) -> bool:
    """Whether the node's function also takes activations without the leading 1 of their ONNX shape, and gives its result so.

    Then every activation has the result's rank and a leading 1, and no axis is named by its number.
    """
    shapes = [shape_of(v) for i, v in enumerate(node.inputs) if v is not None and _activation(node, i)] + [shape_of(node.outputs[0])]
    rank = len(shapes[-1])
    fixed = [constant(v).shape for v in node.inputs if v is not None and constant(v) is not None]
    if node.op_type in JOINT_LAYERS:
        return rank >= 2 and all(s[0] == 1 for s in shapes) and (node.op_type != "Gemm" or not integer(node, "transA", 0))
    return node.op_type in JOINT and rank >= 2 and all(len(s) == rank and s[0] == 1 for s in shapes) and all(len(s) < rank or len(s) == rank and s[0] == 1 for s in fixed)


JOINT_LAYERS = ("Conv", "ConvTranspose", "Gemm", "MaxPool", "AveragePool")
JOINT = (
    "Add", "Sub", "Mul", "Div", "Pow", "Min", "Max", "Sum", "Mean", "Relu", "Clip", "LeakyRelu", "PRelu", "Elu", "Selu", "Celu", "Gelu", "HardSigmoid",
    "HardSwish", "Swish", "Sigmoid", "Tanh", "Softplus", "Softsign", "Mish", "Exp", "Log", "Sqrt", "Abs", "Neg", "Erf", "Sin", "Cos", "Atan", "Reciprocal", "Identity",
)  # fmt: skip

OPERATORS: dict[str, Callable[[ir.Node, bool], Function]] = {
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "BatchNormalization": _batch_norm,
    "Add": _binary(torch.add),
    "Sub": _binary(torch.sub),
    "Mul": _binary(torch.mul),
    "Div": _binary(torch.div),
    "Pow": _binary(torch.pow),
    "Min": _variadic(torch.minimum),
    "Max": _variadic(torch.maximum),
    "Sum": _variadic(torch.add),
    "Mean": _variadic(torch.add, mean=True),
    "Relu": _relu,
    "Clip": _clip,
    "LeakyRelu": _leaky,
    "PRelu": _prelu,
    "Elu": _elu,
    "Selu": _selu,
    "Celu": _celu,
    "Gelu": _gelu,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _unary(F.hardswish),
    "Swish": _swish,
    "Sigmoid": _unary(torch.sigmoid),
    "Tanh": _unary(torch.tanh),
    "Softplus": _unary(F.softplus),
    "Softsign": _unary(F.softsign),
    "Mish": _unary(F.mish),
    "Exp": _unary(torch.exp),
    "Log": _unary(torch.log),
    "Sqrt": _unary(torch.sqrt),
    "Abs": _unary(torch.abs),
    "Neg": _unary(torch.neg),
    "Erf": _unary(torch.erf),
    "Sin": _unary(torch.sin),
    "Cos": _unary(torch.cos),
    "Atan": _unary(torch.atan),
    "Reciprocal": _unary(torch.reciprocal),
    "MaxPool": _pool,
    "AveragePool": _pool,
    "GlobalAveragePool": _global_pool(torch.mean),
    "GlobalMaxPool": _global_pool(torch.amax),
    **dict.fromkeys(REDUCTIONS, _reduce),
    "Softmax": _softmax(torch.softmax),
    "LogSoftmax": _softmax(torch.log_softmax),
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), _reshape),
    "Transpose": _transpose,
    "Concat": _concat,
    "Slice": _slice,
    "Split": _split,
    "Gather": _gather,
    "Pad": _pad,
    "Expand": _expand,
    "Tile": _tile,
    "DepthToSpace": _depth_to_space,
    "SpaceToDepth": _space_to_depth,
    "Resize": _resize,
    "Upsample": _resize,
    "Identity": _identity,
    "Dropout": _identity,
}
