"""conv2d and depthwise_conv2d: attributes, goldens, packings, lowering, and the cases every backend is tested on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgec import numerics
from edgec.ir.core import Constant, Op, Program, Tensor
from edgec.ops import packing_dsp, packing_mve, weights
from edgec.ops.base import CANONICAL, bounds_of_dot, single
from edgec.ops.weights import Weighted

if TYPE_CHECKING:
    from edgec.lower import View

GEOMETRY = (
    "in_h", "in_w", "in_c", "out_h", "out_w", "out_c", "kernel_h", "kernel_w",
    "stride_h", "stride_w", "dilation_h", "dilation_w", "pad_top", "pad_left",
)  # fmt: skip
EPILOGUE = ("in_zero_point", "out_zero_point", "clamp_min", "clamp_max", "shift")


def window_taps(a: Mapping[str, int]) -> int:
    """Weights of an output channel of conv2d."""
    return a["kernel_h"] * a["kernel_w"] * (a["in_c"] // a["groups"])


def window_reach(a: dict[str, int]) -> np.ndarray:
    """For each output pixel in order, the first byte of the input that it or any later pixel reads."""
    row = np.maximum(np.arange(a["out_h"]) * a["stride_h"] - a["pad_top"], 0)
    col = np.maximum(np.arange(a["out_w"]) * a["stride_w"] - a["pad_left"], 0)
    row = np.minimum(row, a["in_h"])
    first = (row[:, None] * a["in_w"] + np.minimum(col, a["in_w"])[None, :]) * a["in_c"]
    return np.minimum.accumulate(first.reshape(-1)[::-1])[::-1]


def window_end(a: Mapping[str, int]) -> np.ndarray:
    """For each output pixel in order, one past the last byte of the input that it or any earlier pixel reads."""
    row = np.arange(a["out_h"]) * a["stride_h"] - a["pad_top"] + (a["kernel_h"] - 1) * a["dilation_h"]
    col = np.arange(a["out_w"]) * a["stride_w"] - a["pad_left"] + (a["kernel_w"] - 1) * a["dilation_w"]
    last = np.minimum(row, a["in_h"] - 1)[:, None] * a["in_w"] + np.minimum(col, a["in_w"] - 1)[None, :]
    return np.maximum.accumulate((last.reshape(-1) + 1) * a["in_c"])


def pixelwise_distance(a: dict[str, int]) -> int:
    """Least input − output offset for a kernel that goes pixel by pixel and writes each channel once its window is read.

    Writing channel c of pixel p may not pass what the rest of pixel p, or any later pixel, still reads.
    """
    reach = window_reach(a)
    pixels = reach.size
    last_of_pixel = np.arange(pixels) * a["out_c"] + a["out_c"] - 1
    within = np.where(a["out_c"] > 1, last_of_pixel - reach, -(2**31))
    after = last_of_pixel[:-1] + 1 - reach[1:]
    return int(max(within.max(), after.max() if pixels > 1 else -(2**31), -a["in_h"] * a["in_w"] * a["in_c"]))


def patches(x: np.ndarray, a: dict[str, int]) -> np.ndarray:
    """Windows of x int8 [in_h, in_w, in_c], padding read as zero_point: [out_h, out_w, kernel_h, kernel_w, in_c]."""
    bottom = max(0, (a["out_h"] - 1) * a["stride_h"] + (a["kernel_h"] - 1) * a["dilation_h"] + 1 - a["pad_top"] - a["in_h"])
    right = max(0, (a["out_w"] - 1) * a["stride_w"] + (a["kernel_w"] - 1) * a["dilation_w"] + 1 - a["pad_left"] - a["in_w"])
    x = np.pad(x, ((a["pad_top"], bottom), (a["pad_left"], right), (0, 0)), constant_values=a["in_zero_point"])
    rows = np.arange(a["out_h"])[:, None] * a["stride_h"] + np.arange(a["kernel_h"])[None, :] * a["dilation_h"]
    cols = np.arange(a["out_w"])[:, None] * a["stride_w"] + np.arange(a["kernel_w"])[None, :] * a["dilation_w"]
    return x[rows[:, None, :, None], cols[None, :, None, :]]


def exact_matmul(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Integer x [..., K] by w [N, K] through float64, exact while Σ|x||w| < 2^53 (asserted)."""
    assert float(x.shape[-1]) * 2.0**15 * 2.0**15 < 2.0**53
    return (x.astype(np.float64) @ w.astype(np.float64).T).astype(np.int64)


