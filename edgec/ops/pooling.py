"""average_pool2d and max_pool2d."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from edgec import numerics
from edgec.ir.core import Op, Program, Tensor
from edgec.ops.base import Operator, single
from edgec.ops.conv import channels_last, check_epilogue, epilogue, window_attributes, window_reach
from edgec.ops.movement import StridedCopy

WINDOW = ("in_h", "in_w", "channels", "out_h", "out_w", "kernel_h", "kernel_w", "stride_h", "stride_w", "pad_top", "pad_left")
DILATED_WINDOW = (*WINDOW, "dilation_h", "dilation_w")


def taps_inside(out: int, kernel: int, stride: int, pad: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """First and one-past-last input index of each window, clipped to the input."""
    first = np.arange(out) * stride - pad
    return np.maximum(first, 0), np.minimum(first + kernel, size)


def counts_inside(a: Mapping[str, int]) -> list[np.ndarray]:
    """Taps inside the input of each window, along rows and along columns."""
    sides = (("h", "pad_top"), ("w", "pad_left"))
    return [np.subtract(*taps_inside(a[f"out_{k}"], a[f"kernel_{k}"], a[f"stride_{k}"], a[pad], a[f"in_{k}"])[::-1]) for k, pad in sides]


def taps(x: np.ndarray, a: Mapping[str, int], outside: int) -> Iterator[np.ndarray]:
    """For each tap of the window, what it meets at every output position: [out_h, out_w, channels]; `outside` in the padding."""
    rows, cols = ((a[f"out_{k}"] - 1) * a[f"stride_{k}"] + 1 for k in "hw")
    bottom = max(0, rows + a["kernel_h"] - 1 - a["pad_top"] - a["in_h"])
    right = max(0, cols + a["kernel_w"] - 1 - a["pad_left"] - a["in_w"])
    x = np.pad(x, ((a["pad_top"], bottom), (a["pad_left"], right), (0, 0)), constant_values=outside)
    for i, j in np.ndindex(a["kernel_h"], a["kernel_w"]):
        yield x[i : i + rows : a["stride_h"], j : j + cols : a["stride_w"]]


def check_pool_window(a: Mapping[str, int], inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> str | None:
    """What is wrong with the sizes or the padding of a pooling, or None."""
    if min(a[k] for k in WINDOW if not k.startswith("pad")) < 1 or min(a["pad_top"], a["pad_left"]) < 0:
        return "sizes and strides must be positive and padding not negative"
    if inputs[0].size != a["in_h"] * a["in_w"] * a["channels"] or outputs[0].size != a["out_h"] * a["out_w"] * a["channels"]:
        return "input or output size does not follow from the attributes"
    for pad, kernel, out, stride, size in (("pad_top", "kernel_h", "out_h", "stride_h", "in_h"), ("pad_left", "kernel_w", "out_w", "stride_w", "in_w")):
        if a[pad] >= a[kernel] or (a[out] - 1) * a[stride] - a[pad] >= a[size]:
            return "a window lies wholly in the padding"
    return None


def window_sums(x: np.ndarray, a: Mapping[str, int]) -> np.ndarray:
    """int64 sums of x [in_h, in_w, channels] over the taps of each window that lie inside: [out_h, out_w, channels]."""
    acc = np.zeros((a["out_h"], a["out_w"], a["channels"]), np.int64)
    if a["out_h"] * a["out_w"] >= a["kernel_h"] * a["kernel_w"]:
        for tap in taps(x, a, 0):
            acc += tap
        return acc
    top, bottom = taps_inside(a["out_h"], a["kernel_h"], a["stride_h"], a["pad_top"], a["in_h"])
    left, right = taps_inside(a["out_w"], a["kernel_w"], a["stride_w"], a["pad_left"], a["in_w"])
    for i, j in np.ndindex(a["out_h"], a["out_w"]):
        acc[i, j] = x[top[i] : bottom[i], left[j] : right[j]].sum(axis=(0, 1))
    return acc


def window_counts(a: Mapping[str, int]) -> np.ndarray:
    """Taps inside the input of each window: [out_h, out_w, 1]."""
    return np.outer(*counts_inside(a))[:, :, None]


class _Pool(Operator):
    def check(self, op, inputs, outputs, constants) -> str | None:
        return check_pool_window(op.attrs, inputs, outputs)

    def distance(self, op: Op, kernel: str) -> int | None:
        if not kernel.endswith(("__ref", "__mve", "__dsp")):
            return None
        a = op.attrs
        reach = window_reach(dict(a) | {"in_c": a["channels"]})
        return int((np.arange(reach.size) * a["channels"] - reach).max())


def lower_window(ctx, node, fields=WINDOW):
    """Arranged input view, result, output tensor and window attributes (`fields`) of a pooling node."""
    view = ctx.activation(node, 0)
    spatial = len(view.shape) - 2
    if spatial not in (1, 2) or is_dilated(node) and fields is WINDOW or any(o.uses() or o.is_graph_output() for o in node.outputs[1:]):
        why = "edgec compiles 1-D and 2-D pooling, and no indices"
        raise ctx.refuse(node, "a pooling of this kind is not supported", why, "change these attributes in the model")
    x = ctx.arrange(view, channels_last(spatial), node)
    result = ctx.result(node)
    y = ctx.output(result, channels_last(spatial))
    kernel = view.shape[2:] if node.op_type.startswith("Global") else node.attributes.get_ints("kernel_shape", [])
    attrs = window_attributes(ctx, node, view.shape, result.shape, kernel)
    attrs["channels"] = view.shape[1]
    return x, result, y, {name: attrs[name] for name in fields}


def pad_first(ctx, node, x, a: dict[str, int]):
    """The input with the node's padding around it as bytes of real 0, and the window attributes on that: a view."""
    pads = node.attributes.get_ints("pads", []) if node.attributes.get_string("auto_pad", "NOTSET") in ("NOTSET", "") else []
    if pads:
        after = list(pads[len(pads) // 2 :]) if len(pads) == 4 else [0, pads[1]]
    else:  # SAME: windows end with the padding
        reach = ((a[f"out_{k}"] - 1) * a[f"stride_{k}"] + a[f"kernel_{k}"] - a[pad] - a[f"in_{k}"] for k, pad in (("h", "pad_top"), ("w", "pad_left")))
        after = [max(0, r) for r in reach]
    sizes, before, c = (a["in_h"], a["in_w"]), (a["pad_top"], a["pad_left"]), a["channels"]
    values = (1, *sizes, c, 0, *before, 0, 0, *after, 0)
    attrs = dict(zip((f"{k}_{i}" for k in ("size", "before", "after") for i in range(4)), values, strict=True))
    h, w = (s + b + e for s, b, e in zip(sizes, before, after, strict=True))
    wide = ctx.tensor(f"{x.tensor.name}.padded", (1, h, w, c), x.tensor.scale, x.tensor.zero_point)
    ctx.emit("pad", f"{node.name}.padded", [x.tensor], wide, attrs | {"mode": 0, "value": x.tensor.zero_point})
    return replace(x, tensor=wide), a | {"in_h": h, "in_w": w, "pad_top": 0, "pad_left": 0}


def is_dilated(node) -> bool:
    return any(d != 1 for d in node.attributes.get_ints("dilations", []))


def lower_dilated(ctx, node) -> None:
    """MaxPool with dilation d: at stride 1, positions that differ by a multiple of d meet only each other, so that rows, then
    columns, are pooled as d interleaved maps; every stride-th position is then taken."""
    view = ctx.activation(node, 0)
    spatial = len(view.shape) - 2
    if spatial not in (1, 2) or any(o.uses() or o.is_graph_output() for o in node.outputs[1:]):
        raise ctx.refuse(node, "a pooling of this kind is not supported", "edgec compiles 1-D and 2-D pooling, and no indices", "change these attributes in the model")
    x = ctx.arrange(view, channels_last(spatial), node)
    result = ctx.result(node)
    kernel = node.attributes.get_ints("kernel_shape", [])
    g = window_attributes(ctx, node, view.shape, result.shape, kernel)
    x = x if (x.tensor.scale, x.tensor.zero_point) == (result.scale, result.zero_point) else ctx.rescale(x, result.scale, result.zero_point, node)
    sizes, padded, after = [g["in_h"], g["in_w"]], [], []
    for i, a in enumerate("hw"):
        d, begin = g[f"dilation_{a}"], g["pad_top" if a == "h" else "pad_left"]
        need = max(begin + sizes[i], (g[f"out_{a}"] - 1) * g[f"stride_{a}"] + (g[f"kernel_{a}"] - 1) * d + 1)
        padded.append(-(-need // d) * d)
        after.append(padded[i] - begin - sizes[i])
    c = view.shape[1]

    def step(opcode: str, part: str, tensor: Tensor, shape: tuple[int, ...], attrs: dict[str, int]) -> Tensor:
        made = ctx.tensor(f"{result.name}.{part}", shape, result.scale, result.zero_point)
        ctx.emit(opcode, f"{node.name}.{part}", [tensor], made, attrs)
        return made

    attrs = dict(zip((f"{k}_{i}" for k in ("size", "before", "after") for i in range(4)), (1, *sizes, c, 0, g["pad_top"], g["pad_left"], 0, 0, *after, 0), strict=True))
    t = step("pad", "padded", x.tensor, (1, *padded, c), attrs | {"mode": 0, "value": -128})
    clamp = {"clamp_min": -128, "clamp_max": 127}
    (dh, dw), (kh, kw) = (g["dilation_h"], g["dilation_w"]), (g["kernel_h"], g["kernel_w"])
    height, width = padded[0] - (kh - 1) * dh, padded[1] - (kw - 1) * dw
    values = (padded[0] // dh, dh * padded[1], c, height // dh, dh * padded[1], kh, 1, 1, 1, 0, 0)
    t = step("max_pool2d", "rows", t, (1, height, padded[1], c), dict(zip(WINDOW, values, strict=True)) | clamp)
    values = (height, padded[1] // dw, dw * c, height, width // dw, 1, kw, 1, 1, 0, 0)
    clamp = {"clamp_min": result.clamp_min, "clamp_max": result.clamp_max}
    t = step("max_pool2d", "columns", t, (1, height, width, c), dict(zip(WINDOW, values, strict=True)) | clamp)
    y = ctx.output(result, channels_last(spatial))
    strides = [g["stride_h"] * width * c, g["stride_w"] * c, 1]
    ctx.emit("strided_copy", node.name, [t], y, StridedCopy.attrs_for([g["out_h"], g["out_w"], c], strides, 0))


def lower_reduction(ctx, node):
    """Arranged view, result, output tensor and WINDOW attributes of a reduction, as a pooling over one column.

    The reduced axes are brought together: outer × reduced × inner bytes, pooled down the middle.
    """
    view = ctx.straight(node, 0)
    rank = len(view.shape)
    axes = ctx.constant(node.inputs[1]) if len(node.inputs) > 1 and node.inputs[1] is not None else node.attributes.get_ints("axes", None)
    if axes is None and len(node.inputs) > 1 and node.inputs[1] is not None:
        raise ctx.refuse(node, f"{node.op_type} with computed axes is not supported", "axes must be constant", "use constant axes")
    if axes is None or np.size(axes) == 0:
        axes = [] if node.attributes.get_int("noop_with_empty_axes", 0) else range(rank)
    reduced = sorted({int(a) % rank for a in np.asarray(axes).reshape(-1)})
    kept = [a for a in range(rank) if a not in reduced]
    real = [a for a in view.order if view.shape[a] != 1]
    places = [i for i, a in enumerate(real) if a in reduced]
    together = not places or places == list(range(places[0], places[-1] + 1))
    x = view if together else ctx.arrange(view, [*kept, *reduced], node)
    order = [a for a in x.order if x.shape[a] != 1]
    first = next((i for i, a in enumerate(order) if a in reduced), len(order))
    outer = int(np.prod([x.shape[a] for a in order[:first]], dtype=np.int64))
    count = int(np.prod([x.shape[a] for a in reduced], dtype=np.int64))
    inner = x.tensor.size // (outer * count)
    result = ctx.result(node)
    keep = node.attributes.get_int("keepdims", 1) == 1
    number = {a: i for i, a in enumerate(range(rank) if keep else kept)}
    out_order = [number[a] for a in x.order if a in number]
    y = ctx.output(result, out_order)
    attrs = {"in_h": outer * count, "in_w": 1, "channels": inner, "out_h": outer, "out_w": 1, "kernel_h": count, "kernel_w": 1}
    return x, result, y, attrs | {"stride_h": count, "stride_w": 1, "pad_top": 0, "pad_left": 0}


class AveragePool2d(_Pool):
    """acc = Σq − n·z, requantized by s_x/(s_y·n): one multiplier for each count of taps n that occurs.

    `multiplier[n − 1]` belongs to n taps when there is padding that does not count; otherwise one multiplier for all.
    """

    opcode, code = "average_pool2d", 6
    onnx = ("AveragePool", "GlobalAveragePool", "ReduceMean", "ReduceSum")
    fields = (*WINDOW, "in_zero_point", "out_zero_point", "clamp_min", "clamp_max", "shift", "multipliers")
    roles = ("multiplier",)
    role_dtypes = ("int32",)

    def check(self, op, inputs, outputs, constants) -> str | None:
        a = op.attrs
        if a["multipliers"] not in (1, a["kernel_h"] * a["kernel_w"]) or constants[0].data.shape != (a["multipliers"],):
            return "one multiplier, or one for each count of taps"
        if a["kernel_h"] * a["kernel_w"] > 2**22:
            return "a window of more than 2^22 taps"
        return super().check(op, inputs, outputs, constants) or check_epilogue(a)

    def applies(self, op: Op, kernel: str) -> bool:
        if kernel.endswith("__dsp"):
            return op.attrs["kernel_h"] * op.attrs["kernel_w"] <= 256
        return super().applies(op, kernel) or (kernel.endswith("__mve") and op.attrs["kernel_h"] * op.attrs["kernel_w"] <= 255)

    def golden(self, op, inputs, constants):
        a: Mapping[str, int] = op.attrs
        x = np.asarray(inputs[0]).reshape(a["in_h"], a["in_w"], a["channels"]).astype(np.int64) - a["in_zero_point"]
        acc, count = window_sums(x, a), window_counts(a)
        multiplier = constants[0][count - 1] if a["multipliers"] > 1 else constants[0][0]
        return [numerics.requantize(acc, multiplier, a["out_zero_point"], a["clamp_min"], a["clamp_max"], a["shift"])]

    def lower(self, ctx, node) -> None:
        from edgec.ops import wide  # which is built on this file

        if node.op_type.startswith("Reduce"):
            x, result, y, attrs = lower_reduction(ctx, node)
            count = attrs["kernel_h"] if node.op_type == "ReduceMean" else 1
            factor = np.array([x.tensor.scale / (y.scale * count)])
            shift = numerics.layer_shift(factor)
            attrs.update(epilogue(x, y, result), shift=shift, multipliers=1)
            if wide.emit_average(ctx, node, x.tensor, y, attrs, factor):
                return
            ctx.emit("average_pool2d", node.name, [x.tensor], y, attrs, [numerics.multipliers(factor, shift)])
            return
        if is_dilated(node):
            from edgec.ops.table_pool import lower_dilated_average  # which is built on this file

            lower_dilated_average(ctx, node)
            return
        x, result, y, attrs = lower_window(ctx, node)
        taps = attrs["kernel_h"] * attrs["kernel_w"]
        inside = counts_inside(attrs)
        full = bool(np.all(inside[0] == attrs["kernel_h"]) and np.all(inside[1] == attrs["kernel_w"]))
        one = full or bool(node.attributes.get_int("count_include_pad", 0))
        if one and not full and node.attributes.get_int("ceil_mode", 0):  # what lies beyond the padding does not count: pad first
            x, attrs = pad_first(ctx, node, x, attrs)
            inside, one = counts_inside(attrs), False
        counts = np.array([taps]) if one else np.arange(1, taps + 1)
        factors = x.tensor.scale / (y.scale * counts)
        shift = numerics.layer_shift(factors[np.isin(counts, np.outer(inside[0], inside[1]))] if not one else factors)
        factors = np.minimum(factors, numerics.MULTIPLIER_MAX / 2.0**32 * 2.0**shift)  # counts that do not occur
        attrs.update(epilogue(x, y, result), shift=shift, multipliers=len(counts))
        if wide.emit_average(ctx, node, x.tensor, y, attrs, factors):
            return
        ctx.emit("average_pool2d", node.name, [x.tensor], y, attrs, [numerics.multipliers(factors, shift)])

    def accumulator_bounds(self, op, constants):
        reach = 255 * op.attrs["kernel_h"] * op.attrs["kernel_w"]
        return -reach, reach

    def cases(self) -> Iterator[Program]:
        shapes = [
            (8, 8, 64, (8, 8), (8, 8), (0, 0), 0.9, False),
            (25, 5, 64, (25, 5), (25, 5), (0, 0), 1.0, False),
            (3, 3, 17, (3, 3), (3, 3), (0, 0), 1.3, False),
            (6, 7, 5, (3, 3), (2, 2), (1, 1), 0.8, True),
            (6, 6, 8, (2, 2), (2, 2), (0, 0), 7.0, False),
        ]
        for i, (h, w, c, kernel, stride, pad, ratio, per_count) in enumerate(shapes):
            rng = np.random.default_rng(400 + i)
            zx, zy = (int(z) for z in rng.integers(-100, 100, 2))
            counts = np.arange(1, kernel[0] * kernel[1] + 1) if per_count else np.array([kernel[0] * kernel[1]])
            scales = ratio / counts
            shift = numerics.layer_shift(scales)
            out_h, out_w = (h + 2 * pad[0] - kernel[0]) // stride[0] + 1, (w + 2 * pad[1] - kernel[1]) // stride[1] + 1
            attrs = dict(zip(WINDOW, (h, w, c, out_h, out_w, *kernel, *stride, *pad), strict=True))
            attrs.update(in_zero_point=zx, out_zero_point=zy, clamp_min=-128, clamp_max=127, shift=shift, multipliers=len(counts))
            name = f"average_pool2d_{i}"
            x, y = Tensor(f"{name}.x", (1, h, w, c), zero_point=zx), Tensor(f"{name}.y", (1, out_h, out_w, c), zero_point=zy)
            yield single(self, name, attrs, [x], y, [numerics.multipliers(scales, shift)])


class MaxPool2d(_Pool):
    """Greatest value of each window; padding never wins. Scales are equal, so no requantization."""

    opcode, code = "max_pool2d", 7
    onnx = ("MaxPool", "GlobalMaxPool", "ReduceMax", "ReduceMin")
    fields = (*WINDOW, "clamp_min", "clamp_max")

    def lower(self, ctx, node) -> None:
        if is_dilated(node):
            lower_dilated(ctx, node)
            return
        x, result, y, attrs = lower_reduction(ctx, node) if node.op_type.startswith("Reduce") else lower_window(ctx, node)
        if (x.tensor.scale, x.tensor.zero_point) != (y.scale, y.zero_point):
            x = ctx.rescale(x, y.scale, y.zero_point, node)
        attrs.update(clamp_min=result.clamp_min, clamp_max=result.clamp_max)
        if node.op_type != "ReduceMin":
            ctx.emit("max_pool2d", node.name, [x.tensor], y, attrs)
            return
        # min(q) = ~max(~q), exactly, for every int8
        complement = np.arange(127, -129, -1)
        flipped = ctx.tensor(f"{x.tensor.name}.complement", x.tensor.shape, x.tensor.scale, x.tensor.zero_point)
        ctx.emit("lookup", f"{node.name}.complement", [x.tensor], flipped, {"count": flipped.size}, [complement])
        greatest = ctx.tensor(f"{y.name}.complement", y.shape, y.scale, y.zero_point)
        ctx.emit("max_pool2d", node.name, [flipped], greatest, attrs | {"clamp_min": ~attrs["clamp_max"], "clamp_max": ~attrs["clamp_min"]})
        ctx.emit("lookup", f"{node.name}.back", [greatest], y, {"count": y.size}, [complement])

    def golden(self, op, inputs, constants):
        a = op.attrs
        x = np.asarray(inputs[0]).reshape(a["in_h"], a["in_w"], a["channels"])
        top, bottom = taps_inside(a["out_h"], a["kernel_h"], a["stride_h"], a["pad_top"], a["in_h"])
        left, right = taps_inside(a["out_w"], a["kernel_w"], a["stride_w"], a["pad_left"], a["in_w"])
        y = np.full((a["out_h"], a["out_w"], a["channels"]), -128, np.int8)
        if a["out_h"] * a["out_w"] < a["kernel_h"] * a["kernel_w"]:
            for i, j in np.ndindex(a["out_h"], a["out_w"]):
                y[i, j] = x[top[i] : bottom[i], left[j] : right[j]].max(axis=(0, 1))
        else:
            for tap in taps(x, a, -128):
                np.maximum(y, tap, out=y)
        return [np.clip(y, a["clamp_min"], a["clamp_max"])]

    def check(self, op, inputs, outputs, constants) -> str | None:
        if not -128 <= op.attrs["clamp_min"] <= op.attrs["clamp_max"] <= 127:
            return "clamp bounds must satisfy -128 <= clamp_min <= clamp_max <= 127"
        return super().check(op, inputs, outputs, constants)

    def cases(self) -> Iterator[Program]:
        for i, (h, w, c, kernel, stride, pad) in enumerate([(8, 8, 16, (2, 2), (2, 2), (0, 0)), (7, 5, 3, (3, 3), (2, 2), (1, 1)), (4, 4, 5, (3, 2), (1, 1), (1, 0))]):
            out_h, out_w = (h + 2 * pad[0] - kernel[0]) // stride[0] + 1, (w + 2 * pad[1] - kernel[1]) // stride[1] + 1
            attrs = dict(zip(WINDOW, (h, w, c, out_h, out_w, *kernel, *stride, *pad), strict=True))
            attrs.update(clamp_min=-128 if i % 2 else -20, clamp_max=127)
            name = f"max_pool2d_{i}"
            yield single(self, name, attrs, [Tensor(f"{name}.x", (1, h, w, c), zero_point=5)], Tensor(f"{name}.y", (1, out_h, out_w, c), zero_point=5))
