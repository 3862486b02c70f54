"""The samples that pruning works with, in three disjoint parts, as many as fit in memory with a network's activations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from edgec.compress.splits import FIT, PARTS, Split, Spread
from edgec.data import samples_of
from edgec.errors import DataError
from edgec.graph.edit import shape_of

MEMORY = 384 * 2**20
"""Bytes for the activations of all samples between two sites. What a walk holds at once is about two of the largest."""

MOST = 8192
FEWEST = 24
"""Samples to fit to below which least squares says nothing about other samples."""


@dataclass
class Parts:
    """arrays: part → input name → float32 [samples, …]; total: samples given; degraded: see `Split`."""

    arrays: dict[str, dict[str, np.ndarray]]
    total: int
    degraded: str

    def count(self, part: str) -> int:
        return len(next(iter(self.arrays[part].values())))

    def first(self, part: str, most: int) -> dict[str, np.ndarray]:
        return {name: array[:most] for name, array in self.arrays[part].items()}


def collect(model: ir.Model, data: Any) -> Parts:
    """Walk the data once and keep, of each part, samples evenly spread over the stream.

    Raises:
        DataError: bad samples (see `Samples`), or too few of them.
    """
    shapes = {v.name: shape_of(v) for v in model.graph.inputs}
    split = Split(samples_of(data, shapes))
    largest = max(int(np.prod(shape_of(v))) * 4 for v in (*model.graph.inputs, *(o for n in model.graph for o in n.outputs)))
    most = int(np.clip(MEMORY // (2 * largest), 64, MOST))
    kept = {part: Spread(most // 3 if part != FIT else most - most // 3) for part in PARTS}
    for sample, parts_of_it in split.walk():
        for part in parts_of_it:
            kept[part].add(sample)
    arrays = {part: {name: np.concatenate([s[name] for s in spread.samples()]) for name in shapes} for part, spread in kept.items()}
    parts = Parts(arrays, split.samples, split.degraded)
    if parts.count(FIT) < FEWEST:
        raise DataError(
            f"{parts.count(FIT)} samples to fit to are too few for pruning",
            where="pruning data",
            why=f"the remaining weights are solved anew from them, and at least {FEWEST} are needed; {split.samples} samples were given",
            fix="pass a few hundred unlabelled samples of what the device will see; thousands are better",
        )
    return parts