def check_epilogue(a: dict[str, int]) -> str | None:
    if not -128 <= a["clamp_min"] <= a["clamp_max"] <= 127:
        return "clamp bounds must satisfy -128 <= clamp_min <= clamp_max <= 127"
    if not -128 <= a["out_zero_point"] <= 127 or not -128 <= a.get("in_zero_point", 0) <= 127:
        return "a zero_point is outside int8"
    if not 0 <= a["shift"] <= 24:
        return "shift must be in 0..24"
    return None


def channels_last(spatial: int) -> tuple[int, ...]:
    """Physical order of an ONNX tensor [N, C, spatial…] with channels last."""
    return (0, *range(2, spatial + 2), 1)


def epilogue(x, y: Tensor, result) -> dict[str, int]:
    """The attributes of EPILOGUE but the shift, from the input's view, the output tensor and the lowering's Result."""
    return {
        "in_zero_point": x.tensor.zero_point,
        "out_zero_point": y.zero_point,
        "clamp_min": result.clamp_min,
        "clamp_max": result.clamp_max,
    }


def window_attributes(ctx, node, in_shape: Sequence[int], out_shape: Sequence[int], kernel: Sequence[int]) -> dict[str, int]:
    """Sizes, strides, dilations and leading padding of a Conv or pooling node, 1-D as 2-D of height 1."""
    spatial = len(in_shape) - 2
    if in_shape[0] != 1:
        raise ctx.refuse(node, f"a batch of {in_shape[0]}", "edgec compiles networks for one sample; run() takes batches of any size", "export the model with batch size 1 or an open batch dimension")
    given = {name: list(node.attributes.get_ints(name, [])) for name in ("strides", "dilations", "pads")}
    strides, dilations = given["strides"] or [1] * spatial, given["dilations"] or [1] * spatial
    pads = given["pads"] or [0] * (2 * spatial)
    kernel = list(kernel)[-spatial:]
    auto = node.attributes.get_string("auto_pad", "NOTSET")
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        for i in range(spatial):
            total = max(0, (out_shape[2 + i] - 1) * strides[i] + (kernel[i] - 1) * dilations[i] + 1 - in_shape[2 + i])
            pads[i] = total // 2 if auto == "SAME_UPPER" else total - total // 2
    sizes = {"in": list(in_shape[2:]), "out": list(out_shape[2:]), "kernel": kernel, "stride": strides, "dilation": dilations}
    attrs = {}
    for name, values in sizes.items():
        attrs[f"{name}_h"], attrs[f"{name}_w"] = values if spatial == 2 else (1, values[0])
    attrs["pad_top"], attrs["pad_left"] = pads[:2] if spatial == 2 else (0, pads[0])
    if min(pads[:spatial]) < 0:
        raise ctx.refuse(node, "negative padding", f"pads are {pads}", "crop with a Slice instead")
    return attrs


@dataclass(frozen=True)
class ConvLayer:
    """A Conv node as its operators want it.

    x: its input, channels last; order: of its output's axes in memory; geometry: GEOMETRY and groups;
    weights: int8 [out_c, kernel_h, kernel_w, in_c / groups], bits of the type they were stored in;
    bias: int32 with −z_x·Σw folded in; scale: s_x·s_w, float64 [out_c].
    """

    x: View
    order: tuple[int, ...]
    geometry: dict[str, int]
    weights: np.ndarray
    bits: int
    bias: np.ndarray
    scale: np.ndarray


