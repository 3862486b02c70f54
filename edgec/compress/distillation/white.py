"""Coordinates of a layer's weights in which its inputs are white: uncorrelated, of mean 0 and variance 1.

A step of Adam moves every coordinate by about as much. Neighbouring taps and channels are nearly the same signal, so that in the
weights as they are most of a step changes what hardly matters, and a network that has a few hundred samples learns them by heart. In
white coordinates a step changes the layer's outputs alike in every direction: the input half of K-FAC (Martens and Grosse 2015,
arXiv:1503.05671). `edgec.compress.pruning.refine` does the same without torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
import torch
import torch.nn.functional as F
from torch import Tensor

from edgec.graph.edit import integer, ints, pads_of, shape_of

RIDGE = 1e-2
ROWS_OF_A_SAMPLE = 64
VALUES_AT_ONCE = 2**24
MOST_ENTRIES = 1536
"""Inputs of an output beyond which a layer is left as it is: its matrix would cost more than it gives."""

Rows = Callable[[Tensor], Tensor]
"""A layer's input [samples, …] → [groups, rows, entries]: what its weights meet, at some of the positions."""


def rows_of(node: ir.Node) -> Rows | None:
    """None for layers whose weights stay as they are."""
    shape = shape_of(node.inputs[1])
    if node.op_type == "Conv":
        return _conv_rows(node) if len(shape) == 4 and np.prod(shape[1:]) <= MOST_ENTRIES else None
    if node.op_type not in ("Gemm", "MatMul") or len(shape) != 2 or integer(node, "transA", 0):
        return None
    entries = shape[1 if integer(node, "transB", 0) else 0]
    return (lambda x: x.reshape(1, -1, entries)) if entries <= MOST_ENTRIES else None


def _conv_rows(node: ir.Node) -> Rows:
    kernel, groups = shape_of(node.inputs[1])[2:], integer(node, "group", 1)
    pads = pads_of(node, kernel, shape_of(node.inputs[0])[2:])
    strides, dilations = ints(node, "strides", (1, 1)), ints(node, "dilations", (1, 1))
    positions = int(np.prod(shape_of(node.outputs[0])[2:]))
    at = torch.from_numpy(np.sort(np.random.default_rng(positions).permutation(positions)[:ROWS_OF_A_SAMPLE]))

    def rows(x: Tensor) -> Tensor:
        x = F.pad(x.flatten(0, x.ndim - 4), (pads[1], pads[3], pads[0], pads[2]))
        few = max(1, VALUES_AT_ONCE // (x.shape[1] * int(np.prod(kernel)) * positions))
        parts = [F.unfold(part, kernel, dilations, 0, strides)[:, :, at] for part in x.split(few)]
        return torch.cat(parts).unflatten(1, (groups, -1)).permute(1, 0, 3, 2).flatten(1, 2)

    return rows


@dataclass(frozen=True)
class White:
    """y = w·(L⁻¹(x − mean)) + b, the covariance of x being L·Lᵀ; w and b are the white coordinates. By group.

    mean: [groups, entries]; inverse: L⁻¹ [groups, entries, entries]; turned: whether the weights' last axis counts the outputs.
    size: standard deviation of each output, [groups, outputs], none far below their mean.
    """

    mean: Tensor
    inverse: Tensor
    turned: bool
    size: Tensor

    @staticmethod
    @torch.no_grad()
    def of(weights: Tensor, axis: int, biased: bool, x: Tensor) -> White:
        """x: as Rows gives it. Without a bias nothing can make up for the mean, which then stays in x."""
        groups, rows, entries = x.shape
        mean = x.mean(1, dtype=torch.float64) if biased else torch.zeros(groups, entries, dtype=torch.float64)
        x = x - mean[:, None].float()
        covariance = (x.transpose(1, 2) @ x).double() / rows
        power = covariance.diagonal(dim1=1, dim2=2).mean(1)
        damping = RIDGE * power.clamp(min=1e-3 * float(power.mean()) or 1.0)  # a silent input must not get large weights
        root = torch.linalg.cholesky(covariance + damping[:, None, None] * torch.eye(entries, dtype=torch.float64))
        made = White(mean.float(), torch.linalg.inv(root).float(), axis % weights.ndim != 0, torch.empty(0))
        size = (made._rows(weights).double() @ root).norm(dim=2)
        size = size.clamp(min=0.1 * float(size.mean()) + 1e-12).float()
        return White(made.mean, made.inverse, made.turned, size)

    def units(self) -> tuple[Tensor, Tensor]:
        """What a learning rate of 1 moves w and b by."""
        return self.size[:, :, None] / self.mean.shape[1] ** 0.5, self.size

    def gradient(self, weights: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """From the gradients of the layer's weights and bias to those of w and b."""
        of_weights = self._rows(weights)
        if bias is None:
            return of_weights @ self.inverse.transpose(1, 2), None
        bias = bias.reshape(self.size.shape)
        return (of_weights - bias[:, :, None] * self.mean[:, None]) @ self.inverse.transpose(1, 2), bias

    def change(self, w: Tensor, b: Tensor | None, like: Tensor) -> tuple[Tensor, Tensor | None]:
        """From changes of w and b to those of the layer's weights, shaped `like`, and bias."""
        rows = w @ self.inverse
        weights = (rows[0].T if self.turned else rows).reshape(like.shape)
        return weights, None if b is None else (b - (rows @ self.mean[:, :, None])[:, :, 0]).flatten()

    def _rows(self, weights: Tensor) -> Tensor:
        """The layer's weights as [groups, outputs, entries]."""
        rows = weights.T if self.turned else weights
        return rows.reshape(len(self.mean), -1, self.mean.shape[1])
