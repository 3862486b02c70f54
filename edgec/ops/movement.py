"""Operators that move bytes and change no number: strided_copy, concat, pad, gather, constant."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from edgec.ir.core import Program, Tensor
from edgec.ops.base import Operator, single

AXES = 6


def contiguous_strides(shape: Sequence[int]) -> list[int]:
    """Elements between neighbours along each axis of a dense array."""
    return [int(np.prod(shape[i + 1 :], dtype=np.int64)) for i in range(len(shape))]


def merge_axes(sizes: Sequence[int], strides: Sequence[int]) -> tuple[list[int], list[int]]:
    """The same walk with as few axes as it needs: size-1 axes dropped, neighbours that step as one joined."""
    merged: list[tuple[int, int]] = []
    for size, stride in zip(sizes, strides, strict=True):
        if size == 1:
            continue
        if merged and merged[-1][1] == size * stride:
            merged[-1] = (merged[-1][0] * size, stride)
        else:
            merged.append((size, stride))
    return [s for s, _ in merged] or [1], [s for _, s in merged] or [0]


class StridedCopy(Operator):
    """Output element (i0 … i5) is the input's at offset + Σ i·stride; strides may be 0 (expand) or negative (reverse)."""

    opcode, code = "strided_copy", 11
    fields = (*(f"size_{i}" for i in range(AXES)), *(f"stride_{i}" for i in range(AXES)), "offset")
    onnx = ("Slice", "Split", "Expand", "DepthToSpace", "SpaceToDepth")

    @staticmethod
    def attrs_for(sizes: Sequence[int], strides: Sequence[int], offset: int) -> dict[str, int]:
        """Attributes of a walk of at most six axes that do not merge; ValueError beyond."""
        sizes, strides = merge_axes(sizes, strides)
        if len(sizes) > AXES:
            raise ValueError(f"a walk of {len(sizes)} axes; at most {AXES} are defined")
        lead = AXES - len(sizes)
        return {
            **{f"size_{i}": s for i, s in enumerate([1] * lead + sizes)},
            **{f"stride_{i}": s for i, s in enumerate([0] * lead + strides)},
            "offset": offset,
        }

    def check(self, op, inputs, outputs, constants) -> str | None:
        a = op.attrs
        sizes, strides = [a[f"size_{i}"] for i in range(AXES)], [a[f"stride_{i}"] for i in range(AXES)]
        if min(sizes) < 1 or outputs[0].size != np.prod(sizes):
            return "output size does not follow from the attributes"
        spans = [(n - 1) * s for n, s in zip(sizes, strides, strict=True)]
        if a["offset"] + sum(min(s, 0) for s in spans) < 0 or a["offset"] + sum(max(s, 0) for s in spans) >= inputs[0].size:
            return "the strides reach beyond the input"
        return None

    def golden(self, op, inputs, constants):
        index = np.full((), op.attrs["offset"], np.int64)
        for i in range(AXES):
            index = index[..., None] + np.arange(op.attrs[f"size_{i}"]) * op.attrs[f"stride_{i}"]
        return [np.asarray(inputs[0]).reshape(-1)[index]]

    def lower(self, ctx, node) -> None:
        if node.op_type in ("DepthToSpace", "SpaceToDepth"):
            _lower_blocks(ctx, node)
        elif node.op_type == "Expand":
            view = ctx.straight(node, 0)
            shape = tuple(int(d) for d in node.outputs[0].shape)
            ctx.views[node.outputs[0]] = expand(ctx, node, view, shape)
        elif node.op_type == "Split":
            _lower_split(ctx, node)
        else:
            _lower_slice(ctx, node)

    def cases(self) -> Iterator[Program]:
        walks = [
            ((5, 7), (2, 3), (7, 2), 8),
            ((4, 6), (4, 3), (6, -2), 5),
            ((3, 1), (3, 4), (1, 0), 0),
            ((2, 4, 6, 4), (1, 4, 2, 6, 2, 2), (0, 24, 2, 4, 96, 1), 0),
        ]
        for i, (shape, sizes, strides, offset) in enumerate(walks):
            name = f"strided_copy_{i}"
            x, y = Tensor(f"{name}.x", shape), Tensor(f"{name}.y", sizes)
            yield single(self, name, self.attrs_for(sizes, strides, offset), [x], y)