def layer_of(ctx, node) -> ConvLayer:
    view = ctx.activation(node, 0)
    spatial = len(view.shape) - 2
    stored = ctx.weights(node, 1)
    if spatial not in (1, 2) or stored.scale.size > 1 and stored.axis != 0:
        raise ctx.refuse(node, "a convolution of this kind is not supported", f"{spatial} spatial axes, weights quantized along axis {stored.axis}", "use 1-D or 2-D convolutions with weights quantized per output channel")
    x = ctx.arrange(view, channels_last(spatial), node)
    w = stored.values if spatial == 2 else stored.values[:, :, None, :]
    geometry = window_attributes(ctx, node, view.shape, tuple(node.outputs[0].shape), w.shape[2:])
    geometry.update(in_c=view.shape[1], out_c=w.shape[0], groups=node.attributes.get_int("group", 1))
    w = np.moveaxis(w, 1, 3)  # OIHW → OHWI
    scale = np.broadcast_to(x.tensor.scale * stored.scale, (len(w),))
    bias = ctx.folded_bias(node, 2, scale, x.tensor.zero_point, w.reshape(len(w), -1).astype(np.int64).sum(axis=1))
    return ConvLayer(x, channels_last(spatial), geometry, w, stored.bits, bias, scale)


def check_window(a, inputs: Sequence[Tensor], outputs: Sequence[Tensor], constants: Sequence[Constant], weight_shape: tuple[int, ...]) -> str | None:
    """What is wrong with the sizes, the padding or the zero_points of a convolution, or None."""
    if min(a[k] for k in GEOMETRY if not k.startswith("pad")) < 1 or min(a["pad_top"], a["pad_left"]) < 0:
        return "sizes, strides and dilations must be positive and padding not negative"
    if inputs[0].size != a["in_h"] * a["in_w"] * a["in_c"] or outputs[0].size != a["out_h"] * a["out_w"] * a["out_c"]:
        return "input or output size does not follow from the attributes"
    for pad, size, kernel, dilation in (("pad_top", "in_h", "kernel_h", "dilation_h"), ("pad_left", "in_w", "kernel_w", "dilation_w")):
        if a[pad] > (a[kernel] - 1) * a[dilation]:
            return f"{pad} is beyond the reach of the kernel"
        out, stride = a["out" + size[2:]], a["stride" + size[2:]]
        if (out - 1) * stride - a[pad] >= a[size]:
            return f"the last window along {size[3:]} lies wholly in the padding"
    if inputs[0].zero_point != a["in_zero_point"] or outputs[0].zero_point != a["out_zero_point"]:
        return "zero_point of the attributes and of the tensors differ"
    if [c.data.shape for c in constants] != [weight_shape, (a["out_c"],), (a["out_c"],)]:
        return "shape of weights, bias or multiplier does not follow from the attributes"
    return None


class _Windowed(Weighted):
    def check(self, op: Op, inputs: Sequence[Tensor], outputs: Sequence[Tensor], constants: Sequence[Constant]) -> str | None:
        a = op.attrs
        broken = check_window(a, inputs, outputs, constants, self.weight_shape(a))
        return broken or weights.check_weight_bits(a) or check_epilogue(a)

    def weight_shape(self, a) -> tuple[int, ...]:
        raise NotImplementedError


