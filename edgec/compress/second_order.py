"""Second-order rounding: weights are rounded so that the layer's output changes least, not each weight by itself.

The error of a layer is Σ_r Δ_r H Δ_rᵀ with Δ the change of its weight rows and H the covariance of its inputs; the mean is
left to the bias correction. Rounding goes column by column, each error handed on to the columns not yet rounded (Optimal
Brain Quantization; GPTQ: Frantar et al. 2022, arXiv:2210.17323), then coordinate descent takes each integer to its best value
until none moves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgec.compress import _hotloops
from edgec.compress.placement import group_count
from edgec.compress.sums import rows_product
from edgec.graph.edit import ints, is_op, pads_of

DAMPING = 0.1
"""Of the mean of the diagonal. Between 0.01 and 1 the result hardly moves; with few patches, more damping overfits less."""

ROWS = 8192
SWEEPS = 20


@dataclass(frozen=True)
class InputStatistics:
    """What a layer's weights meet in the quantized network: covariance float64 [groups, entries, entries]."""

    covariance: np.ndarray

    def importance(self, rows_per_group: int) -> np.ndarray:
        """Mean square around the mean of each entry, for each output channel: float64 [channels, entries]."""
        diagonal = np.diagonal(self.covariance, axis1=1, axis2=2)
        return np.repeat(diagonal, rows_per_group, axis=0)


def input_statistics(x: np.ndarray, node: ir.Node, kernel: tuple[int, ...], limit: int = ROWS) -> InputStatistics:
    """Statistics of the patches of x, float32 [samples, batch, channels…], the inputs of node stacked.

    At most `limit` patches are used, evenly spread over samples and positions.
    """
    seen = patches(x, node, kernel, group_count(node), limit)
    _hotloops.center(seen)
    covariance = rows_product(seen, seen).astype(np.float64) / max(seen.shape[1], 1)
    return InputStatistics(covariance)


def patches(x: np.ndarray, node: ir.Node, kernel: tuple[int, ...], groups: int, limit: int = ROWS) -> np.ndarray:
    """What each output position reads of x [samples, batch, channels, …], at most `limit` of them: float32 [groups, patches, entries]."""
    x = x.reshape(-1, *x.shape[2:])
    if is_op(node, "Gemm"):
        return x[None, spread(len(x), (), limit)]  # a copy, as below
    rank = len(kernel)
    pads = pads_of(node, kernel, x.shape[2:])
    strides, dilations = ints(node, "strides", (1,) * rank), ints(node, "dilations", (1,) * rank)
    out = [
        (n + pads[i] + pads[i + rank] - (k - 1) * d - 1) // s + 1
        for i, (n, k, s, d) in enumerate(zip(x.shape[2:], kernel, strides, dilations, strict=True))
    ]
    missing = 3 - rank  # spatial axes of size 1 in front
    taps = np.stack([i.ravel() for i in np.indices((*(1,) * missing, *kernel))], axis=1) * np.array((*(1,) * missing, *dilations))
    positions = spread(len(x), out, limit)
    result = np.empty((groups, len(positions), x.shape[1] // groups * len(taps)), np.float32)
    _hotloops.gather_patches(
        np.ascontiguousarray(x).reshape(*x.shape[:2], *(1,) * missing, *x.shape[2:]), positions, np.array((*(1,) * missing, *out)), taps,
        np.array((*(1,) * missing, *strides)), np.array((*(0,) * missing, *pads[:rank])), result,
    )  # fmt: skip
    return result


def outputs_of_patches(y: np.ndarray, limit: int = ROWS) -> np.ndarray:
    """What `patches` of the same samples give: float32 [patches, out_channels] of a layer's stacked outputs [samples, batch, channels, …]."""
    y = y.reshape(-1, *y.shape[2:])
    index = np.unravel_index(spread(len(y), y.shape[2:], limit), (len(y), *y.shape[2:]))
    return y[(index[0], slice(None), *index[1:])]


def spread(samples: int, sizes: tuple[int, ...] | list[int], limit: int) -> np.ndarray:
    """At most `limit` of the positions [samples, *sizes], evenly: flat indices, ascending."""
    total = samples * int(np.prod(sizes))
    step = max(1, -(-total // limit))
    while step > 1 and any(step % p == 0 and n % p == 0 for n in sizes for p in (2, 3, 5, 7) if n > 1):
        step += 1  # a step that shares no factor with the sizes visits all positions alike
    return np.arange(0, total, step)


def round_second_order(target: np.ndarray, scale: np.ndarray, covariance: np.ndarray, grid: tuple[int, int] = (-127, 127)) -> np.ndarray:
    """Integers of the grid for target float64 [groups, rows, entries], scale float64 [groups, rows]; returns float64, same shape."""
    hessian = _damped(covariance)
    q = np.empty_like(target)
    for g in range(len(target)):
        integers = Factor.of(hessian[g]).propagate(target[g], scale[g], grid)
        delta = target[g] - scale[g][:, None] * integers
        gradient = _hotloops.product(delta, hessian[g])
        _hotloops.descend(integers, gradient, np.ascontiguousarray(hessian[g]), np.ascontiguousarray(scale[g]), *grid, SWEEPS)
        q[g] = integers
    return q


@dataclass(frozen=True)
class Factor:
    """A covariance [entries, entries] with its entries in the order of their variance, greatest first: order, and its U of U D Uᵀ."""

    order: np.ndarray
    upper: np.ndarray

    @staticmethod
    def of(hessian: np.ndarray) -> Factor:
        order = np.argsort(-np.diagonal(hessian), kind="stable")
        upper = np.array(hessian[np.ix_(order, order)], np.float64, order="C")
        _hotloops.factor_upper(upper)
        return Factor(order, upper)

    def propagate(self, target: np.ndarray, scale: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
        """Integers of the grid for target float64 [rows, entries], scale float64 [rows].

        Column by column, each taking over the errors of those before it: with U unit upper triangular, column j is rounded at
        target_j + Σ_{k<j} (target_k − s·q_k)·U[k, j]. That is the update of GPTQ without an inverse (Chee et al. 2023,
        arXiv:2307.13304, theorem 6).
        """
        q = np.empty(target.shape)
        _hotloops.propagate(np.array(target[:, self.order], np.float64, order="C"), np.ascontiguousarray(scale, np.float64), self.upper, q, *grid)
        return np.ascontiguousarray(q[:, np.argsort(self.order, kind="stable")])


def _damped(covariance: np.ndarray) -> np.ndarray:
    """covariance + DAMPING·(mean of the diagonal)·I; plus the identity where there is nothing at all."""
    diagonal = np.diagonal(covariance, axis1=1, axis2=2).mean(axis=1)
    damping = np.where(diagonal > 0, DAMPING * diagonal, 1.0)
    return covariance + damping[:, None, None] * np.eye(covariance.shape[1])
