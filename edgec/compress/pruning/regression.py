"""Ridge regression towards given weights, and the same where a Relu or Clip stands behind."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

ROWS_AT_ONCE = 8192
NOISE = 0.05


@dataclass
class Normal:
    """Normal equations of rows x, float32 [groups, rows, entries]: means, and the covariance float64 [groups, entries, entries]."""

    mean: np.ndarray
    covariance: np.ndarray

    @staticmethod
    def of(x: np.ndarray) -> Normal:
        groups, rows, entries = x.shape
        mean = x.mean(axis=1, dtype=np.float64)
        covariance = np.zeros((groups, entries, entries))
        for start in range(0, rows, ROWS_AT_ONCE):
            part = x[:, start : start + ROWS_AT_ONCE] - mean[:, None].astype(np.float32)
            covariance += part.transpose(0, 2, 1) @ part
        return Normal(mean, covariance / rows)


def cross(x: np.ndarray, t: np.ndarray) -> np.ndarray:
    """float64 [groups, entries, outputs]: covariance of x and t over the rows; t float32 [groups, rows, outputs]."""
    result = np.zeros((x.shape[0], x.shape[2], t.shape[2]))
    t = t - t.mean(axis=1, keepdims=True, dtype=np.float64).astype(np.float32)
    for start in range(0, x.shape[1], ROWS_AT_ONCE):
        result += (x[:, start : start + ROWS_AT_ONCE]).transpose(0, 2, 1) @ t[:, start : start + ROWS_AT_ONCE]
    return result / x.shape[1]


@dataclass(frozen=True)
class Fit:
    """weights float64 [groups, outputs, entries], bias [groups, outputs]."""

    weights: np.ndarray
    bias: np.ndarray


def fit(
    x: np.ndarray, t: np.ndarray, shift: np.ndarray, start: np.ndarray, bounds: tuple[float, float], *, ridge: float, rounds: int
) -> Fit:
    """Weights W and bias b under which x·Wᵀ + b + shift, clipped to bounds, comes nearest to t, clipped to bounds.

    Without bounds that is one ridge regression, the ridge drawing towards `start`. With bounds, rows whose target lies beyond a bound ask
    only that the answer lies beyond it too: in every round their target becomes the answer where it already does (majorization: without
    momentum the objective never grows), with the momentum of Nesterov.

    Args:
        x: float32 [groups, rows, entries]. t, shift: float32 [groups, rows, outputs]. start: float64 [groups, outputs, entries].
        ridge: fraction of the mean of the covariance's diagonal; NOISE · entries / rows is added to it, since few rows say little.
    """
    normal = Normal.of(x)
    damping = (ridge + NOISE * x.shape[2] / x.shape[1]) * np.maximum(np.trace(normal.covariance, axis1=1, axis2=2) / x.shape[2], 1e-30)[
        :, None, None
    ]
    inverse = np.linalg.inv(normal.covariance + damping * np.eye(x.shape[2]))
    pull = damping * start.transpose(0, 2, 1)

    def solve(target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        target = target - shift
        w = inverse @ (cross(x, target) + pull)
        return w, target.mean(axis=1, dtype=np.float64) - (normal.mean[:, None] @ w)[:, 0]

    low, high = bounds
    w, b = solve(t)
    if np.isfinite(low) or np.isfinite(high):
        ahead, bias_ahead = w, b
        for k in range(rounds):
            answer = x @ ahead.astype(np.float32) + bias_ahead[:, None].astype(np.float32) + shift
            target = np.where(t <= low, np.minimum(answer, low), np.where(t >= high, np.maximum(answer, high), t))
            new, new_bias = solve(target)
            momentum = k / (k + 3)
            ahead, bias_ahead = new + momentum * (new - w), new_bias + momentum * (new_bias - b)
            w, b = new, new_bias
    return Fit(w.transpose(0, 2, 1), b)
