"""One pass over the calibration data: histograms of all activations, and a few samples kept for what comes after.

The fit and select parts are kept apart; the report part is not looked at.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgec.compress.float_run import ModelRunner
from edgec.compress.observer import Histogram
from edgec.compress.placement import Placement
from edgec.compress.ranges import LATTICE_LEVELS
from edgec.compress.splits import FIT, SELECT, Split, Spread
from edgec.errors import DataError
from edgec.graph.edit import shape_of
from edgec.progress import Progress

PROBES = 192
PROBE_BYTES = 72 * 2**20
SHARE = {FIT: 2, SELECT: 1}
"""Of the probes, in thirds."""


@dataclass
class Observations:
    """What one walk saw.

    Attributes:
        histograms: part → value → Histogram.
        distinct: the distinct values of each input, of both parts, while there are at most 256, else None.
        probes: input name → float32 [samples, *shape], at most `most_probes` of the samples, evenly spread over each part.
        fit, select: bool [samples], the part of each probe; both where nothing is held out.
    """

    histograms: dict[str, dict[ir.Value, Histogram]]
    distinct: dict[ir.Value, np.ndarray | None]
    probes: dict[str, np.ndarray]
    fit: np.ndarray
    select: np.ndarray

    def histogram(self, values: list[ir.Value], parts: tuple[str, ...]) -> Histogram:
        """Of these values in these parts together."""
        merged = Histogram()
        for part in parts:
            for value in values:
                merged.merge(self.histograms[part][value])
        return merged


def calibrate(
    model: ir.Model,
    placement: Placement,
    split: Split,
    progress: Progress | None = None,
    most_probes: int = PROBES,
) -> Observations:
    """Walk the data once.

    Raises:
        DataError: an activation is not finite (values far outside what the network was trained on).
    """
    observed = list(dict.fromkeys(v for g in placement.all_groups() for v in g.observed))
    histograms: dict[str, dict[ir.Value, Histogram]] = {part: {v: Histogram() for v in observed} for part in SHARE}
    names = {v.name: v for v in observed}
    inputs = list(model.graph.inputs)
    distinct: dict[ir.Value, np.ndarray | None] = {v: np.empty(0, np.float32) for v in inputs}
    run = ModelRunner(model, list(names))
    limit = _probe_limit(model, most_probes)
    pools = {part: Spread(limit if split.degraded else max(limit * thirds // 3, 2)) for part, thirds in SHARE.items()}
    for index, (sample, parts) in enumerate(split.walk()):
        part = next((p for p in parts if p in SHARE), None)
        if part is None:
            continue
        results = run(sample) | {v.name: sample[v.name] for v in inputs}
        for name, value in names.items():
            bad = histograms[part][value].add(results[name])
            if bad:
                raise not_finite(name, index, bad, results[name].size)
        for value in inputs:
            if distinct[value] is not None:
                found = np.union1d(distinct[value], sample[value.name])
                distinct[value] = found if found.size <= LATTICE_LEVELS else None
        pools[part].add(sample)
        if progress and index % 64 == 63:
            progress("calibrate", (index + 1) / split.samples)
    chosen = {part: pool.samples() for part, pool in pools.items()}
    probes = {v.name: np.stack([s[v.name] for part in SHARE for s in chosen[part]]) for v in inputs}
    select = np.arange(len(chosen[FIT]) + len(chosen[SELECT])) >= (0 if split.degraded else len(chosen[FIT]))
    return Observations(histograms, distinct, probes, ~select if not split.degraded else select, select)


def not_finite(name: str, index: int, bad: int, size: int) -> DataError:
    return DataError(
        f"activation {name!r} is not finite",
        where=f"calibration, sample {index}",
        why=f"{bad} of its {size} values are NaN or infinite, though the inputs are finite",
        fix="check this sample's scale (is it preprocessed as in training?), or the model's weights",
    )


def _probe_limit(model: ir.Model, most: int) -> int:
    """Samples whose largest activation fits PROBE_BYTES: the walks hold a few activations of all probes at once."""
    largest = max(int(np.prod(shape_of(v))) * 4 for v in (*model.graph.inputs, *(o for n in model.graph for o in n.outputs)))
    return int(np.clip(PROBE_BYTES // largest, 4, most))


def channel_reach(model: ir.Model, placement: Placement, probes: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """How far each channel (axis 1) of every quantized activation reaches over the probes: value name → float64 [channels].

    The measure is the L8 norm, (mean x⁸)^(1/8): a soft maximum that one single outlier does not decide.
    """
    values = [v for v in placement.groups if len(shape_of(v)) >= 2]
    run = ModelRunner(model, [v.name for v in values if v not in model.graph.inputs])
    total = {v.name: np.zeros(shape_of(v)[1]) for v in values}
    count = len(next(iter(probes.values())))
    for i in range(count):
        sample = {name: array[i] for name, array in probes.items()}
        seen = run(sample) | sample
        for name, array in ((v.name, seen[v.name]) for v in values):
            eighth = np.square(np.square(np.square(array, dtype=np.float64)))
            total[name] += eighth.mean(axis=tuple(a for a in range(array.ndim) if a != 1))
    return {name: (t / count) ** 0.125 for name, t in total.items()}
