"""Weights of few bits: the layer is solved anew for the inputs it really gets, then integers and scales are improved in turns.

With 16 levels a weight, rounding changes a layer too much for its float weights to be the best ones to round. So

1. refit: the target weights are the least-squares answer to the float network's output, given the quantized network's input
   (asymmetric calibration: GPTAQ, Li et al. 2025, arXiv:2504.02692, solved at once instead of column by column). Errors of the
   layers before are made up for as far as a linear layer can.
2. the scale of each channel is searched, weighted by the inputs' variances;
3. integers are rounded with error propagation and coordinate descent (`second_order`), then, in turns, the scale takes its
   least-squares value for these integers and the integers descend again. Several first scales are tried, the best is kept.
"""

from __future__ import annotations

import numpy as np

from edgec.compress import _hotloops
from edgec.compress.second_order import SWEEPS, Factor
from edgec.compress.sums import rows_product
from edgec.compress.weights import NARROW_FRACTIONS, SCALE_FRACTIONS, grid_of

PROBES = 1024
"""Samples to calibrate with where layers are solved anew, which takes more of them than rounding: 512 of them, with half the patches, lose
0.1 dB on unseen CIFAR-10 images, 256 lose 0.6."""

PATCHES = 65536
PATCH_BYTES = 160 * 2**20

REFIT_DAMPING = 0.05
"""Of the mean variance of the inputs, towards the float weights. 0.01 to 0.1 are alike on unseen samples; less overfits."""

ROUNDING_DAMPING = 0.01
METRIC_DAMPING = 0.01
STARTS = (1.0, 0.9, 1.1, 0.8)
AGAIN = (1.0, 0.95, 1.05)
"""Factors on the scale of a row that is rounded once more."""

TURNS = 3
ROUNDS = 3