class Conv2d(_Windowed):
    """Convolution, channels last. Weights [out_c, kernel_h, kernel_w, in_c / groups]; bias has −z_x·Σw folded in."""

    opcode, code = "conv2d", 1
    onnx = ("Conv",)
    fields = (*GEOMETRY, "groups", *EPILOGUE, "weight_bits")
    packings = {"c1": CANONICAL, "n1": weights.row_packing(window_taps), **packing_mve.CONV2D, **packing_dsp.CONV2D}

    def weight_shape(self, a) -> tuple[int, ...]:
        return (a["out_c"], a["kernel_h"], a["kernel_w"], a["in_c"] // a["groups"])

    def check(self, op, inputs, outputs, constants) -> str | None:
        a = op.attrs
        if a["groups"] < 1 or a["in_c"] % a["groups"] or a["out_c"] % a["groups"]:
            return "groups must divide in_c and out_c"
        return super().check(op, inputs, outputs, constants)

    @staticmethod
    def accumulators(a: Mapping[str, int], x: np.ndarray, w: np.ndarray, bias: np.ndarray) -> np.ndarray:
        """int64 [out_h, out_w, out_c]: bias + Σ w·x."""
        x = patches(np.asarray(x).reshape(a["in_h"], a["in_w"], a["in_c"]), a)
        per, out = a["in_c"] // a["groups"], a["out_c"] // a["groups"]
        acc = [
            exact_matmul(
                x[..., g * per : (g + 1) * per].reshape(a["out_h"], a["out_w"], -1),
                w[g * out : (g + 1) * out].reshape(out, -1),
            )
            for g in range(a["groups"])
        ]
        return np.concatenate(acc, axis=-1) + bias.astype(np.int64)

    def golden(self, op, inputs, constants):
        a = op.attrs
        w, bias, multiplier = constants
        acc = self.accumulators(a, inputs[0], w, bias)
        return [numerics.requantize(acc, multiplier, a["out_zero_point"], a["clamp_min"], a["clamp_max"], a["shift"])]

    def applies(self, op: Op, kernel: str) -> bool:
        if not weights.fits(op, kernel):
            return False
        if kernel.endswith("__dsp"):
            return packing_dsp.conv2d_applies(op.attrs, kernel)
        return super().applies(op, kernel) or (kernel.endswith("__mve") and packing_mve.conv2d_applies(op.attrs))

    def scratch(self, op: Op, kernel: str) -> int:
        if kernel.endswith("__dsp"):
            return packing_dsp.conv2d_scratch(op.attrs, kernel)
        return packing_mve.conv2d_scratch(op.attrs) if kernel.endswith("__mve") else 0

    def distance(self, op: Op, kernel: str) -> int | None:
        if kernel.endswith("__dsp"):
            return packing_dsp.conv2d_distance(op.attrs, window_reach(op.attrs))
        if kernel.endswith("__mve"):
            return packing_mve.conv2d_distance(op.attrs)
        return pixelwise_distance(op.attrs) if kernel.endswith("__ref") else None

    def distance_above(self, op: Op, kernel: str) -> int | None:
        return packing_dsp.conv2d_distance_above(op.attrs) if kernel.endswith("__dsp") else None

    def macs(self, op: Op) -> int:
        a = op.attrs
        return a["out_h"] * a["out_w"] * a["out_c"] * a["kernel_h"] * a["kernel_w"] * (a["in_c"] // a["groups"])

    def accumulator_bounds(self, op, constants):
        return bounds_of_dot(constants[0], constants[1])

    def lower(self, ctx, node) -> None:
        from edgec.ops import conv_add, wide  # which are built on this file

        if conv_add.reader_of(ctx, node) is not None:
            return  # the Add that reads it is lowered with it
        layer = layer_of(ctx, node)
        x, w = layer.x, layer.weights
        result = ctx.result(node)
        y = ctx.output(result, layer.order)
        factors = layer.scale / y.scale
        if wide.emit_layer(ctx, node, x.tensor, y, result, layer.geometry, w, layer.bias, factors):
            return
        attrs = layer.geometry | epilogue(x, y, result) | {"shift": numerics.layer_shift(factors)}
        attrs["weight_bits"] = weights.bits_to_store(layer.bits, w.reshape(len(w), -1), layer.bias)
        opcode = "conv2d"
        if attrs["groups"] == attrs["in_c"] > 1:
            opcode, w = "depthwise_conv2d", np.moveaxis(w[..., 0], 0, 2)
            del attrs["groups"]
        ctx.emit(opcode, node.name, [x.tensor], y, attrs, [w, layer.bias, numerics.multipliers(factors, attrs["shift"])])

    def cases(self) -> Iterator[Program]:
        shapes = [  # in_h, in_w, in_c, out_c, kernel, stride, dilation, pads (top, left, bottom, right), groups
            (8, 8, 16, 16, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1), 1),
            (9, 7, 3, 8, (3, 3), (2, 2), (1, 1), (0, 0, 1, 1), 1),
            (6, 5, 8, 16, (1, 1), (1, 1), (1, 1), (0, 0, 0, 0), 1),
            (7, 7, 16, 33, (1, 1), (2, 2), (1, 1), (0, 0, 0, 0), 1),
            (20, 10, 1, 64, (10, 4), (2, 2), (1, 1), (4, 1, 5, 1), 1),
            (9, 9, 5, 7, (3, 2), (1, 2), (2, 1), (2, 1, 2, 0), 1),
            (5, 6, 8, 12, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1), 4),
            (1, 30, 40, 17, (1, 3), (1, 1), (1, 1), (0, 0, 0, 0), 1),
            (1, 1, 64, 3, (1, 1), (1, 1), (1, 1), (0, 0, 0, 0), 1),
            (4, 4, 130, 5, (3, 3), (1, 1), (1, 1), (2, 2, 2, 2), 1),
            (12, 12, 64, 64, (1, 1), (1, 1), (1, 1), (0, 0, 0, 0), 1),
        ]
        for i, shape in enumerate(shapes):
            yield windowed_case(self, f"conv2d_{i}", *shape, seed=i)
        yield windowed_case(self, "conv2d_shift", 6, 6, 4, 8, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1), 1, seed=90, ratio=3.0)
        yield windowed_case(self, "conv2d_relu", 6, 6, 4, 8, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1), 1, seed=91, clamp=(-100, 90))
        yield windowed_case(self, "conv2d_relu_by_fours", 5, 8, 4, 6, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1), 1, seed=93, clamp=(-70, 60))
        yield windowed_case(self, "conv2d_extreme", 5, 5, 32, 16, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1), 1, seed=92, extreme=True)
        narrow = [
            (8, 8, 16, 16, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1), 1),
            (9, 7, 3, 8, (3, 3), (2, 2), (1, 1), (0, 0, 1, 1), 1),
            (6, 5, 8, 16, (1, 1), (1, 1), (1, 1), (0, 0, 0, 0), 1),
            (7, 7, 16, 33, (1, 1), (2, 2), (1, 1), (0, 0, 0, 0), 1),
            (20, 10, 1, 9, (10, 4), (2, 2), (1, 1), (4, 1, 5, 1), 1),
            (9, 9, 5, 7, (3, 2), (1, 2), (2, 1), (2, 1, 2, 0), 1),
            (5, 6, 10, 6, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1), 2),
            (1, 30, 40, 17, (1, 3), (1, 1), (1, 1), (0, 0, 0, 0), 1),
            (1, 1, 65, 1, (1, 1), (1, 1), (1, 1), (0, 0, 0, 0), 1),
            (6, 7, 7, 5, (1, 1), (1, 1), (1, 1), (0, 0, 0, 0), 1),
            (4, 4, 68, 6, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1), 1),
        ]
        for i, shape in enumerate(narrow):
            yield windowed_case(self, f"conv2d_int4_{i}", *shape, seed=60 + i, bits=4)
        yield windowed_case(self, "conv2d_int4_shift", 6, 6, 4, 8, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1), 1, seed=94, ratio=3.0, clamp=(-90, 99), bits=4)
        yield windowed_case(self, "conv2d_int4_extreme", 5, 5, 32, 16, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1), 1, seed=95, extreme=True, bits=4)
        for i, out_c in enumerate((12, 13)):  # heads beyond int16: patches, and an odd channel behind blocks of four positions
            yield windowed_case(self, f"conv2d_int4_wide_{i}", 2, 4 - i, 64, out_c, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1), 1, seed=96 + i, extreme=True, bits=4)


