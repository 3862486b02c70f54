"""What a layer reads and gives at picked positions: rows of a regression."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgec.compress.placement import group_count
from edgec.graph.edit import ints, is_op, pads_of, shape_of

SAMPLES_AT_ONCE = 128


class Picks:
    """Positions of each sample, the same for all values of one spatial shape.

    Args:
        samples: their number. rows: wanted in all; every sample gives as many, at most all its positions.
    """

    def __init__(self, samples: int, rows: int, seed: int = 0) -> None:
        self.samples, self.rows, self.seed = samples, rows, seed
        self._known: dict[tuple[int, ...], np.ndarray] = {}

    def of(self, spatial: tuple[int, ...]) -> np.ndarray:
        """int [samples, positions of each]: flat indices into the spatial shape, ascending."""
        if spatial not in self._known:
            total = int(np.prod(spatial))
            each = min(total, max(1, -(-self.rows // self.samples)))
            rng = np.random.default_rng([self.seed, *spatial])
            order = (
                np.argsort(rng.random((self.samples, total)), axis=1)[:, :each]
                if each < total
                else np.tile(np.arange(total), (self.samples, 1))
            )
            self._known[spatial] = np.sort(order, axis=1)
        return self._known[spatial]


def values_at(x: np.ndarray, picks: Picks, first: int = 0) -> np.ndarray:
    """float32 [rows, channels] of x [samples, channels, …] at the picked positions, sample by sample; `first` is the number of x's first sample."""
    at = picks.of(x.shape[2:])[first : first + len(x)]
    flat = x.reshape(*x.shape[:2], -1)
    return np.take_along_axis(flat, at[:, None], axis=2).transpose(0, 2, 1).reshape(-1, x.shape[1])


def patches_at(x: np.ndarray, node: ir.Node, picks: Picks) -> np.ndarray:
    """float32 [groups, rows, entries]: what node's weights, as [outputs, entries], meet at the picked positions of its output."""
    if is_op(node, "Gemm"):
        return x[None]
    groups, kernel = group_count(node), shape_of(node.inputs[1])[2:]
    rank = len(kernel)
    pads = pads_of(node, kernel, x.shape[2:])
    strides, dilations = ints(node, "strides", (1,) * rank), ints(node, "dilations", (1,) * rank)
    at = picks.of(shape_of(node.outputs[0])[2:])
    starts = [i * s for i, s in zip(np.unravel_index(at, shape_of(node.outputs[0])[2:]), strides, strict=True)]
    each, channels, taps = at.shape[1], x.shape[1], int(np.prod(kernel))
    result = np.empty((groups, len(x) * each, channels // groups * taps), np.float32)
    window = [np.arange(k) * d for k, d in zip(kernel, dilations, strict=True)]
    for first in range(0, len(x), SAMPLES_AT_ONCE):
        part = x[first : first + SAMPLES_AT_ONCE]
        padded = np.pad(part, [(0, 0), (0, 0), *zip(pads[:rank], pads[rank:], strict=True)])
        index = [s[first : first + len(part)].reshape(len(part), each, *(1,) * rank) + np.ix_(*window)[i] for i, s in enumerate(starts)]
        flat = np.ravel_multi_index(np.broadcast_arrays(*index), padded.shape[2:]).reshape(len(part), 1, each * taps)
        found = np.take_along_axis(padded.reshape(len(part), channels, -1), flat, axis=2)
        found = found.reshape(len(part), groups, channels // groups, each, taps).transpose(1, 0, 3, 2, 4)
        result[:, first * each : (first + len(part)) * each] = found.reshape(groups, len(part) * each, -1)
    return result