def copy_view(ctx, node, view, shape: Sequence[int], strides: Sequence[int], offset: int, *, order: Sequence[int] | None = None):
    """Emit a strided copy of a view's bytes into a new tensor of ONNX shape `shape`, physical axes in `order` (ONNX order
    unless given); sizes and strides run over the physical axes. Returns the new view."""
    order = tuple(range(len(shape))) if order is None else tuple(order)
    sizes = [shape[a] for a in order]
    y = ctx.tensor(node.outputs[0].name or node.name, tuple(sizes), view.tensor.scale, view.tensor.zero_point)
    try:
        attrs = StridedCopy.attrs_for(sizes, strides, offset)
    except ValueError as error:
        raise ctx.refuse(node, f"this {node.op_type} is too scattered", str(error), "split it into two steps") from None
    ctx.emit("strided_copy", node.name, [view.tensor], y, attrs)
    return replace(view, tensor=y, shape=tuple(shape), order=order, flattened=None)


def expand(ctx, node, view, shape: tuple[int, ...]):
    """A view broadcast to `shape` (NumPy rules); the same view where nothing changes but leading axes of 1."""
    lead = len(shape) - len(view.shape)
    padded = (1,) * lead + tuple(view.shape)
    order = (*range(lead), *(a + lead for a in view.order))
    if padded == shape:
        return replace(view, shape=shape, order=order)
    physical = [padded[a] for a in order]
    strides = [s if padded[a] != 1 else 0 for a, s in zip(order, contiguous_strides(physical), strict=True)]
    return copy_view(ctx, node, view, shape, strides, 0, order=order)


def _lower_slice(ctx, node) -> None:
    view = ctx.activation(node, 0)
    if view.flattened is not None:
        view = ctx.arrange(view, range(len(view.shape)), node)
    rank = len(view.shape)
    given = [None if i >= len(node.inputs) or node.inputs[i] is None else ctx.constant(node.inputs[i]) for i in range(1, 5)]
    if given[0] is None or given[1] is None:
        raise ctx.refuse(node, "Slice with computed bounds is not supported", "starts and ends must be constant", "use constant bounds")
    starts, ends = (np.asarray(g).reshape(-1).tolist() for g in given[:2])
    axes = np.asarray(given[2]).reshape(-1).tolist() if given[2] is not None else list(range(len(starts)))
    steps = np.asarray(given[3]).reshape(-1).tolist() if given[3] is not None else [1] * len(starts)
    begin, step = [0] * rank, [1] * rank
    for axis, start, end, by in zip(axes, starts, ends, steps, strict=True):
        first, _, _ = slice(int(start), int(end), int(by)).indices(view.shape[int(axis) % rank])
        begin[int(axis) % rank], step[int(axis) % rank] = first, int(by)
    take(ctx, node, view, node.outputs[0], begin, step)


def crop(ctx, node, view, shape: tuple[int, ...], begin: Sequence[int]):
    """The part of view of `shape` that starts at `begin` along each ONNX axis, as a new view in the same order."""
    physical = contiguous_strides([view.shape[a] for a in view.order])
    offset = sum(begin[a] * s for a, s in zip(view.order, physical, strict=True))
    return copy_view(ctx, node, view, shape, physical, offset, order=view.order)


