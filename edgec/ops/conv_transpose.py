"""conv_transpose2d: each output pixel gathers the input pixels whose window reaches it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from edgec import numerics
from edgec.ir.core import Op, Program, Tensor
from edgec.ops.base import Operator, bounds_of_dot, single
from edgec.ops.conv import EPILOGUE, GEOMETRY, channels_last, check_epilogue, epilogue


class ConvTranspose2d(Operator):
    """acc = bias + Σ (x − z_x)·w over taps with (o + pad − k·dilation) = stride·i inside the input.

    Weights [out_c, kernel_h, kernel_w, in_c / groups]; the number of taps differs from pixel to pixel, so z_x is not folded
    into the bias.
    """

    opcode, code = "conv_transpose2d", 20
    fields = (*GEOMETRY, "groups", *EPILOGUE)
    roles = ("weights", "bias", "multiplier")
    role_dtypes = ("int8", "int32", "int32")
    onnx = ("ConvTranspose",)

    def check(self, op, inputs, outputs, constants) -> str | None:
        a = op.attrs
        if min(a[k] for k in GEOMETRY if not k.startswith("pad")) < 1 or min(a["pad_top"], a["pad_left"]) < 0:
            return "sizes, strides and dilations must be positive and padding not negative"
        if a["groups"] < 1 or a["in_c"] % a["groups"] or a["out_c"] % a["groups"]:
            return "groups must divide in_c and out_c"
        if inputs[0].size != a["in_h"] * a["in_w"] * a["in_c"] or outputs[0].size != a["out_h"] * a["out_w"] * a["out_c"]:
            return "input or output size does not follow from the attributes"
        shape = (a["out_c"], a["kernel_h"], a["kernel_w"], a["in_c"] // a["groups"])
        if [c.data.shape for c in constants] != [shape, (a["out_c"],), (a["out_c"],)]:
            return "shape of weights, bias or multiplier does not follow from the attributes"
        return check_epilogue(a)

    def golden(self, op, inputs, constants):
        a = op.attrs
        weights, bias, multiplier = constants
        x = np.asarray(inputs[0]).reshape(a["in_h"], a["in_w"], a["in_c"]).astype(np.int64) - a["in_zero_point"]
        per, out = a["in_c"] // a["groups"], a["out_c"] // a["groups"]
        acc = np.zeros((a["out_h"], a["out_w"], a["out_c"]), np.int64) + bias.astype(np.int64)
        for ky in range(a["kernel_h"]):
            for kx in range(a["kernel_w"]):
                oy = np.arange(a["in_h"]) * a["stride_h"] + ky * a["dilation_h"] - a["pad_top"]
                ox = np.arange(a["in_w"]) * a["stride_w"] + kx * a["dilation_w"] - a["pad_left"]
                iy, ix = np.flatnonzero((oy >= 0) & (oy < a["out_h"])), np.flatnonzero((ox >= 0) & (ox < a["out_w"]))
                for g in range(a["groups"]):
                    w = weights[g * out : (g + 1) * out, ky, kx].astype(np.int64)
                    part = x[np.ix_(iy, ix, np.arange(g * per, (g + 1) * per))] @ w.T
                    acc[np.ix_(oy[iy], ox[ix], np.arange(g * out, (g + 1) * out))] += part
        return [numerics.requantize(acc, multiplier, a["out_zero_point"], a["clamp_min"], a["clamp_max"], a["shift"])]

    def macs(self, op: Op) -> int:
        a = op.attrs
        return a["in_h"] * a["in_w"] * a["in_c"] * a["kernel_h"] * a["kernel_w"] * (a["out_c"] // a["groups"])

    def accumulator_bounds(self, op, constants):
        return bounds_of_dot(constants[0], constants[1], -255, 255)

    def lower(self, ctx, node) -> None:
        view = ctx.activation(node, 0)
        weights = ctx.weights(node, 1)
        groups = node.attributes.get_int("group", 1)
        spatial = len(view.shape) - 2
        if spatial not in (1, 2) or weights.scale.size > 1 and (weights.axis != 1 or groups > 1):
            raise ctx.refuse(node, "a transposed convolution of this kind is not supported", f"{spatial} spatial axes, {groups} groups, weights quantized along axis {weights.axis}", "use 1-D or 2-D ones with weights quantized per output channel")
        if view.shape[0] != 1:
            raise ctx.refuse(node, f"a batch of {view.shape[0]}", "edgec compiles networks for one sample; run() takes batches of any size", "export the model with batch size 1 or an open batch dimension")
        x = ctx.arrange(view, channels_last(spatial), node)
        result = ctx.result(node)
        y = ctx.output(result, channels_last(spatial))
        w = weights.values if spatial == 2 else weights.values[:, :, None, :]
        in_c, per_out = w.shape[:2]
        out_c = per_out * groups
        w = w.reshape(groups, in_c // groups, per_out, *w.shape[2:]).transpose(0, 2, 3, 4, 1).reshape(out_c, *w.shape[2:], in_c // groups)
        given = {name: list(node.attributes.get_ints(name, [])) for name in ("strides", "dilations", "pads")}
        strides, dilations = given["strides"] or [1] * spatial, given["dilations"] or [1] * spatial
        pads = given["pads"][:spatial] or [0] * spatial
        auto = node.attributes.get_string("auto_pad", "NOTSET")
        if auto in ("SAME_UPPER", "SAME_LOWER") or node.attributes.get_ints("output_shape", None):
            extra = node.attributes.get_ints("output_padding", [0] * spatial)
            total = [
                max(0, strides[i] * (view.shape[2 + i] - 1) + extra[i] + (weights.values.shape[2 + i] - 1) * dilations[i] + 1 - result.shape[2 + i])
                for i in range(spatial)
            ]
            pads = [t // 2 if auto == "SAME_UPPER" else t - t // 2 for t in total]
        if min(pads) < 0:
            raise ctx.refuse(node, "negative padding", f"pads are {pads}", "pad with a Pad instead")
        attrs = {"in_c": in_c, "out_c": out_c, "groups": groups, **epilogue(x, y, result)}
        for name, values in (("in", view.shape[2:]), ("out", result.shape[2:]), ("kernel", weights.values.shape[2:]), ("stride", strides), ("dilation", dilations)):
            attrs[f"{name}_h"], attrs[f"{name}_w"] = values if spatial == 2 else (1, values[0])
        attrs["pad_top"], attrs["pad_left"] = pads if spatial == 2 else (0, pads[0])
        scale = np.broadcast_to(x.tensor.scale * weights.scale, (out_c,))
        bias = ctx.folded_bias(node, 2, scale, 0, np.zeros(out_c))
        factors = scale / y.scale
        attrs["shift"] = numerics.layer_shift(factors)
        ctx.emit("conv_transpose2d", node.name, [x.tensor], y, attrs, [w, bias, numerics.multipliers(factors, attrs["shift"])])

    def cases(self) -> Iterator[Program]:
        shapes = [
            (4, 5, 6, 8, (2, 2), (2, 2), (1, 1), (0, 0), 1),
            (4, 3, 5, 4, (3, 3), (2, 1), (1, 1), (1, 1), 1),
            (3, 3, 4, 6, (3, 2), (1, 3), (2, 1), (2, 0), 2),
        ]
        for i, (h, w, c, n, kernel, stride, dilation, pad, groups) in enumerate(shapes):
            rng = np.random.default_rng(800 + i)
            out_h, out_w = ((s - 1) * stride[k] + (kernel[k] - 1) * dilation[k] + 1 - 2 * pad[k] for k, s in enumerate((h, w)))
            attrs = dict(zip(GEOMETRY, (h, w, c, out_h, out_w, n, *kernel, *stride, *dilation, *pad), strict=True)) | {"groups": groups}
            zx, zy = (int(z) for z in rng.integers(-100, 100, 2))
            weights = rng.integers(-127, 128, (n, *kernel, c // groups))
            scales = rng.uniform(0.3, 1.0, n) * 100.0 / (weights[0].size ** 0.5 * 73 * 73)
            attrs.update(in_zero_point=zx, out_zero_point=zy, clamp_min=-128, clamp_max=110, shift=numerics.layer_shift(scales))
            name = f"conv_transpose2d_{i}"
            x, y = Tensor(f"{name}.x", (1, h, w, c), zero_point=zx), Tensor(f"{name}.y", (1, out_h, out_w, n), zero_point=zy)
            yield single(self, name, attrs, [x], y, [weights, rng.integers(-2000, 2000, n), numerics.multipliers(scales, attrs["shift"])])
