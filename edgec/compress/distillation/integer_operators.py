"""The operators of an integer program in torch: opcode → builder of a function on tensors [samples, *physical shape].

An activation is r = q − zero_point, whole numbers in float32; padding is then 0, and the bias is the unfolded one. Every function
has two forms. `exact` gives the bytes of docs/SPEC.md: sums in float32 only where they are proven to stay below 2^24, in float64
otherwise, and requantization in float64, where products that matter are below 2^53 (beyond it the clamp holds anyway). The other
form, for training steps, is float32 throughout with the multiplier in the weights; it is as fast as the float network, and
differs by one step where a value falls within about 1e−5 of a rounding tie.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgec import numerics
from edgec.compress.distillation.rounding import lookup, to_grid, to_steps
from edgec.compress.distillation.settling import Settling
from edgec.ir.core import DTYPE_BITS, Op, Program
from edgec.ir.core import Tensor as Activation
from edgec.numerics import SUM_FRACTION
from edgec.ops import OPERATORS as INTEGER_OPERATORS
from edgec.ops.movement import Pad as PadOperator
from edgec.ops.pooling import taps_inside

Function = Callable[[Sequence[Tensor], bool], Tensor]
EXACT_SUM = 2**24
SPREAD = 0.45


@dataclass(frozen=True)
class Site:
    """One operator of the program and the tensors around it."""

    op: Op
    inputs: tuple[Activation, ...]
    output: Activation
    constants: tuple[np.ndarray, ...]

    @property
    def bounds(self) -> tuple[int, int]:
        """Clamp bounds of the output as r."""
        return self.op.attrs["clamp_min"] - self.output.zero_point, self.op.attrs["clamp_max"] - self.output.zero_point

    @property
    def reach(self) -> int:
        """Greatest |r| of the first input."""
        low, high = limits_of(self.inputs[0])
        return max(abs(low), abs(high))


def limits_of(tensor: Activation) -> tuple[int, int]:
    """Least and greatest r that the tensor's type holds."""
    half = 2 ** (DTYPE_BITS[tensor.dtype] - 1)
    return -half - tensor.zero_point, half - 1 - tensor.zero_point


def sites(program: Program) -> list[Site]:
    return [
        Site(op, tuple(program.tensors[n] for n in op.inputs), program.tensors[op.outputs[0]], tuple(program.values(op)))
        for op in program.ops
    ]


