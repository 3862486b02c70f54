"""Channel spaces: which channels of which values are one and the same thing. An analysis that passes share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from edgec.graph.channel_affine import is_linear_layer
from edgec.graph.constant_propagation import clip_bounds
from edgec.graph.edit import constant, has_static_shape, integer, is_op, shape_of

SAME_CHANNELS = (
    "Relu", "Clip", "LeakyRelu", "Sigmoid", "Tanh", "HardSigmoid", "HardSwish", "Elu", "Gelu", "Softplus", "Mish", "Erf",
    "Abs", "Neg", "Sqrt", "Exp",
    "AveragePool", "MaxPool", "GlobalAveragePool", "GlobalMaxPool",
)  # fmt: skip
"""Operators that work on each channel by itself, whatever the numbers."""

SCALE_FREE = ("Relu", "LeakyRelu", "AveragePool", "MaxPool", "GlobalAveragePool", "GlobalMaxPool")
"""Those of them with f(a·x) = a·f(x) for every a > 0; Clip at 0 and no upper bound is one too."""

TYING = ("Add", "Sub", "Mul", "Div")
"""Binary operators that bind the channels of their operands together. Of them only Add and Sub are scale-free."""


@dataclass(eq=False)
class Space:
    """Channels that are one and the same thing in several values: removing one removes it from all of them.

    reasons: why no channel may go, in words; empty if one may.
    """

    size: int
    reasons: list[str] = field(default_factory=list)
    producers: list[ir.Node] = field(default_factory=list)  # their output channels are this space
    depthwise: list[ir.Node] = field(default_factory=list)  # one filter a channel, reading this space (and, for removal, giving it)
    readers: list[ir.Node] = field(default_factory=list)  # Conv and Gemm that sum over this space
    parameters: list[tuple[ir.Node, int]] = field(default_factory=list)  # constants with an entry a channel: node and index of its input
    values: list[ir.Value] = field(default_factory=list)

    @property
    def protected(self) -> bool:
        return bool(self.reasons)


@dataclass(frozen=True)
class Place:
    """Where a space lies in a value: channel c is entries c·repeat … c·repeat + repeat − 1 along axis."""

    axis: int
    repeat: int


@dataclass(frozen=True)
class Layout:
    """What the entries of a value along axis are: spaces one after another (several behind a Concat), each channel `repeat` entries."""

    axis: int
    parts: tuple[tuple[Space, int], ...]

    def mask(self, keep: Callable[[Space], np.ndarray]) -> np.ndarray:
        """bool [entries along axis] from keep(space), bool [channels]."""
        return np.concatenate([np.repeat(keep(space), repeat) for space, repeat in self.parts])

    def entries(self, space: Space) -> np.ndarray:
        """Where the channels of space are along axis: int [channels, entries of each]."""
        found, start = [], 0
        for part, repeat in self.parts:
            if part is space:
                found.append(start + np.arange(part.size * repeat).reshape(part.size, repeat))
            start += part.size * repeat
        return np.concatenate(found, axis=1)

    @property
    def form(self) -> tuple[tuple[int, int], ...]:
        return tuple((space.size, repeat) for space, repeat in self.parts)


class ChannelSpaces:
    """The channel spaces of a graph, found in one walk.

    Attributes:
        layout: of every value whose channels are understood.
        space, place: of those that hold one space only.

    Args:
        scalable: find channels that may be scaled by a positive number instead of channels that may be removed: only
            scale-free operators belong to a space, and a depthwise layer reads one space and produces another.
    """

    def __init__(self, graph: ir.Graph, *, scalable: bool = False) -> None:
        self.layout: dict[ir.Value, Layout] = {}
        self.scalable = scalable
        for node in graph:
            self._visit(node)
        for value in graph.outputs:
            self._protect(value, f"they are the network's output {value.name}")
        single = {v: layout for v, layout in self.layout.items() if len(layout.parts) == 1}
        self.space: dict[ir.Value, Space] = {v: layout.parts[0][0] for v, layout in single.items()}
        self.place: dict[ir.Value, Place] = {v: Place(layout.axis, layout.parts[0][1]) for v, layout in single.items()}

    def all(self) -> list[Space]:
        return list(dict.fromkeys(space for layout in self.layout.values() for space, _ in layout.parts))

    def _put(self, value: ir.Value, layout: Layout) -> None:
        self.layout[value] = layout
        for space in dict.fromkeys(s for s, _ in layout.parts):
            space.values.append(value)

    def _new(self, node: ir.Node, channels: int, reasons: Sequence[str] = ()) -> None:
        self._put(node.outputs[0], Layout(1, ((Space(channels, list(reasons), producers=[node]), 1),)))

    def _protect(self, value: ir.Value | None, reason: str) -> None:
        for space, _ in self.layout[value].parts if value in self.layout else ():
            if reason not in space.reasons:
                space.reasons.append(reason)

    def _merge(self, a: Space, b: Space) -> None:
        if a is b:
            return
        a.reasons += [r for r in b.reasons if r not in a.reasons]
        for name in ("producers", "depthwise", "readers", "parameters"):
            getattr(a, name).extend(n for n in getattr(b, name) if n not in getattr(a, name))
        for value in b.values:
            old = self.layout[value]
            self.layout[value] = Layout(old.axis, tuple((a if s is b else s, r) for s, r in old.parts))
            if value not in a.values:
                a.values.append(value)

    def _visit(self, node: ir.Node) -> None:
        x = node.inputs[0] if node.inputs else None
        y = node.outputs[0] if node.outputs else None
        follows = x in self.layout and has_static_shape(y) and len(node.outputs) == 1
        if is_linear_layer(node) and is_op(node, "Conv", "Gemm") and shape_of(y)[0] == 1:
            self._layer(node, x, y)
        elif follows and self._is_inside(node) and self.layout[x].axis == 1:
            self._put(y, self.layout[x])
        elif is_op(node, *TYING[: 2 if self.scalable else None]) and self._tied(node):
            pass
        elif not self.scalable and follows and is_op(node, "BatchNormalization", "PRelu") and self._with_parameters(node, x):
            self._put(y, self.layout[x])
        elif not self.scalable and is_op(node, "Concat") and self._concatenated(node, y):
            pass
        elif follows and is_op(node, "Transpose"):
            perm = [int(p) for p in node.attributes["perm"].as_ints()] if "perm" in node.attributes else list(range(len(shape_of(x))))[::-1]
            self._put(y, Layout(perm.index(self.layout[x].axis), self.layout[x].parts))
        elif follows and is_op(node, "Reshape", "Flatten", "Squeeze", "Unsqueeze"):
            layout = _reshaped(self.layout[x], shape_of(x), shape_of(y))
            if layout is None or (not is_op(node, "Flatten") and constant(node.inputs[1] if len(node.inputs) > 1 else None) is None):
                self._protect(x, f"{node.op_type} {node.name} mixes them with other axes")
            else:
                self._put(y, layout)
        else:
            for value in node.inputs:
                self._protect(value, f"{node.op_type} {node.name} needs all of them")

    def _is_inside(self, node: ir.Node) -> bool:
        if not self.scalable:
            return is_op(node, *SAME_CHANNELS)
        return is_op(node, *SCALE_FREE) or (is_op(node, "Clip") and clip_bounds(node) in ((0.0, np.inf), (-np.inf, np.inf)))

    def _layer(self, node: ir.Node, x: ir.Value | None, y: ir.Value) -> None:
        group = 1 if is_op(node, "Gemm") else integer(node, "group", 1)
        layout = self.layout.get(x)
        inside = layout is not None and layout.axis == 1 and (is_op(node, "Gemm") or all(r == 1 for _, r in layout.parts))
        channels = shape_of(y)[1]
        depthwise = group > 1 and inside and group == shape_of(x)[1] == channels
        if depthwise or (group == 1 and inside):
            for space in dict.fromkeys(s for s, _ in layout.parts):
                (space.depthwise if depthwise else space.readers).append(node)
        else:
            self._protect(
                x, f"{node.op_type} {node.name} has {group} groups" if group > 1 else f"{node.op_type} {node.name} reads another axis"
            )
        if depthwise and not self.scalable:
            self._put(y, layout)
        else:
            self._new(node, channels, () if group == 1 or depthwise else [f"{node.op_type} {node.name} has {group} groups"])

    def _tied(self, node: ir.Node) -> bool:
        """Binds the operands' channels together. Both must have one layout, or one of them be a constant: a number, or one a channel."""
        a, b = node.inputs
        y = node.outputs[0]
        if a in self.layout and b in self.layout:
            one, other = self.layout[a], self.layout[b]
            if (one.axis, one.form) != (other.axis, other.form) or not len(shape_of(a)) == len(shape_of(b)) == len(shape_of(y)):
                return False
            for i in range(len(one.parts)):
                self._merge(self.layout[a].parts[i][0], self.layout[b].parts[i][0])
            self._put(y, self.layout[a])
            return True
        inside, fixed = (a, 1) if a in self.layout else (b, 0)
        array = constant(node.inputs[fixed])
        if self.scalable or inside not in self.layout or array is None or not has_static_shape(y):
            return False
        if array.size != 1 and not self._with_parameters(node, inside, (fixed,)):
            return False
        self._put(y, self.layout[inside])
        return True

    def _with_parameters(self, node: ir.Node, x: ir.Value, indices: Sequence[int] | None = None) -> bool:
        """True if every parameter of node has one entry a channel of x, or is one number; then notes which must shrink with x."""
        indices = range(1, len(node.inputs)) if indices is None else indices
        layout, shape = self.layout[x], shape_of(x)
        arrays = [constant(node.inputs[i]) for i in indices]
        wanted = (
            (shape[layout.axis],) if is_op(node, "BatchNormalization") else (shape[layout.axis],) + (1,) * (len(shape) - 1 - layout.axis)
        )
        if layout.axis != 1 or shape_of(node.outputs[0]) != shape:
            return False
        if any(a is None or (a.size != 1 and a.shape[-len(wanted) :] != wanted) or a.size not in (1, wanted[0]) for a in arrays):
            return False
        for space in dict.fromkeys(s for s, _ in layout.parts):
            space.parameters += [(node, i) for i, a in zip(indices, arrays, strict=True) if a.size != 1]
        return True

    def _concatenated(self, node: ir.Node, y: ir.Value) -> bool:
        layouts = [self.layout.get(v) for v in node.inputs]
        if any(layout is None for layout in layouts) or not has_static_shape(y):
            return False
        axis = integer(node, "axis", 0) % len(shape_of(y))
        if any(layout.axis != axis for layout in layouts):
            return False
        self._put(y, Layout(axis, tuple(part for layout in layouts for part in layout.parts)))
        return True


def _reshaped(layout: Layout, before: tuple[int, ...], after: tuple[int, ...]) -> Layout | None:
    """Where the channels are after a reshape in row-major order, if each is still one block of one axis."""
    outer, unit = int(np.prod(before[: layout.axis])), before[layout.axis]
    inner = int(np.prod(before[layout.axis + 1 :]))
    if unit < 2 or any(space.size < 2 for space, _ in layout.parts):
        return None
    for axis, size in enumerate(after):
        if int(np.prod(after[:axis])) == outer and size % unit == 0 and inner % (size // unit) == 0:
            return Layout(axis, tuple((space, repeat * (size // unit)) for space, repeat in layout.parts))
    return None