def patch_limit(entries: int) -> int:
    """Patches to fit to, where each has so many entries (all groups together)."""
    return int(np.clip(PATCH_BYTES // (4 * max(entries, 1)), 256, PATCHES))


def fit_layer(
    rows: np.ndarray, patches: np.ndarray, wanted: np.ndarray, floor: np.ndarray, bits: int, metric: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Integers and scales of a layer.

    Args:
        rows: float64 [channels, entries], the float weights.
        patches: float32 [groups, patches, entries], the quantized network's input.
        wanted: [patches, channels], what the layer should give there; any constant added to a channel changes nothing.
        floor: float64 [channels], the least scales; bits: 4 or 8.
        metric: float64 [channels, channels], how errors of channels meet at the outputs; None leaves each to itself.

    Returns: float64 integers [channels, entries], float32 scales [channels].
    """
    groups, grid = len(patches), grid_of(bits)
    fractions = SCALE_FRACTIONS if bits == 8 else NARROW_FRACTIONS
    q, scale = np.empty_like(rows), np.empty(len(rows))
    per_group = len(rows) // groups
    for g in range(groups):
        mine = slice(g * per_group, (g + 1) * per_group)
        x = patches[g : g + 1].copy()
        _hotloops.center(x)
        y = wanted[:, mine] - wanted[:, mine].mean(axis=0, dtype=np.float64)
        count = max(x.shape[1], 1)
        covariance = rows_product(x, x)[0].astype(np.float64) / count
        crossed = rows_product(x, y.astype(np.float32)[None])[0].astype(np.float64) / count
        q[mine], scale[mine] = _fit_group(rows[mine], covariance, crossed, floor[mine], grid, fractions, None if metric is None else metric[mine, mine])
    return q, scale.astype(np.float32)


def _fit_group(
    rows: np.ndarray, covariance: np.ndarray, crossed: np.ndarray, floor: np.ndarray, grid: tuple[int, int], fractions: np.ndarray,
    metric: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Integers float64 [rows, entries] and scales float64 [rows]; crossed [entries, rows] is the covariance of input and wanted output."""
    entries = rows.shape[1]
    variance = float(np.diag(covariance).mean())
    if variance <= 0:  # constant inputs: nothing to fit to, and the bias takes the layer's output
        covariance, crossed, variance = np.eye(entries), rows.T, 1.0
    damping = REFIT_DAMPING * variance * np.eye(entries)
    upper, solved = covariance + damping, np.ascontiguousarray(crossed + REFIT_DAMPING * variance * rows.T)
    _hotloops.factor_upper(upper)
    _hotloops.solve_factored(upper, solved)
    target = solved.T.copy()
    target[np.abs(rows).max(axis=1, initial=0.0) == 0] = 0.0  # a dead channel stays dead: errors before it are not its business
    hessian = np.ascontiguousarray(covariance + ROUNDING_DAMPING * variance * np.eye(entries))
    importance = np.ascontiguousarray(np.broadcast_to(np.diag(hessian), target.shape))
    first = _hotloops.channel_scales(target, importance, np.abs(target).max(axis=1, initial=0.0), fractions, *grid)
    first = np.where(first > 0, first, 1.0)
    scales = np.maximum(np.multiply.outer(STARTS, first), floor)
    factor = Factor.of(hessian)
    q, scale, error = _in_turns(np.tile(target, (len(STARTS), 1)), scales.reshape(-1), hessian, factor, np.tile(floor, len(STARTS)), grid)
    best = error.reshape(len(STARTS), -1).argmin(axis=0) * len(rows) + np.arange(len(rows))
    if metric is None or len(rows) == 1:
        return q[best], scale[best]
    return _together(target, q[best], scale[best], hessian, factor, floor, grid, metric)


def _together(
    target: np.ndarray, q: np.ndarray, scale: np.ndarray, hessian: np.ndarray, factor: Factor, floor: np.ndarray, grid: tuple[int, int],
    metric: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Integers and scales of less trace(G Δ H Δᵀ), Δ = target − s·q: for one row this is its own error, but to a target moved by those
    of the others. Rows that count most go first; dead ones stay dead."""
    metric = metric + METRIC_DAMPING * np.diag(metric).mean() * np.eye(len(metric))
    delta = target - scale[:, None] * q
    rows = [r for r in np.argsort(-np.diag(metric), kind="stable") if q[r].any()]
    for r in rows * ROUNDS:
        moved = target[r] + _hotloops.product(metric[r : r + 1], delta)[0] / metric[r, r] - delta[r]
        starts = np.maximum(np.multiply(AGAIN, scale[r]), floor[r])
        tried = _in_turns(np.tile(moved, (len(starts), 1)), starts, hessian, factor, np.full(len(starts), floor[r]), grid)
        present = q[r : r + 1].copy(), scale[r : r + 1]
        gradient = _hotloops.product(moved - present[1] * present[0], hessian)
        _hotloops.descend(present[0], gradient, hessian, present[1].copy(), *grid, SWEEPS)
        remaining = moved - present[1] * present[0]
        error = float((gradient * remaining).sum())
        best = int(tried[2].argmin())
        if tried[2][best] < error:
            q[r], scale[r] = tried[0][best], tried[1][best]
        else:
            q[r] = present[0][0]
        delta[r] = target[r] - scale[r] * q[r]
    return q, scale


def _in_turns(
    target: np.ndarray, scale: np.ndarray, hessian: np.ndarray, factor: Factor, floor: np.ndarray, grid: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Integers [rows, entries], scales [rows] (float32 values in float64), and the error Δ H Δᵀ of each row."""
    scale = _float32(scale)
    q = factor.propagate(target, scale, grid)
    for turn in range(TURNS + 1):
        gradient = _hotloops.product(target - scale[:, None] * q, hessian)
        _hotloops.descend(q, gradient, hessian, np.ascontiguousarray(scale), *grid, SWEEPS)
        if turn == TURNS:
            break
        weighted = _hotloops.product(q, hessian)
        square = (weighted * q).sum(axis=1)
        fitted = np.divide((weighted * target).sum(axis=1), square, out=scale.copy(), where=square > 0)
        scale = _float32(np.maximum(np.where(fitted > 0, fitted, scale), floor))
    delta = target - scale[:, None] * q
    return q, scale, (_hotloops.product(delta, hessian) * delta).sum(axis=1)


def _float32(scale: np.ndarray) -> np.ndarray:
    return scale.astype(np.float32).astype(np.float64)