class DepthwiseConv2d(_Windowed):
    """Depthwise convolution. out_c = in_c · channel multiplier; weights [kernel_h, kernel_w, out_c]."""

    opcode, code = "depthwise_conv2d", 2
    fields = (*GEOMETRY, *EPILOGUE, "weight_bits")
    packings = {"c1": CANONICAL, "n1": weights.TAPS, **packing_mve.DEPTHWISE, **packing_dsp.DEPTHWISE}

    def weight_shape(self, a) -> tuple[int, ...]:
        return (a["kernel_h"], a["kernel_w"], a["out_c"])

    def check(self, op, inputs, outputs, constants) -> str | None:
        if op.attrs["in_c"] < 1 or op.attrs["out_c"] % op.attrs["in_c"]:
            return "out_c must be a multiple of in_c"
        return super().check(op, inputs, outputs, constants)

    def golden(self, op, inputs, constants):
        a = op.attrs
        w, bias, multiplier = constants
        x = patches(np.asarray(inputs[0]).reshape(a["in_h"], a["in_w"], a["in_c"]), a)
        x = np.repeat(x, a["out_c"] // a["in_c"], axis=-1)
        acc = np.einsum("hwijc,ijc->hwc", x.astype(np.int32), w.astype(np.int32)).astype(np.int64) + bias.astype(np.int64)
        return [numerics.requantize(acc, multiplier, a["out_zero_point"], a["clamp_min"], a["clamp_max"], a["shift"])]

    def applies(self, op: Op, kernel: str) -> bool:
        if not weights.fits(op, kernel):
            return False
        if kernel.endswith("__dsp"):
            return packing_dsp.depthwise_applies(op.attrs, kernel)
        return super().applies(op, kernel) or (kernel.endswith("__mve") and packing_mve.depthwise_applies(op.attrs))

    def scratch(self, op: Op, kernel: str) -> int:
        if kernel.endswith("__dsp"):
            return packing_dsp.depthwise_scratch(op.attrs, kernel)
        return packing_mve.depthwise_scratch(op.attrs) if kernel.endswith("__mve") else 0

    def over_first(self, op: Op, kernel: str) -> bool:
        if kernel.endswith("__mve"):
            return packing_mve.depthwise_over_first(op.attrs)
        return kernel.endswith("__dsp") and packing_dsp.depthwise_over_first(op.attrs, kernel)

    def distance(self, op: Op, kernel: str) -> int | None:
        if kernel.endswith("__dsp"):
            return packing_dsp.depthwise_distance(op.attrs, kernel, window_reach(op.attrs))
        if not kernel.endswith("__ref"):
            return None
        a = op.attrs
        if a["in_c"] != a["out_c"]:
            return pixelwise_distance(a)
        reach = window_reach(a)  # channel c of a pixel reads channel c only: writes trail reads by whole pixels
        return int((np.arange(reach.size) * a["out_c"] - reach).max())

    def distance_above(self, op: Op, kernel: str) -> int | None:
        if not kernel.endswith("__ref"):
            return None
        a = op.attrs
        end = window_end(a)
        own = a["in_c"] if a["in_c"] == a["out_c"] else 0  # backwards too, channel c of a pixel reads channel c only
        return int((end - own - np.arange(end.size) * a["out_c"]).max())

    def macs(self, op: Op) -> int:
        a = op.attrs
        return a["out_h"] * a["out_w"] * a["out_c"] * a["kernel_h"] * a["kernel_w"]

    def accumulator_bounds(self, op, constants):
        return bounds_of_dot(np.moveaxis(constants[0], 2, 0), constants[1])

    def cases(self) -> Iterator[Program]:
        shapes = [
            (8, 8, 16, 16, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1)),
            (9, 9, 8, 8, (3, 3), (2, 2), (1, 1), (0, 0, 1, 1)),
            (25, 5, 64, 64, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1)),
            (3, 3, 33, 33, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1)),
            (12, 1, 40, 40, (3, 1), (1, 1), (1, 1), (0, 0, 0, 0)),
            (24, 1, 16, 16, (15, 1), (1, 1), (1, 1), (0, 0, 0, 0)),
            (7, 9, 5, 10, (5, 3), (1, 2), (1, 2), (2, 2, 2, 2)),
            (6, 6, 1, 8, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1)),
            (1, 1, 7, 7, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1)),
            (48, 48, 8, 8, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1)),
        ]
        for i, shape in enumerate(shapes):
            yield windowed_case(self, f"depthwise_{i}", *shape, seed=100 + i)
        yield windowed_case(self, "depthwise_shift", 6, 6, 4, 4, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1), seed=190, ratio=0.9)
        yield windowed_case(self, "depthwise_relu", 6, 6, 4, 4, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1), seed=191, clamp=(-100, 90))
        yield windowed_case(self, "depthwise_extreme", 5, 5, 16, 16, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1), seed=192, extreme=True)
        narrow = [
            (8, 8, 16, 16, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1)),
            (9, 9, 8, 8, (3, 3), (2, 2), (1, 1), (0, 0, 1, 1)),
            (3, 3, 33, 33, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1)),
            (24, 1, 17, 17, (15, 1), (1, 1), (1, 1), (0, 0, 0, 0)),
            (7, 9, 5, 10, (5, 3), (1, 2), (1, 2), (2, 2, 2, 2)),
            (6, 6, 1, 1, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1)),
            (24, 24, 6, 6, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1)),
        ]
        for i, shape in enumerate(narrow):
            yield windowed_case(self, f"depthwise_int4_{i}", *shape, seed=160 + i, bits=4)
        yield windowed_case(self, "depthwise_int4_shift", 6, 6, 5, 5, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1), seed=194, ratio=0.9, clamp=(-90, 99), bits=4)
        for k, ratio in enumerate((0.5, 1.9, 3.9, 7.9, 9.0)):  # layer shifts 1 to 5
            yield windowed_case(self, f"depthwise_int4_shift_{k + 1}", 5, 7, 6, 6, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1), seed=196 + k, ratio=ratio, bits=4)
        yield windowed_case(self, "depthwise_int4_extreme", 5, 5, 16, 16, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1), seed=195, extreme=True, bits=4)


