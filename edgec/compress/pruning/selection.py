"""Which channels of a space the layers that read it can do without: elimination by the loss that remains after the others were solved anew."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass
class Reading:
    """A layer that reads the channels: weights float64 [entries, outputs], covariance of its inputs [entries, entries] (regularized),
    blocks int [channels, entries of each], and the weight its output's error has."""

    weights: np.ndarray
    covariance: np.ndarray
    blocks: np.ndarray
    weight: float


def eliminate(readings: list[Reading], channels: int, fewest: int) -> tuple[list[int], list[float]]:
    """Channels in the order in which they go, and what has been lost after each: Σ over readers of weight · mean squared error of the output.

    The error is that after the remaining weights were solved anew: removing block j from a layer adds tr(W_jᵀ ([H⁻¹]_jj)⁻¹ W_j)
    (Optimal Brain Surgeon, Hassibi and Stork 1993, by blocks as in Frantar and Alistarh 2022, arXiv:2208.11580).
    """
    inverse = [np.linalg.inv(r.covariance) for r in readings]
    weights = [r.weights.copy() for r in readings]
    left, gone, losses, lost = list(range(channels)), [], [], 0.0
    while len(left) > fewest:
        cost = np.zeros(len(left))
        for r, inv, w in zip(readings, inverse, weights, strict=True):
            at = r.blocks[left]
            blocks = inv[at[:, :, None], at[:, None, :]]
            cost += r.weight * np.einsum("cko,cko->c", w[at], np.linalg.solve(blocks, w[at]))
        worst = int(np.argmin(cost))
        channel = left.pop(worst)
        lost += max(float(cost[worst]), 0.0)
        gone.append(channel)
        losses.append(lost)
        for r, inv, w in zip(readings, inverse, weights, strict=True):
            at = r.blocks[channel]
            factor = np.linalg.solve(inv[np.ix_(at, at)], np.concatenate([inv[at], w[at]], axis=1))
            columns = inv[:, at].copy()
            inv -= columns @ factor[:, : len(inv)]
            w -= columns @ factor[:, len(inv) :]
    return gone, losses