class Layer(nn.Module):
    """Weights and bias of one conv2d, depthwise_conv2d, conv_transpose2d or dense, in units of their integer grids.

    weights: as torch wants them, float32 around integers within limits; bias: float64 [out], unfolded, in steps of the output (what
    is added there is bias / factor, rounded), so that all channels have one unit.
    """

    def __init__(self, site: Site, weights: np.ndarray, zero_sum: np.ndarray, limits: tuple[int, int]) -> None:
        super().__init__()
        attrs = site.op.attrs
        self.limits = limits
        tensor = torch.from_numpy(np.ascontiguousarray(weights, np.float32))
        self.weights = nn.Parameter(tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor)
        self.narrow = attrs.get("narrow", 0)
        """Bits by which the accumulator is shifted right, rounding half up, before it is requantized (16-bit activations)."""
        fraction = SUM_FRACTION if site.op.opcode == "conv2d_add" else 0
        multiplier = site.constants[2].astype(np.float64) / 2.0**32 * 2.0 ** (attrs["shift"] - self.narrow - fraction)
        bias = (site.constants[1].astype(np.int64) + zero_sum).astype(np.float64)
        self.bias = nn.Parameter(torch.from_numpy(bias * multiplier))
        self.register_buffer("first_bias", torch.from_numpy(bias))
        self.register_buffer("factor", torch.from_numpy(multiplier))
        self.register_buffer("shifted_multiplier", torch.from_numpy(site.constants[2].astype(np.int64) << attrs["shift"]))
        self.register_buffer("single", torch.from_numpy(multiplier.astype(np.float32)))
        self.low, self.high = site.bounds
        self.reach = site.reach
        self.observing, self.outputs = False, 0.0
        self.settling: Settling | None = None
        """Where training steps round by it instead of straight through."""
        self.axis = 0
        """The axis of `weights` that counts output channels."""

    def spread(self, rng: np.random.Generator) -> None:
        """Move each weight within what rounds to its integer. In the middle of the cells all of them would need the same number of steps
        to the edge, and cross it together."""
        with torch.no_grad():
            self.weights += torch.from_numpy(rng.uniform(-SPREAD, SPREAD, tuple(self.weights.shape)).astype(np.float32))

    def grid(self) -> Tensor:
        return to_grid(self.weights, *self.limits)

    def whole_bias(self) -> Tensor:
        """float64 integers [out], in accumulator steps."""
        whole = torch.round(self.bias.detach() / self.factor)
        return torch.where(self.factor > 0, whole, self.first_bias)

    def apply_to(
        self, x: Tensor, product: Callable[[Tensor, Tensor, Tensor | None], Tensor], channel: int, exact: bool, residual: Tensor | None = None
    ) -> Tensor:
        """clamp(requantize(product(x, weights) + bias) + residual); channel: the axis of the product that counts output channels;
        residual: in steps of the output."""
        if not exact:
            shape = [1] * self.weights.ndim
            shape[self.axis] = -1
            weights = self.grid() if self.settling is None else self.settling.values()
            v = product(x, weights * self.single.reshape(shape), (self.bias + 0.5).float())
            if self.observing:
                self.outputs = float(v.double().square().mean().sqrt())
            return to_steps(v if residual is None else v + residual, self.low, self.high)
        weights, bias = self.grid(), self.whole_bias()
        largest = float(weights.detach().abs().sum(tuple(a for a in range(weights.ndim) if a != self.axis)).max()) * self.reach
        acc = product(x, weights, None).double() if largest < EXACT_SUM else product(x.double(), weights.double(), None)
        shape = [1] * acc.ndim
        shape[channel] = -1
        acc = acc + bias.reshape(shape)
        if self.narrow:
            acc = to_steps(acc / 2.0**self.narrow + 0.5, -(2**31), 2**31 - 1) * 2.0**self.narrow
        if residual is None:
            v = acc * self.factor.reshape(shape)
        else:  # a residual can bring back what is beyond the clamp, so that every bit counts
            shifted = acc.long() * self.shifted_multiplier.reshape(shape)
            v = ((shifted + 2**31) >> 32).double() / 2.0**SUM_FRACTION + residual
        return to_steps(v + 0.5, self.low, self.high).float()


def _nchw(x: Tensor, h: int, w: int, c: int) -> Tensor:
    return x.reshape(-1, h, w, c).permute(0, 3, 1, 2)


def _nhwc(y: Tensor) -> Tensor:
    return y.permute(0, 2, 3, 1)


def _cut(y: Tensor, size: tuple[int, int]) -> Tensor:
    """The first rows and columns; y itself where it has no more (a view would be copied when it is written over)."""
    return y if y.shape[-2:] == size else y[..., : size[0], : size[1]].clone()


def _sides(a, kernel: str = "kernel") -> tuple[list[int], tuple[int, int]]:
    """F.pad's (left, right, top, bottom) so that every window of the operator is there, and its output size."""
    fill = []
    for k, begin in (("w", a["pad_left"]), ("h", a["pad_top"])):
        need = (a[f"out_{k}"] - 1) * a[f"stride_{k}"] + (a[f"{kernel}_{k}"] - 1) * a.get(f"dilation_{k}", 1) + 1
        fill += [begin, max(0, need - begin - a[f"in_{k}"])]
    return fill, (a["out_h"], a["out_w"])


def _conv(site: Site, limits: tuple[int, int]) -> tuple[Function, Layer]:
    a, depthwise = site.op.attrs, site.op.opcode == "depthwise_conv2d"
    stored = site.constants[0]
    weights = np.moveaxis(stored, 2, 0)[:, None] if depthwise else np.moveaxis(stored, 3, 1)  # → [out, in / groups, h, w]
    zero_sum = site.inputs[0].zero_point * weights.reshape(len(weights), -1).astype(np.int64).sum(axis=1)
    layer = Layer(site, weights, zero_sum, limits)
    groups = a["in_c"] if depthwise else a["groups"]
    fill, out = _sides(a)
    symmetric = fill[0] == fill[1] and fill[2] == fill[3]
    stride, dilation = (a["stride_h"], a["stride_w"]), (a["dilation_h"], a["dilation_w"])

    def product(x: Tensor, w: Tensor, b: Tensor | None) -> Tensor:
        x = x if symmetric else F.pad(x, fill)
        return _cut(F.conv2d(x, w, b, stride, (fill[2], fill[0]) if symmetric else 0, dilation, groups), out)

    ratio = a.get("residual_multiplier", 0) / 2.0**SUM_FRACTION

    def run(xs: Sequence[Tensor], exact: bool) -> Tensor:
        residual = None
        if len(xs) == 2:
            residual = _nchw(xs[1], *out, a["out_c"]) * ratio
            residual = residual.double() if exact else residual
        return _nhwc(layer.apply_to(_nchw(xs[0], a["in_h"], a["in_w"], a["in_c"]), product, 1, exact, residual))

    return run, layer


