"""Multiply-accumulates as a function of the groups' widths."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from edgec.compress.pruning.groups import Group
from edgec.graph.channel_affine import is_linear_layer
from edgec.graph.channels import ChannelSpaces, Space
from edgec.graph.edit import is_op, shape_of
from edgec.graph.macs import count_macs


class Cost:
    """MACs of a model for any widths of its groups, without building the model.

    Each layer costs what it does now, by the fractions of its inputs and of its outputs that are left (one of them for depthwise).
    """

    def __init__(self, model: ir.Model, channels: ChannelSpaces, groups: Sequence[Group]) -> None:
        self.groups = list(groups)
        self.number = {g.space: i for i, g in enumerate(groups)}
        self.layers: list[tuple[int, list[list[tuple[int | None, int]]]]] = []
        self.fixed = count_macs(model)
        for node in model.graph:
            if not is_linear_layer(node) or not is_op(node, "Conv", "Gemm"):
                continue
            macs = math.prod(shape_of(node.outputs[0])) * math.prod(shape_of(node.inputs[1])[1:])
            x, y = channels.layout.get(node.inputs[0]), channels.layout.get(node.outputs[0])
            depthwise = any(node in space.depthwise for space in channels.all())
            sides = [self._side(layout.parts) for layout in ([y] if depthwise else [x, y]) if layout is not None]
            if any(i is not None for side in sides for i, _ in side):
                self.layers.append((macs, sides))
                self.fixed -= macs

    def _side(self, parts: Sequence[tuple[Space, int]]) -> list[tuple[int | None, int]]:
        """(group or None, entries: a channel's for a group, all of them for None)."""
        return [(self.number[s], r) if s in self.number else (None, s.size * r) for s, r in parts]

    def __call__(self, widths: Sequence[int]) -> int:
        total = float(self.fixed)
        for macs, sides in self.layers:
            part = float(macs)
            for side in sides:
                full = sum(n if i is None else n * self.groups[i].space.size for i, n in side)
                part *= sum(n if i is None else n * widths[i] for i, n in side) / full
            total += part
        return round(total)

    @property
    def full(self) -> list[int]:
        return [g.widths[0] for g in self.groups]

    def least(self) -> int:
        """MACs with every group at its least width."""
        return self([g.widths[-1] for g in self.groups])


class Curve:
    """A group's loss by its width when it alone shrinks, from a few measured widths: linear in the square root between them."""

    def __init__(self, widths: Sequence[int], losses: Sequence[float]) -> None:
        order = np.argsort(widths)
        self.widths = np.asarray(widths, float)[order]
        roots = np.sqrt(np.maximum(np.asarray(losses, float)[order], 0.0))
        self.roots = np.maximum.accumulate(roots[::-1])[::-1]  # narrower is never better

    def __call__(self, width: int) -> float:
        return float(np.interp(width, self.widths, self.roots)) ** 2