def take(ctx, node, view, output, begin: Sequence[int], step: Sequence[int]) -> None:
    """The part of view that starts at `begin` with `step` along each ONNX axis, as long as output's shape says."""
    shape = tuple(int(d) for d in output.shape)
    physical = contiguous_strides([view.shape[a] for a in view.order])
    offset = sum(begin[a] * s for a, s in zip(view.order, physical, strict=True))
    strides = [s * step[a] for a, s in zip(view.order, physical, strict=True)]
    if 0 in shape:
        raise ctx.refuse(node, "an empty tensor", f"the result has shape {shape}", "remove this operator")
    ctx.views[output] = view if shape == view.shape and set(step) == {1} else copy_view(ctx, node, view, shape, strides, offset, order=view.order)


def _lower_split(ctx, node) -> None:
    view = ctx.activation(node, 0)
    if view.flattened is not None:
        view = ctx.arrange(view, range(len(view.shape)), node)
    axis = node.attributes.get_int("axis", 0) % len(view.shape)
    at = 0
    for output in node.outputs:
        begin = [0] * len(view.shape)
        begin[axis] = at
        take(ctx, node, view, output, begin, [1] * len(view.shape))
        at += int(output.shape[axis])


def _lower_blocks(ctx, node) -> None:
    """DepthToSpace and SpaceToDepth on channels-last bytes."""
    view = ctx.activation(node, 0)
    if len(view.shape) != 4:
        raise ctx.refuse(node, f"{node.op_type} on {len(view.shape)} axes", "it is defined on [N, C, H, W]", "reshape to four axes")
    view = ctx.arrange(view, (0, 2, 3, 1), node)
    b = node.attributes.get_int("blocksize", 1)
    n, c, h, w = view.shape
    out = tuple(int(d) for d in node.outputs[0].shape)
    y = ctx.tensor(node.outputs[0].name or node.name, (out[0], out[2], out[3], out[1]), view.tensor.scale, view.tensor.zero_point)
    if node.op_type == "DepthToSpace":
        inner = c // (b * b)  # y[h·b + i, w·b + j, k] = x[h, w, channel(i, j, k)]
        block = (b * inner, inner, 1) if node.attributes.get_string("mode", "DCR") == "DCR" else (b, 1, b * b)
        sizes, strides = [n, h, b, w, b, inner], [h * w * c, w * c, block[0], c, block[1], block[2]]
    else:
        sizes, strides = [n, h // b, w // b, b, b, c], [h * w * c, b * w * c, b * c, w * c, c, 1]
    ctx.emit("strided_copy", node.name, [view.tensor], y, StridedCopy.attrs_for(sizes, strides, 0))
    ctx.views[node.outputs[0]] = replace(view, tensor=y, shape=out, order=(0, 2, 3, 1))


class Concat(Operator):
    """Two tensors joined along one axis: `outer` times, inner_a bytes of the first, then inner_b of the second."""

    opcode, code = "concat", 12
    arity = 2
    fields = ("outer", "inner_a", "inner_b")
    onnx = ("Concat",)

    def check(self, op, inputs, outputs, constants) -> str | None:
        a = op.attrs
        if min(a.values()) < 1:
            return "sizes must be positive"
        if inputs[0].size != a["outer"] * a["inner_a"] or inputs[1].size != a["outer"] * a["inner_b"]:
            return "input sizes do not follow from the attributes"
        return None if outputs[0].size == inputs[0].size + inputs[1].size else "output size does not follow from the attributes"

    def golden(self, op, inputs, constants):
        parts = [np.asarray(x).reshape(op.attrs["outer"], -1) for x in inputs]
        return [np.concatenate(parts, axis=1)]

    def lower(self, ctx, node) -> None:
        known = [None if ctx.constant(v) is not None else ctx.activation(node, i) for i, v in enumerate(node.inputs)]
        first = next((v for v in known if v is not None), None)
        if first is None:
            raise ctx.refuse(node, "Concat of constants alone", "it has no input that the network computes", "fold it in the model")
        result = ctx.result(node)
        axis = node.attributes.get_int("axis", 0) % len(result.shape)
        views = [ctx.constant_view(node, i, first, like=result) if v is None else v for i, v in enumerate(known)]
        order = next((v.order for v in views if v.flattened is None and v.real_order != tuple(sorted(v.real_order))), tuple(range(len(result.shape))))
        views = [ctx.arrange(v, order, node) for v in views]
        low, high = result.clamp_min, result.clamp_max
        clamps = low > -128 or high < 127
        if clamps or any((v.tensor.scale, v.tensor.zero_point) != (result.scale, result.zero_point) for v in views):
            views = [v if not clamps and (v.tensor.scale, v.tensor.zero_point) == (result.scale, result.zero_point) else ctx.rescale(v, result.scale, result.zero_point, node, (low, high)) for v in views]
        outer = int(np.prod([result.shape[a] for a in order[: order.index(axis)]], dtype=np.int64))
        joined, length = views[0].tensor, views[0].shape[axis]
        for i, view in enumerate(views[1:]):
            length += view.shape[axis]
            shape = tuple(length if a == axis else result.shape[a] for a in order)
            last = i == len(views) - 2
            y = ctx.output(result, order) if last else ctx.tensor(f"{result.name}.{i}", shape, result.scale, result.zero_point)
            attrs = {"outer": outer, "inner_a": joined.size // outer, "inner_b": view.tensor.size // outer}
            ctx.emit("concat", node.name, [joined, view.tensor], y, attrs)
            joined = y
        if len(views) == 1:
            ctx.views[result.value] = replace(views[0])

    def cases(self) -> Iterator[Program]:
        for i, (outer, a, b) in enumerate([(1, 5, 7), (6, 3, 1), (4, 16, 48)]):
            name = f"concat_{i}"
            yield single(self, name, {"outer": outer, "inner_a": a, "inner_b": b}, [Tensor(f"{name}.a", (outer, a)), Tensor(f"{name}.b", (outer, b))], Tensor(f"{name}.y", (outer, a + b)))


PAD_MODES = {"constant": 0, "reflect": 1, "edge": 2, "wrap": 3}


class Pad(Operator):
    """Four axes, `before` bytes-positions in front and `after` behind each; mode 0 constant, 1 reflect, 2 edge, 3 wrap."""

    opcode, code = "pad", 13
    fields = (*(f"size_{i}" for i in range(4)), *(f"before_{i}" for i in range(4)), *(f"after_{i}" for i in range(4)), "mode", "value")

    @staticmethod
    def source_index(size: int, before: int, after: int, mode: int) -> np.ndarray:
        """Input index of each output position along one axis, −1 for the constant."""
        i = np.arange(-before, size + after)
        if mode == 0:
            return np.where((i >= 0) & (i < size), i, -1)
        if mode == 1:
            i = np.abs(i)
            return np.where(i >= size, 2 * size - 2 - i, i)
        return np.clip(i, 0, size - 1) if mode == 2 else i % size

    def check(self, op, inputs, outputs, constants) -> str | None:
        a = op.attrs
        for i in range(4):
            size, before, after = a[f"size_{i}"], a[f"before_{i}"], a[f"after_{i}"]
            if size < 1 or min(before, after) < 0:
                return "sizes must be positive and padding not negative"
            if a["mode"] == 1 and max(before, after) >= size or a["mode"] == 3 and max(before, after) > size:
                return "the padding reaches beyond what the mode can repeat"
        if not 0 <= a["mode"] <= 3 or not -128 <= a["value"] <= 127:
            return "mode must be in 0..3 and value in int8"
        if inputs[0].size != np.prod([a[f"size_{i}"] for i in range(4)]):
            return "input size does not follow from the attributes"
        total = np.prod([a[f"size_{i}"] + a[f"before_{i}"] + a[f"after_{i}"] for i in range(4)])
        return None if outputs[0].size == total else "output size does not follow from the attributes"

    def golden(self, op, inputs, constants):
        a = op.attrs
        x = np.asarray(inputs[0]).reshape([a[f"size_{i}"] for i in range(4)])
        for axis in range(4):
            index = self.source_index(a[f"size_{axis}"], a[f"before_{axis}"], a[f"after_{axis}"], a["mode"])
            shape = [1] * 4
            shape[axis] = -1
            x = np.where((index < 0).reshape(shape), a["value"], np.take(x, index, axis=axis))
        return [x.astype(np.int8)]

    def cases(self) -> Iterator[Program]:
        for i, (shape, before, after) in enumerate([((1, 4, 5, 3), (0, 1, 2, 0), (0, 2, 1, 0)), ((2, 3, 4, 2), (0, 2, 0, 1), (0, 0, 3, 0))]):
            for mode in range(4):
                name = f"pad_{i}_{mode}"
                attrs = {f"size_{k}": s for k, s in enumerate(shape)}
                attrs |= {f"before_{k}": s for k, s in enumerate(before)} | {f"after_{k}": s for k, s in enumerate(after)}
                out = tuple(b + s + e for b, s, e in zip(before, shape, after, strict=True))
                yield single(self, name, attrs | {"mode": mode, "value": -9}, [Tensor(f"{name}.x", shape)], Tensor(f"{name}.y", out))


def lower_pad(ctx, node) -> None:
    """ONNX Pad on at most four axes that are not 1."""
    view = ctx.activation(node, 0)
    if view.flattened is not None:
        view = ctx.arrange(view, range(len(view.shape)), node)
    rank = len(view.shape)
    pads = ctx.constant(node.inputs[1]) if len(node.inputs) > 1 else node.attributes.get_ints("pads", None)
    if pads is None:
        raise ctx.refuse(node, "Pad with computed pads is not supported", "pads must be constant", "use constant pads")
    pads = [int(p) for p in np.asarray(pads).reshape(-1)]
    axes = list(range(rank))
    if len(node.inputs) > 3 and node.inputs[3] is not None:
        axes = [int(a) % rank for a in np.asarray(ctx.constant(node.inputs[3])).reshape(-1)]
    before, after = [0] * rank, [0] * rank
    for i, axis in enumerate(axes):
        before[axis], after[axis] = pads[i], pads[i + len(axes)]
    mode = node.attributes.get_string("mode", "constant")
    value = ctx.constant(node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] is not None else None
    real = 0.0 if value is None else float(np.asarray(value).reshape(-1)[0])
    result = ctx.result(node)
    if (result.scale, result.zero_point) != (view.tensor.scale, view.tensor.zero_point):
        view = ctx.rescale(view, result.scale, result.zero_point, node)
    if min(*before, *after) < 0:  # a crop first; what is cropped away is no neighbour for reflect, edge or wrap either
        begin, end = [max(-b, 0) for b in before], [max(-e, 0) for e in after]
        shape = tuple(n - b - e for n, b, e in zip(view.shape, begin, end, strict=True))
        if min(shape) < 1 or mode != "constant":
            raise ctx.refuse(node, "negative padding of this kind is not supported", f"pads are {pads}, mode {mode}", "crop with a Slice instead")
        view = crop(ctx, node, view, shape, begin)
        before, after = [max(b, 0) for b in before], [max(e, 0) for e in after]
    kept = [a for a in view.order if view.shape[a] != 1 or before[a] or after[a]]
    if len(kept) > 4 or mode not in PAD_MODES:
        raise ctx.refuse(node, "this Pad is not supported", f"{len(kept)} axes, mode {mode}; at most four axes and modes {', '.join(PAD_MODES)}", "reshape so that fewer axes are padded")
    lead = 4 - len(kept)
    attrs = {f"size_{i}": s for i, s in enumerate([1] * lead + [view.shape[a] for a in kept])}
    attrs |= {f"before_{i}": s for i, s in enumerate([0] * lead + [before[a] for a in kept])}
    attrs |= {f"after_{i}": s for i, s in enumerate([0] * lead + [after[a] for a in kept])}
    attrs |= {"mode": PAD_MODES[mode], "value": int(np.clip(np.rint(real / result.scale) + result.zero_point, -128, 127))}
    ctx.emit("pad", node.name, [view.tensor], ctx.output(result, view.order), attrs)


class Gather(Operator):
    """Rows of an axis by constant indices: `outer` times, for each index, `inner` bytes of an axis of `size`."""

    opcode, code = "gather", 14
    fields = ("outer", "size", "count", "inner")
    roles = ("indices",)
    role_dtypes = ("int32",)
    onnx = ("Gather",)

    def check(self, op, inputs, outputs, constants) -> str | None:
        a = op.attrs
        if min(a.values()) < 1 or inputs[0].size != a["outer"] * a["size"] * a["inner"] or outputs[0].size != a["outer"] * a["count"] * a["inner"]:
            return "sizes do not follow from the attributes"
        index = constants[0].data
        return None if index.shape == (a["count"],) and index.min() >= 0 and index.max() < a["size"] else "an index lies outside the axis"

    def golden(self, op, inputs, constants):
        a = op.attrs
        return [np.asarray(inputs[0]).reshape(a["outer"], a["size"], a["inner"])[:, constants[0]]]

    def lower(self, ctx, node) -> None:
        view = ctx.activation(node, 0)
        if view.flattened is not None:
            view = ctx.arrange(view, range(len(view.shape)), node)
        index = ctx.constant(node.inputs[1])
        if index is None:
            raise ctx.refuse(node, "Gather with computed indices is not supported", "indices must be constant", "use constant indices")
        index = np.asarray(index)
        axis = node.attributes.get_int("axis", 0) % len(view.shape)
        flat = index.reshape(-1).astype(np.int64) % view.shape[axis]
        place = view.order.index(axis)
        sizes = [view.shape[a] for a in view.order]
        if index.ndim != 1:
            view = ctx.arrange(view, range(len(view.shape)), node)
            place, sizes = axis, list(view.shape)
        out = tuple(int(d) for d in node.outputs[0].shape)
        order = view.order if index.ndim == 1 else tuple(range(len(out)))
        y = ctx.tensor(node.outputs[0].name or node.name, tuple(out[a] for a in order), view.tensor.scale, view.tensor.zero_point)
        attrs = {"outer": int(np.prod(sizes[:place], dtype=np.int64)), "size": sizes[place], "count": flat.size, "inner": int(np.prod(sizes[place + 1 :], dtype=np.int64))}
        ctx.emit("gather", node.name, [view.tensor], y, attrs, [flat])
        ctx.views[node.outputs[0]] = replace(view, tensor=y, shape=out, order=order)

    def cases(self) -> Iterator[Program]:
        for i, (outer, size, index, inner) in enumerate([(1, 9, [8, 0, 3, 3], 5), (4, 6, [5], 1), (3, 4, [0, 1, 2, 3, 2, 1], 7)]):
            name = f"gather_{i}"
            attrs = {"outer": outer, "size": size, "count": len(index), "inner": inner}
            yield single(self, name, attrs, [Tensor(f"{name}.x", (outer, size, inner))], Tensor(f"{name}.y", (outer, len(index), inner)), [np.array(index)])


class ConstantTensor(Operator):
    """A constant brought into the arena, for operators that take activations only. The input is not read, but orders it."""

    opcode, code = "constant", 15
    fields = ("count",)
    roles = ("values",)
    role_dtypes = ("int8",)

    def check(self, op, inputs, outputs, constants) -> str | None:
        return None if outputs[0].size == op.attrs["count"] == constants[0].data.size else "size of values, output and count differ"

    def golden(self, op, inputs, constants):
        return [constants[0].reshape(-1)]

    def cases(self) -> Iterator[Program]:
        values = np.random.default_rng(600).integers(-128, 128, 37)
        yield single(self, "constant_0", {"count": 37}, [Tensor("constant_0.x", (1,))], Tensor("constant_0.y", (37,)), [values])


ONNX_MOVEMENT = {"Pad": lower_pad}