def _conv_transpose(site: Site, limits: tuple[int, int]) -> tuple[Function, Layer]:
    a, groups = site.op.attrs, site.op.attrs["groups"]
    stored = site.constants[0]  # [out, h, w, in / groups] → [in, out / groups, h, w]
    split = stored.reshape(groups, a["out_c"] // groups, a["kernel_h"], a["kernel_w"], a["in_c"] // groups)
    weights = split.transpose(0, 4, 1, 2, 3).reshape(a["in_c"], a["out_c"] // groups, a["kernel_h"], a["kernel_w"])
    layer = Layer(site, weights, np.zeros(a["out_c"], np.int64), limits)
    layer.axis = 1
    if groups > 1:
        raise ValueError("grouped transposed convolutions")
    full = [(a[f"in_{k}"] - 1) * a[f"stride_{k}"] + (a[f"kernel_{k}"] - 1) * a[f"dilation_{k}"] + 1 for k in "hw"]
    cut = [-a["pad_left"], a["out_w"] + a["pad_left"] - full[1], -a["pad_top"], a["out_h"] + a["pad_top"] - full[0]]
    stride, dilation = (a["stride_h"], a["stride_w"]), (a["dilation_h"], a["dilation_w"])

    def product(x: Tensor, w: Tensor, b: Tensor | None) -> Tensor:
        y = F.pad(F.conv_transpose2d(x, w, None, stride, 0, 0, groups, dilation), cut)
        return y if b is None else y + b.reshape(1, -1, 1, 1)

    return lambda xs, exact: _nhwc(layer.apply_to(_nchw(xs[0], a["in_h"], a["in_w"], a["in_c"]), product, 1, exact)), layer


def _dense(site: Site, limits: tuple[int, int]) -> tuple[Function, Layer]:
    a, stored = site.op.attrs, site.constants[0]
    layer = Layer(site, stored, site.inputs[0].zero_point * stored.astype(np.int64).sum(axis=1), limits)
    return lambda xs, exact: layer.apply_to(xs[0].reshape(-1, a["rows"], a["in_features"]), F.linear, 2, exact), layer


def _add(site: Site) -> Function:
    a = site.op.attrs
    low, high = site.bounds
    ka, kb = a["multiplier_a"] / 2.0 ** a["shift"], a["multiplier_b"] / 2.0 ** a["shift"]

    def run(xs: Sequence[Tensor], exact: bool) -> Tensor:
        x, y = (v.double() for v in xs) if exact else xs
        return to_steps(torch.add(x * ka + 0.5, y, alpha=kb), low, high).float()

    return run


def _mul(site: Site) -> Function:
    a = site.op.attrs
    walks = _walks(a)
    factor = a["multiplier"] / 2.0**32 * 2.0 ** a["shift"]
    low, high = site.bounds

    def run(xs: Sequence[Tensor], exact: bool) -> Tensor:
        x, y = (v.flatten(1).index_select(1, walk) for v, walk in zip(xs, walks, strict=True))
        x = x.double() if exact else x
        return to_steps(x * y * factor + 0.5, low, high).float()

    return run


def _div(site: Site) -> Function:
    """The divisor's reciprocals are a table, whose slope is their gradient."""
    a = site.op.attrs
    walks = _walks(a)
    table = torch.from_numpy(site.constants[0].astype(np.float64) / 2.0 ** a["shift"])
    slope = torch.from_numpy(np.gradient(table.numpy()))
    offset = 128 + site.inputs[1].zero_point
    low, high = site.bounds

    def run(xs: Sequence[Tensor], exact: bool) -> Tensor:
        x, y = (v.flatten(1).index_select(1, walk) for v, walk in zip(xs, walks, strict=True))
        return to_steps(x.double() * lookup(y.double(), table, slope, offset) + 0.5, low, high).float()

    return run


def _walks(a: Mapping[str, int]) -> list[Tensor]:
    """Which element of each operand meets at each element of the result."""
    walks = []
    for letter in "ab":
        index = np.zeros((), np.int64)
        for i in range(4):
            index = index[..., None] + np.arange(a[f"size_{i}"]) * a[f"stride_{letter}_{i}"]
        walks.append(torch.from_numpy(index.reshape(-1)))
    return walks


def _rescale(site: Site) -> Function:
    a = site.op.attrs
    factor = a["multiplier"] / 2.0**32 * 2.0 ** a["shift"]
    low, high = site.bounds
    return lambda xs, exact: to_steps((xs[0].double() if exact else xs[0]) * factor + 0.5, low, high).float()


def _pick(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Site], Function]:
    return lambda site: lambda xs, exact: function(xs[0], xs[1].reshape(xs[0].shape))


def _average(site: Site) -> Function:
    a = site.op.attrs
    fill, out = _sides(a)
    (top, bottom), (left, right) = (taps_inside(a[f"out_{k}"], a[f"kernel_{k}"], a[f"stride_{k}"], a[pad], a[f"in_{k}"]) for k, pad in (("h", "pad_top"), ("w", "pad_left")))
    count = np.outer(bottom - top, right - left)
    chosen = site.constants[0][count - 1] if a["multipliers"] > 1 else site.constants[0][:1].reshape(1, 1)
    factor = torch.from_numpy(chosen.astype(np.float64) / 2.0**32 * 2.0 ** a["shift"])
    single = factor.float()
    kernel, stride = (a["kernel_h"], a["kernel_w"]), (a["stride_h"], a["stride_w"])
    low, high = site.bounds

    def run(xs: Sequence[Tensor], exact: bool) -> Tensor:
        x = F.pad(_nchw(xs[0], a["in_h"], a["in_w"], a["channels"]), fill)
        acc = _cut(F.avg_pool2d(x.double() if exact else x, kernel, stride, divisor_override=1), out)
        return _nhwc(to_steps(acc * (factor if exact else single) + 0.5, low, high).float())

    return run


def _greatest(site: Site) -> Function:
    a = site.op.attrs
    fill, out = _sides(a)
    low, high = site.bounds
    kernel, stride = (a["kernel_h"], a["kernel_w"]), (a["stride_h"], a["stride_w"])
    padded, clamped = any(fill), a["clamp_min"] > -128 or a["clamp_max"] < 127

    def run(xs: Sequence[Tensor], exact: bool) -> Tensor:
        x = _nchw(xs[0], a["in_h"], a["in_w"], a["channels"])
        y = _cut(F.max_pool2d(F.pad(x, fill, value=-1024.0) if padded else x, kernel, stride), out)
        return _nhwc(y.clamp(low, high) if clamped else y)

    return run


def _lookup(site: Site) -> Function:
    table = site.constants[0].astype(np.float32) - site.output.zero_point
    slope = np.gradient(table).astype(np.float32)
    offset = 128 + site.inputs[0].zero_point
    values, slopes = torch.from_numpy(table), torch.from_numpy(slope)
    return lambda xs, exact: lookup(xs[0], values, slopes, offset)


def _powers_of_table(site: Site) -> Callable[[Tensor], Tensor]:
    table = torch.from_numpy(site.constants[0].astype(np.int64))
    return lambda q: table[q.amax(-1, keepdim=True) - q]


def _powers_of_two(site: Site) -> Callable[[Tensor], Tensor]:
    """numerics.softmax_s16_powers."""
    a, bits = site.op.attrs, numerics.OCTAVE_BITS

    def run(q: Tensor) -> Tensor:
        octaves = ((q.amax(-1, keepdim=True) - q) * a["multiplier"] + (1 << (a["shift"] - 1))) >> a["shift"]
        whole, f = (octaves >> bits) + a["depth_bits"], octaves & (2**bits - 1)
        r = torch.full_like(f, numerics.EXP2[3])
        for c in numerics.EXP2[2::-1]:
            r = c - ((r * f) >> bits)
        return torch.where(whole > 30, 0, (((2**31 - ((r * f) >> 1)) >> whole.clamp(max=30)) + 1) >> 1)

    return run


def _softmax(site: Site) -> Function:
    """The integer form, without rounding to bytes in between; its gradient is that of the real softmax."""
    a = site.op.attrs
    powers = _powers_of_two(site) if site.op.opcode == "softmax_s16" else _powers_of_table(site)
    scale_x, scale_y, zero = site.inputs[0].scale, site.output.scale, site.output.zero_point

    def run(xs: Sequence[Tensor], exact: bool) -> Tensor:
        x = xs[0].reshape(-1, a["rows"], a["depth"])
        real = torch.softmax(x * scale_x, -1) / scale_y
        with torch.no_grad():
            t = powers(x.to(torch.int64))
            s = t.sum(-1, keepdim=True)
            k = torch.zeros_like(s)
            for _ in range(16):
                k += (s >> k) >= 2**16
            short = torch.where(k > 0, (s + (1 << (k - 1).clamp(min=0))) >> k, s)
            f = a["fraction"]
            y = (t * (2**31 // short) * a["factor"] + (1 << (30 + k + f))) >> (31 + k + f)
            y = (y + zero).clamp(-128, 127) - zero
        return real + (y - real).detach() if real.requires_grad else y.float()

    return run


def _moved(site: Site) -> Function:
    """Operators that only move bytes: where each one comes from is what they do to the positions."""
    index = INTEGER_OPERATORS[site.op.opcode].golden(site.op, [np.arange(site.inputs[0].size)], site.constants)[0]
    at = torch.from_numpy(np.asarray(index, np.int64).reshape(-1))
    shape = site.output.shape
    return lambda xs, exact: xs[0].flatten(1).index_select(1, at).reshape(-1, *shape)


def _concat(site: Site) -> Function:
    outer = site.op.attrs["outer"]
    return lambda xs, exact: torch.cat([x.reshape(x.shape[0], outer, -1) for x in xs], 2)


def _pad(site: Site) -> Function:
    a = site.op.attrs
    size = [a[f"size_{i}"] for i in range(4)]
    if a["mode"] == 0:
        fill = [p for i in (3, 2, 1, 0) for p in (a[f"before_{i}"], a[f"after_{i}"])]
        value = float(a["value"] - site.inputs[0].zero_point)
        return lambda xs, exact: F.pad(xs[0].reshape(-1, *size), fill, value=value)
    taken = [torch.from_numpy(PadOperator.source_index(size[i], a[f"before_{i}"], a[f"after_{i}"], a["mode"])) for i in range(4)]

    def run(xs: Sequence[Tensor], exact: bool) -> Tensor:
        y = xs[0].reshape(-1, *size)
        for i, index in enumerate(taken):
            y = y.index_select(i + 1, index)
        return y

    return run


def _constant(site: Site) -> Function:
    data = torch.from_numpy(site.constants[0].astype(np.float32) - site.output.zero_point)
    return lambda xs, exact: data.reshape(1, *site.output.shape).expand(xs[0].shape[0], *site.output.shape)


def _resize(site: Site) -> Function:
    a = site.op.attrs
    tables = [(torch.from_numpy(t[:, 0].astype(np.int64)), torch.from_numpy(t[:, 1].astype(np.int64)), torch.from_numpy(t[:, 2].astype(np.float64))) for t in site.constants]

    def run(xs: Sequence[Tensor], exact: bool) -> Tensor:
        y = xs[0].reshape(-1, a["in_h"], a["in_w"], a["channels"])
        y = y.double() if exact else y
        for axis, (first, second, weight) in zip((1, 2), tables, strict=True):
            w = weight.to(y.dtype).reshape(-1, *(1,) * (3 - axis))
            y = y.index_select(axis, first) * (2048.0 - w) + y.index_select(axis, second) * w
        return to_steps(y / 2.0**22 + 0.5, -255, 255).float()

    return run


LAYERS: dict[str, Callable[[Site, tuple[int, int]], tuple[Function, Layer]]] = {
    "conv2d": _conv,
    "conv2d_add": _conv,
    "depthwise_conv2d": _conv,
    "conv_transpose2d": _conv_transpose,
    "dense": _dense,
    "conv2d_s16": _conv,
}

FUNCTIONS: dict[str, Callable[[Site], Function]] = {
    "add": _add,
    "add_wide": _add,
    "add_s16": _add,
    "rescale_s16": _rescale,
    "mul": _mul,
    "div": _div,
    "minimum": _pick(torch.minimum),
    "maximum": _pick(torch.maximum),
    "average_pool2d": _average,
    "average_pool2d_s16": _average,
    "max_pool2d": _greatest,
    "lookup": _lookup,
    "softmax": _softmax,
    "softmax_s16": _softmax,
    "transpose": _moved,
    "strided_copy": _moved,
    "gather": _moved,
    "concat": _concat,
    "pad": _pad,
    "constant": _constant,
    "resize": _resize,
}
