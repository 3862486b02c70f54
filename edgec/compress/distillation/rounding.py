"""Rounding with straight-through gradients: forward as the device does it, backward as if nothing were rounded."""

from __future__ import annotations

import torch
from torch import Tensor


class _ToGrid(torch.autograd.Function):
    """Weights to the nearest integer of the grid. A weight beyond the grid is only let back in, never pushed further out."""

    @staticmethod
    def forward(ctx, weights: Tensor, low: int, high: int) -> Tensor:
        ctx.save_for_backward(weights)
        ctx.bounds = low, high
        return torch.round(weights).clamp_(low, high)

    @staticmethod
    def backward(ctx, gradient: Tensor):
        (weights,) = ctx.saved_tensors
        low, high = ctx.bounds
        outwards = (weights > high) & (gradient < 0) | (weights < low) & (gradient > 0)
        return gradient.masked_fill(outwards, 0.0), None, None


class _ToSteps(torch.autograd.Function):
    """clamp(⌊v⌋, low, high), in place. The gradient passes where the clamp does not hold."""

    @staticmethod
    def forward(ctx, v: Tensor, low: int, high: int) -> Tensor:
        y = v.floor_().clamp_(low, high)
        ctx.mark_dirty(v)
        ctx.save_for_backward(y)
        ctx.bounds = low, high
        return y

    @staticmethod
    def backward(ctx, gradient: Tensor):
        (y,) = ctx.saved_tensors
        return torch.ops.aten.hardtanh_backward(gradient, y, *map(float, ctx.bounds)), None, None


class _Lookup(torch.autograd.Function):
    """table[x + offset]. The gradient is the slope of the table over its two neighbours."""

    @staticmethod
    def forward(ctx, x: Tensor, table: Tensor, slope: Tensor, offset: int) -> Tensor:
        index = x.to(torch.int64).add_(offset)
        ctx.save_for_backward(index, slope)
        return table[index]

    @staticmethod
    def backward(ctx, gradient: Tensor):
        index, slope = ctx.saved_tensors
        return gradient * slope[index], None, None, None


def to_grid(weights: Tensor, low: int, high: int) -> Tensor:
    """Integers in [low, high] as floats; the gradient goes straight through."""
    return _ToGrid.apply(weights, low, high)


def to_steps(v: Tensor, low: int, high: int) -> Tensor:
    """clamp(⌊v⌋, low, high) written over v; add one half before for rounding half up."""
    return _ToSteps.apply(v, low, high)


def lookup(x: Tensor, table: Tensor, slope: Tensor, offset: int) -> Tensor:
    """table, slope: float32 [256]; x + offset: integers in [0, 255]."""
    return _Lookup.apply(x, table, slope, offset)