def random_weights(rng: np.random.Generator, shape: tuple[int, ...], bits: int, extreme: bool = False) -> np.ndarray:
    """Weights for `cases`: 8 bits in [−127, 127], 4 bits in [−8, 7]; extreme: only the ends of the range."""
    low, high = (-127, 127) if bits == 8 else (weights.INT4_MIN, weights.INT4_MAX)
    return np.where(rng.random(shape) < 0.5, low, high) if extreme else rng.integers(low, high + 1, shape)


def windowed_case(
    operator: _Windowed, name: str, in_h: int, in_w: int, in_c: int, out_c: int, kernel, stride, dilation, pads, groups: int | None = None,
    *, seed: int, ratio: float = 0.0, clamp: tuple[int, int] = (-128, 127), extreme: bool = False, bits: int = 8,
) -> Program:  # fmt: skip
    """A program of one (depthwise) convolution with random weights and zero_point ≠ 0.

    ratio: largest real factor of a channel (0: chosen so that outputs use the int8 range); extreme: all weights at the ends of their range;
    bits: of weights.
    """
    rng = np.random.default_rng(seed)
    out_h = (in_h + pads[0] + pads[2] - (kernel[0] - 1) * dilation[0] - 1) // stride[0] + 1
    out_w = (in_w + pads[1] + pads[3] - (kernel[1] - 1) * dilation[1] - 1) // stride[1] + 1
    attrs = dict(zip(GEOMETRY, (in_h, in_w, in_c, out_h, out_w, out_c, *kernel, *stride, *dilation, pads[0], pads[1]), strict=True))
    if groups is not None:
        attrs["groups"] = groups
    zero_x, zero_y = (int(z) for z in rng.integers(-100, 100, 2))
    shape = operator.weight_shape(attrs)
    w = random_weights(rng, shape, bits, extreme)
    channels = np.moveaxis(w, 2, 0) if operator.opcode == "depthwise_conv2d" else w
    taps = channels[0].size
    bias = rng.integers(-2000, 2000, out_c) - zero_x * channels.reshape(out_c, -1).sum(axis=1)
    largest = ratio or 100.0 / (taps**0.5 * 73 * (73 if bits == 8 else 4.6))
    scales = rng.uniform(0.3, 1.0, out_c) * largest
    shift = numerics.layer_shift(scales)
    attrs.update(in_zero_point=zero_x, out_zero_point=zero_y, clamp_min=clamp[0], clamp_max=clamp[1], shift=shift, weight_bits=bits)
    x = Tensor(f"{name}.x", (1, in_h, in_w, in_c), zero_point=zero_x)
    y = Tensor(f"{name}.y", (1, out_h, out_w, out_c), zero_point=zero_y)
    return single(operator, name, attrs, [x], y, [w, bias, numerics.multipliers(scales, shift)])
