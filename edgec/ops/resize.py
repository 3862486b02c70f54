"""resize: nearest and bilinear over height and width, from per-axis tables made at compile time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from edgec.ir.core import Program, Tensor
from edgec.ops.base import Operator, single
from edgec.ops.conv import channels_last

BITS = 11
"""Fraction bits of an interpolation weight along one axis; both axes together stay below 2^31 with int8 values."""


class Resize(Operator):
    """y = (Σ w_row·w_col·q + 2^21) >> 22 over two rows and two columns; weights of an axis sum to 2^11.

    `rows` and `cols` hold, for each output index, (first input index, second input index, weight of the second).
    Nearest is the same with weight 0.
    """

    opcode, code = "resize", 19
    fields = ("in_h", "in_w", "channels", "out_h", "out_w")
    roles = ("rows", "cols")
    role_dtypes = ("int32", "int32")
    onnx = ("Resize", "Upsample")

    def check(self, op, inputs, outputs, constants) -> str | None:
        a = op.attrs
        if min(a.values()) < 1 or inputs[0].size != a["in_h"] * a["in_w"] * a["channels"] or outputs[0].size != a["out_h"] * a["out_w"] * a["channels"]:
            return "sizes do not follow from the attributes"
        for table, out, size in ((constants[0].data, a["out_h"], a["in_h"]), (constants[1].data, a["out_w"], a["in_w"])):
            if table.shape != (out, 3) or table[:, :2].min() < 0 or table[:, :2].max() >= size or table[:, 2].min() < 0 or table[:, 2].max() > 2**BITS:
                return "an index lies outside the input or a weight outside 0..2^11"
        return None

    def golden(self, op, inputs, constants):
        a = op.attrs
        x = np.asarray(inputs[0]).reshape(a["in_h"], a["in_w"], a["channels"]).astype(np.int64)
        rows, cols = constants
        v, h = rows[:, 2, None, None].astype(np.int64), cols[None, :, 2, None].astype(np.int64)
        top, bottom = x[rows[:, 0]], x[rows[:, 1]]
        left = top[:, cols[:, 0]] * (2**BITS - h) + top[:, cols[:, 1]] * h
        right = bottom[:, cols[:, 0]] * (2**BITS - h) + bottom[:, cols[:, 1]] * h
        return [((left * (2**BITS - v) + right * v + 2 ** (2 * BITS - 1)) >> (2 * BITS)).astype(np.int8)]

    def accumulator_bounds(self, op, constants):
        return -128 * 2 ** (2 * BITS), 128 * 2 ** (2 * BITS)

    def lower(self, ctx, node) -> None:
        view = ctx.activation(node, 0)
        mode = node.attributes.get_string("mode", "nearest")
        spatial = len(view.shape) - 2
        if spatial not in (1, 2) or mode not in ("nearest", "linear") or node.attributes.get_int("antialias", 0):
            raise ctx.refuse(node, "this Resize is not supported", f"mode {mode} on {len(view.shape)} axes; edgec compiles nearest and linear on [N, C, L] and [N, C, H, W]", "export with mode nearest or linear")
        out = tuple(int(d) for d in node.outputs[0].shape)
        if out[:2] != view.shape[:2] or out[0] != 1:
            raise ctx.refuse(node, "Resize of batch or channels, or of several samples", f"{view.shape} to {out}", "resize height and width of one sample only")
        x = ctx.arrange(view, channels_last(spatial), node)
        y = ctx.output_moved(node, x, out, channels_last(spatial))
        given = node.inputs[1] if node.op_type == "Upsample" else node.inputs[2] if len(node.inputs) > 2 else None
        scales = None if given is None else ctx.constant(given)
        axes = [a % len(out) for a in node.attributes.get_ints("axes", range(len(out)))]
        transform = "asymmetric" if node.op_type == "Upsample" else node.attributes.get_string("coordinate_transformation_mode", "half_pixel")
        rounding = "floor" if node.op_type == "Upsample" else node.attributes.get_string("nearest_mode", "round_prefer_floor")
        tables = [np.zeros((1, 3), np.int32)] * (2 - spatial)
        for axis in range(2, spatial + 2):
            stated = axis in axes and scales is not None and np.size(scales) == len(axes)
            scale = float(np.asarray(scales).reshape(-1)[axes.index(axis)]) if stated else out[axis] / view.shape[axis]
            if transform == "align_corners" and abs(scale * view.shape[axis] - out[axis]) > 1e-3:
                why = f"{view.shape[axis]} · {scale:g} is no whole number, and ONNX and ONNX Runtime then align different corners"
                raise ctx.refuse(node, "this Resize is not supported", why, "export it with sizes instead of scales")
            try:
                tables.append(axis_table(view.shape[axis], out[axis], scale, transform, rounding if mode == "nearest" else None))
            except KeyError as error:
                why = "coordinates are half_pixel, half_pixel_symmetric, pytorch_half_pixel, asymmetric or align_corners; rounding is ONNX's four"
                raise ctx.refuse(node, f"Resize with {error} is not supported", why, "export with one of these") from None
        in_h, in_w, out_h, out_w = (*view.shape[2:], *out[2:]) if spatial == 2 else (1, view.shape[2], 1, out[2])
        attrs = {"in_h": in_h, "in_w": in_w, "channels": view.shape[1], "out_h": out_h, "out_w": out_w}
        ctx.emit("resize", node.name, [x.tensor], y, attrs, tables)

    def cases(self) -> Iterator[Program]:
        for i, (h, w, c, oh, ow, rounding) in enumerate([(4, 5, 3, 8, 10, "floor"), (4, 5, 3, 9, 7, None), (7, 6, 2, 3, 4, None), (1, 1, 4, 3, 3, None)]):
            name = f"resize_{i}"
            tables = [axis_table(h, oh, oh / h, "half_pixel", rounding), axis_table(w, ow, ow / w, "half_pixel", rounding)]
            attrs = {"in_h": h, "in_w": w, "channels": c, "out_h": oh, "out_w": ow}
            yield single(self, name, attrs, [Tensor(f"{name}.x", (1, h, w, c))], Tensor(f"{name}.y", (1, oh, ow, c)), tables)


def axis_table(size: int, out: int, scale: float, transform: str, nearest: str | None) -> np.ndarray:
    """int32 [out, 3]: `axis_neighbours` with the weight in units of 2^-11."""
    first, second, weight = axis_neighbours(size, out, scale, transform, nearest)
    return np.stack([first, second, np.rint(weight * 2**BITS)], axis=1).astype(np.int32)


def axis_neighbours(size: int, out: int, scale: float, transform: str, nearest: str | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two input indices and the weight of the second for each output index, float64 [out], by ONNX's coordinate rules. KeyError for a
    rule that is not one of these; nearest: ONNX's nearest_mode, or None for linear."""
    i = np.arange(out, dtype=np.float64)
    at = {
        "half_pixel": (i + 0.5) / scale - 0.5,
        "half_pixel_symmetric": size / 2 * (1 - out / (scale * size)) + (i + 0.5) / scale - 0.5,
        "pytorch_half_pixel": (i + 0.5) / scale - 0.5 if out > 1 else np.zeros(1),
        "asymmetric": i / scale,
        "align_corners": i * (size - 1) / (out - 1) if out > 1 else np.zeros(1),
    }[transform]
    if nearest is not None:
        index = {
            "round_prefer_floor": np.ceil(at - 0.5),
            "round_prefer_ceil": np.floor(at + 0.5),
            "floor": np.floor(at),
            "ceil": np.ceil(at),
        }[nearest]
        index = np.clip(index, 0, size - 1)
        return index, index, np.zeros(out)
    at = np.clip(at, 0, size - 1)
    first = np.floor(at)
    return first, np.minimum(first + 1, size - 1), at - first
