"""Channel spaces: which channels of which values are one and the same thing. An analysis that passes share."""

from __future__ import annotations

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


@dataclass(eq=False)
class Space:
    """Channels that are one and the same thing in several values: removing one removes it from all of them."""

    size: int
    protected: bool = False
    producers: list[ir.Node] = field(default_factory=list)  # their output channels are this space
    depthwise: list[ir.Node] = field(default_factory=list)  # one filter a channel, reading this space (and, for removal, giving it)
    readers: list[ir.Node] = field(default_factory=list)  # Conv and Gemm that sum over this space
    values: list[ir.Value] = field(default_factory=list)


@dataclass(frozen=True)
class Place:
    """Where a space lies in a value: channel c is entries c·repeat … c·repeat + repeat − 1 along axis."""

    axis: int
    repeat: int


class ChannelSpaces:
    """The channel spaces of a graph, found in one walk.

    Args:
        scalable: find channels that may be scaled by a positive number instead of channels that may be removed: only
            scale-free operators belong to a space, and a depthwise layer reads one space and produces another.
    """

    def __init__(self, graph: ir.Graph, *, scalable: bool = False) -> None:
        self.space: dict[ir.Value, Space] = {}
        self.place: dict[ir.Value, Place] = {}
        self.scalable = scalable
        for node in graph:
            self._visit(node)
        for value in graph.outputs:
            self._protect(value)

    def all(self) -> list[Space]:
        return list(dict.fromkeys(self.space.values()))

    def _put(self, value: ir.Value, space: Space, place: Place) -> None:
        self.space[value], self.place[value] = space, place
        space.values.append(value)

    def _protect(self, value: ir.Value | None) -> None:
        if value in self.space:
            self.space[value].protected = True

    def _merge(self, a: Space, b: Space) -> None:
        if a is b:
            return
        a.protected |= b.protected
        for name in ("producers", "depthwise", "readers", "values"):
            getattr(a, name).extend(getattr(b, name))
        for value in b.values:
            self.space[value] = a

    def _visit(self, node: ir.Node) -> None:
        x = node.inputs[0] if node.inputs else None
        y = node.outputs[0] if node.outputs else None
        follows = x in self.space and has_static_shape(y)
        if is_linear_layer(node) and is_op(node, "Conv", "Gemm") and shape_of(y)[0] == 1:
            self._layer(node, x, y)
        elif follows and self._is_inside(node) and self.place[x] == Place(1, self.place[x].repeat) and len(node.outputs) == 1:
            self._put(y, self.space[x], self.place[x])
        elif is_op(node, "Add", "Sub", *(() if self.scalable else ("Mul",))) and self._tied(node):
            spaces = [self.space[v] for v in node.inputs if v in self.space]
            for other in spaces[1:]:
                self._merge(spaces[0], other)
            self._put(y, spaces[0], next(self.place[v] for v in node.inputs if v in self.place))
        elif follows and is_op(node, "Transpose"):
            perm = [int(p) for p in node.attributes["perm"].as_ints()] if "perm" in node.attributes else list(range(len(shape_of(x))))[::-1]
            self._put(y, self.space[x], Place(perm.index(self.place[x].axis), self.place[x].repeat))
        elif follows and is_op(node, "Reshape", "Flatten", "Squeeze", "Unsqueeze"):
            place = _reshaped(self.place[x], self.space[x].size, shape_of(x), shape_of(y))
            if place is None or (not is_op(node, "Flatten") and constant(node.inputs[1] if len(node.inputs) > 1 else None) is None):
                self._protect(x)
            else:
                self._put(y, self.space[x], place)
        else:
            for value in node.inputs:
                self._protect(value)

    def _is_inside(self, node: ir.Node) -> bool:
        if not self.scalable:
            return is_op(node, *SAME_CHANNELS)
        return is_op(node, *SCALE_FREE) or (is_op(node, "Clip") and clip_bounds(node) in ((0.0, np.inf), (-np.inf, np.inf)))

    def _layer(self, node: ir.Node, x: ir.Value | None, y: ir.Value) -> None:
        group = 1 if is_op(node, "Gemm") else integer(node, "group", 1)
        inside = x in self.space and self.place[x].axis == 1 and (is_op(node, "Gemm") or self.place[x].repeat == 1)
        channels = shape_of(y)[1]
        depthwise = group > 1 and inside and group == shape_of(x)[1] == channels
        if depthwise and self.scalable:
            self.space[x].depthwise.append(node)
            self._put(y, Space(channels, producers=[node]), Place(1, 1))
            return
        if depthwise:
            self.space[x].depthwise.append(node)
            self._put(y, self.space[x], Place(1, 1))
            return
        if group == 1 and inside:
            self.space[x].readers.append(node)
        else:
            self._protect(x)
        self._put(y, Space(channels, protected=group > 1, producers=[node]), Place(1, 1))

    def _tied(self, node: ir.Node) -> bool:
        """Both operands in spaces of one size at one place, or one of them a single constant number."""
        a, b = node.inputs
        if a in self.space and b in self.space:
            same = self.place[a] == self.place[b] and self.space[a].size == self.space[b].size
            return same and len(shape_of(a)) == len(shape_of(b)) == len(shape_of(node.outputs[0]))
        if self.scalable:
            return False
        array = constant(b if a in self.space else a)
        return (a in self.space or b in self.space) and array is not None and array.size == 1 and has_static_shape(node.outputs[0])


def _reshaped(place: Place, channels: int, before: tuple[int, ...], after: tuple[int, ...]) -> Place | None:
    """Where the channels are after a reshape in row-major order, if each is still one block of one axis."""
    outer, unit = int(np.prod(before[: place.axis])), before[place.axis]
    inner = int(np.prod(before[place.axis + 1 :]))
    if unit != channels * place.repeat or channels < 2:
        return None
    for axis, size in enumerate(after):
        if int(np.prod(after[:axis])) == outer and size % unit == 0 and inner % (size // unit) == 0:
            return Place(axis, place.repeat * (size // unit))
    return None
